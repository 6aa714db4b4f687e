"""Images: labelled sets to train on, folders to extract features from, and a task that needs no download."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ventralstream.data.augment import Augment as Augment
    from ventralstream.data.folder import Batch as Batch
    from ventralstream.data.folder import Preprocessing as Preprocessing
    from ventralstream.data.folder import Skipped as Skipped
    from ventralstream.data.folder import read_batches as read_batches
    from ventralstream.data.folder_set import FolderSet as FolderSet
    from ventralstream.data.image_file import open_image as open_image
    from ventralstream.data.listing import Fingerprint as Fingerprint
    from ventralstream.data.listing import Listing as Listing
    from ventralstream.data.listing import fingerprint as fingerprint
    from ventralstream.data.listing import list_folder as list_folder
    from ventralstream.data.listing import list_images as list_images
    from ventralstream.data.loader import Loader as Loader
    from ventralstream.data.memory import MemorySet as MemorySet
    from ventralstream.data.pack import Packing as Packing
    from ventralstream.data.pack import pack_folder as pack_folder
    from ventralstream.data.packed import PackedSet as PackedSet
    from ventralstream.data.packed import check_packed as check_packed
    from ventralstream.data.scenes import Scenes as Scenes
    from ventralstream.data.scenes import compose_scenes as compose_scenes
    from ventralstream.data.sets import SETS as SETS
    from ventralstream.data.sets import LabelledSet as LabelledSet
    from ventralstream.data.sets import load_set as load_set
    from ventralstream.data.source import SetInfo as SetInfo
else:  # names are imported when they are used: the command line reads recipes without torch
    from ventralstream.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
