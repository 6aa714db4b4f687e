"""Images: labelled sets to train on, folders to extract features from, and a task that needs no download."""

from ventralstream.data.folder import Batch, Preprocessing, Skipped, read_batches
from ventralstream.data.image_file import open_image
from ventralstream.data.listing import Fingerprint, Listing, fingerprint, list_folder, list_images
from ventralstream.data.loader import Loader
from ventralstream.data.scenes import Scenes, compose_scenes
from ventralstream.data.sets import SETS, FolderSet, MemorySet, SetInfo, load_set

__all__ = [
    "SETS",
    "Batch",
    "Fingerprint",
    "FolderSet",
    "Listing",
    "Loader",
    "MemorySet",
    "Preprocessing",
    "Scenes",
    "SetInfo",
    "Skipped",
    "compose_scenes",
    "fingerprint",
    "list_folder",
    "list_images",
    "load_set",
    "open_image",
    "read_batches",
]
