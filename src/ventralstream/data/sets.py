"""Labelled image sets by name: CIFAR-10 and -100, any folder of class folders, and digits in clutter."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100

from ventralstream.data.augment import Augment
from ventralstream.data.folder import Preprocessing
from ventralstream.data.folder_set import FolderSet
from ventralstream.data.listing import is_hidden, list_folder, normal
from ventralstream.data.memory import MemorySet
from ventralstream.data.pixels import generator
from ventralstream.data.scenes import MEAN, STD, compose_scenes
from ventralstream.data.source import SetInfo
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, printable, unknown

Split = Literal["train", "val"]

SETS = ("cifar10", "cifar100", "folder", "scenes")
_SPLITS = ("train", "val")
_SCENES = {"train": 10_000, "val": 2_000}  # how many are composed unless a subset is asked for
_CIFAR = {
    "cifar10": (CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": (CIFAR100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
FOLDER_PAGES = (
    "ImageNet: https://image-net.org/download.php; Tiny-ImageNet: http://cs231n.stanford.edu/tiny-imagenet-200.zip"
)


def load_set(
    name: str,
    root: str | Path | None = None,
    split: Split = "train",
    *,
    size: int | None = None,
    subset: int | None = None,
    seed: int = 0,
    clutter: Sequence[int] | None = None,
) -> MemorySet | FolderSet:
    """Loads a labelled image set; nothing is downloaded.

    * "cifar10", "cifar100": read from the official files into memory; training usually shifts by up to 4 pixels and
      reflects (as He et al. 2016, but for what comes in from outside; see `Augment`).
    * "folder": `root/train/<class>/...` and `root/val/<class>/...`, images as `open_image` takes them, read as
      needed; training usually cuts out parts of at least 8 % of the area and reflects, evaluation is the "crop" of
      `Preprocessing`. The classes are the folders in `root/train` (in `root/val` if there is no `train`) by name, but
      for hidden ones.
    * "scenes": digits in clutter, composed in memory of scans that scikit-learn carries; training usually shifts by
      up to 2 pixels. "val" is made of other scans than "train".

    Args:
        name: One of `SETS`.
        root: Folder of the set; None: the one that VENTRALSTREAM_DATA names. Not for "scenes".
        split: "train", or "val" for what is held out of it (CIFAR's test images).
        size: Height and width in pixels for "folder" (224) and "scenes" (32); CIFAR's are 32.
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
    if name == "folder":
        return _folder(folder, split, size, subset, seed)
    return _cifar(name, folder, split, size, subset, seed)


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
    return MemorySet(info, made.images, made.labels, Augment(crop=2))


def _cifar(name: str, root: Path, split: Split, size: int | None, subset: int | None, seed: int) -> MemorySet:
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
    rows = _rows(len(data.targets), subset, seed, name)
    images = torch.from_numpy(data.data)[rows].permute(0, 3, 1, 2).contiguous()
    return MemorySet(info, images, torch.tensor(data.targets)[rows], Augment(crop=4, flip="random"))


def _folder(root: Path, split: Split, size: int | None, subset: int | None, seed: int) -> FolderSet:
    folder = root / split
    place = printable(folder)
    like = f"such as '{printable(folder / 'cat' / '1.jpg')}'"
    if not folder.is_dir():
        raise VentralError(
            f"there is no folder '{place}'; expected the images of each class in a folder of its own, {like}"
            f" ({FOLDER_PAGES})."
        )
    classes = _class_folders(root / "train" if (root / "train").is_dir() else folder)
    number = {name: i for i, name in enumerate(classes)}
    unfit = [c for c in _class_folders(folder) if c not in number]
    if unfit and (folder / "val_annotations.txt").is_file():
        raise VentralError(
            f"the images in '{place}' lie in one folder, as Tiny-ImageNet is published; move each into the"
            " folder of its class, which is the second column of 'val_annotations.txt'."
        )
    if unfit:
        also = f" (one of {len(unfit)} folders there that are no classes of 'train')" if len(unfit) > 1 else ""
        raise unknown("class", unfit[0], classes, f" in '{place}'{also}")
    listing = list_folder(folder)
    found = [(id_, number[id_.split("/")[0]]) for id_ in listing.ids if id_.split("/")[0] in number]
    if not found:
        raise VentralError(f"no image in '{place}' is in a class folder, {like}.")
    empty = sorted(set(range(len(classes))) - {label for _, label in found})
    if split == "train" and empty:
        more = f", nor of {len(empty) - 1} other classes" if len(empty) > 1 else ""
        raise VentralError(f"there is no image of the class '{printable(classes[empty[0]])}' in '{place}'{more}.")
    passed_over = listing.passed_over
    if outside := len(listing.ids) - len(found):
        images = "1 image" if outside == 1 else f"{outside} images"
        before = f"{passed_over} and" if passed_over else f"passed over in '{place}':"
        passed_over = f"{before} {images} in no class folder"
    kept = [found[row] for row in _rows(len(found), subset, seed, str(folder)).tolist()]
    info = SetInfo("folder", classes, Preprocessing(224 if size is None else size))
    labels = torch.tensor([label for _, label in kept])
    return FolderSet(info, folder, tuple(id_ for id_, _ in kept), labels, passed_over)


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = [p.name for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name)]
    if odd := [name for name in names if not name.isprintable()]:
        raise VentralError(
            f"the class folder '{printable(odd[0])}' in '{printable(folder)}' has a name that is no text in UTF-8;"
            " rename it."
        )
    return tuple(sorted(map(normal, names)))


def _rows(count: int, subset: int | None, seed: int, name: str) -> Tensor:
    """The rows of a set to keep: all of them in order, or the first `subset` of a permutation."""
    if subset is None:
        return torch.arange(count)
    if subset > count:
        raise VentralError(f"a subset of {subset} images was asked for, '{name}' has {count}.")
    return torch.randperm(count, generator=generator(seed))[:subset]
