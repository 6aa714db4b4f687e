"""Labelled image sets by name: CIFAR-10 and -100, any folder of class folders, packed ones, and digits in clutter."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torchvision.datasets import CIFAR10, CIFAR100

from ventralstream.data.augment import USUAL
from ventralstream.data.class_folders import list_split
from ventralstream.data.folder import Preprocessing
from ventralstream.data.folder_set import FolderSet
from ventralstream.data.memory import MemorySet
from ventralstream.data.packed import PackedSet, open_packed
from ventralstream.data.pixels import generator
from ventralstream.data.scenes import MEAN, STD, compose_scenes
from ventralstream.data.source import SetInfo
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, printable, unknown

Split = Literal["train", "val"]

LabelledSet = MemorySet | FolderSet | PackedSet

SETS = ("cifar10", "cifar100", "folder", "packed", "scenes")
_SPLITS = ("train", "val")
_SCENES = {"train": 10_000, "val": 2_000}  # how many are composed unless a subset is asked for
_CIFAR = {
    "cifar10": (CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": (CIFAR100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def load_set(
    name: str,
    root: str | Path | None = None,
    split: Split = "train",
    *,
    size: int | None = None,
    subset: int | None = None,
    seed: int = 0,
    clutter: Sequence[int] | None = None,
) -> LabelledSet:
    """Loads a labelled image set; nothing is downloaded.

    * "cifar10", "cifar100": read from the official files into memory; training usually shifts by up to 4 pixels and
      reflects (as He et al. 2016, but for what comes in from outside; see `Augment`).
    * "folder": `root/train/<class>/...` and `root/val/<class>/...`, images as `open_image` takes them, read as
      needed (Tiny-ImageNet as it is published, too: `root/val/val_annotations.txt` says what the images in
      `root/val/images` are); training usually cuts out parts of at least 8 % of the surface and reflects, evaluation
      is the "crop" of `Preprocessing`. The classes are the folders in `root/train` (in `root/val` if there is no
      `train`) by name, but for hidden ones.
    * "packed": what `ventral data pack` made of such a folder; training usually does the same.
    * "scenes": digits in clutter, composed in memory of scans that scikit-learn carries; training usually shifts by
      up to 2 pixels. "val" is made of other scans than "train".

    Args:
        name: One of `SETS`.
        root: Folder of the set; None: the one that VENTRALSTREAM_DATA names. Not for "scenes".
        split: "train", or "val" for what is held out of it (CIFAR's test images).
        size: Height and width in pixels for "folder" (224) and "scenes" (32); CIFAR's are 32, and of a packed set
            they are what it was packed with.
        subset: Take only so many images: the first of a permutation that depends on `seed`. Of "scenes", how
            many are composed (10,000 to train, 2,000 to validate).
        seed: Of the subset, or of the scenes, 0 or more.
        clutter: Levels of clutter of "scenes" (0, 1, 2, 3); each scene draws one.

    Returns:
        The set, to be iterated over with a `Loader`.

    Raises:
        VentralError: An unknown name or split, files that are not there, or an argument out of its range.
    """
    if name not in SETS:
        raise unknown("image set", name, SETS)
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS, f" of '{name}'")
    if seed < 0 or (subset is not None and subset < 1):
        raise VentralError(f"a set needs a seed of 0 or more and a subset of 1 or more, got {seed} and {subset}.")
    if name == "scenes":
        return _scenes(split, size, subset, seed, (0, 1, 2, 3) if clutter is None else clutter)
    if clutter is not None:
        raise VentralError(f"only 'scenes' have clutter, the set '{name}' has not.")
    folder = data_root(root, name)
    found: LabelledSet
    if name == "folder":
        found = _folder(folder, split, size)
    elif name == "packed":
        found = _packed(folder, split, size)
    else:
        found = _cifar(name, folder, split, size)
    if subset is None:
        return found
    if subset > len(found):
        raise VentralError(f"a subset of {subset} images was asked for, '{name}' has {len(found)}.")
    return found.select(torch.randperm(len(found), generator=generator(seed))[:subset])


def _scenes(split: Split, size: int | None, count: int | None, seed: int, clutter: Sequence[int]) -> MemorySet:
    made = compose_scenes(
        _SCENES[split] if count is None else count,
        split="train" if split == "train" else "test",
        clutter=clutter,
        seed=seed,
        size=32 if size is None else size,
    )
    preprocessing = Preprocessing(made.images.shape[-1], (MEAN,), (STD,), "squash")
    info = SetInfo("scenes", tuple("0123456789"), preprocessing)
    return MemorySet(info, made.images, made.labels, USUAL["scenes"])


def _cifar(name: str, root: Path, split: Split, size: int | None) -> MemorySet:
    if size not in (None, 32):
        raise VentralError(f"the images of '{name}' are 32 pixels wide and high, not {size}.")
    dataset, mean, std = _CIFAR[name]
    folder = root / dataset.base_folder
    get = f"torchvision.datasets.{dataset.__name__}({str(root)!r}, download=True) fetches them from {CIFAR_PAGE}"
    files = [file for file, _ in (*dataset.train_list, *dataset.test_list)] + [dataset.meta["filename"]]
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise VentralError(
            f"the files of '{name}' were expected in '{printable(folder)}', but there is no '{missing[0]}'; {get}."
        )
    try:  # torchvision unpickles only files whose checksums are the published ones
        data = dataset(root, train=split == "train", download=False)
    except (RuntimeError, OSError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
        raise VentralError(
            f"the files of '{name}' in '{printable(folder)}' are damaged (their checksums are wrong); delete them:"
            f" {get}."
        ) from None
    info = SetInfo(name, tuple(data.classes), Preprocessing(32, mean, std, "squash"))
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return MemorySet(info, images, torch.tensor(data.targets), USUAL[name])


def _folder(root: Path, split: Split, size: int | None) -> FolderSet:
    found = list_split(root, split)
    info = SetInfo("folder", found.classes, Preprocessing(224 if size is None else size))
    return FolderSet(info, found.folder, found.ids, torch.tensor(found.labels), found.passed_over)


def _packed(root: Path, split: Split, size: int | None) -> PackedSet:
    found = open_packed(root, split)
    if size not in (None, packed := found.preprocessing.size):
        raise VentralError(f"the images packed in '{printable(root)}' are {packed} pixels wide and high, not {size}.")
    return found
