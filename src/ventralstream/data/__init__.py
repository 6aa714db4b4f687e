"""Images: labelled sets to train on, folders to extract features from, and a task that needs no download."""

from ventralstream.data.folder import Batch, Preprocessing, Skipped, list_images, read_batches
from ventralstream.data.loader import Loader
from ventralstream.data.scenes import Scenes, compose_scenes
from ventralstream.data.sets import SETS, FolderSet, MemorySet, SetInfo, load_set

__all__ = [
    "SETS",
    "Batch",
    "FolderSet",
    "Loader",
    "MemorySet",
    "Preprocessing",
    "Scenes",
    "SetInfo",
    "Skipped",
    "compose_scenes",
    "list_images",
    "load_set",
    "read_batches",
]
