"""Which images lie below a folder, and of which class each is: a folder a class, or Tiny-ImageNet's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ventralstream.data.listing import is_hidden, list_folder, normal
from ventralstream.errors import VentralError, printable, reason, unknown

PAGES = "ImageNet: https://image-net.org/download.php; Tiny-ImageNet: http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TABLE = "val_annotations.txt"  # of Tiny-ImageNet: name and class of each image, and where the object is, by tabs


@dataclass(frozen=True)
class Labelled:
    """Image files and their classes.

    Attributes:
        folder: Where they are.
        ids: Their paths relative to it, sorted.
        labels: Of each, which of the classes it is.
        classes: The names of the classes.
        passed_over: What lies there and is none of these, in a sentence; "" if there is nothing.
    """

    folder: Path
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    passed_over: str


def list_split(root: Path, split: str) -> Labelled:
    """The images in `root/<split>/<class>/...`, or in `root/val/images` as Tiny-ImageNet is published.

    The classes are the folders in `root/train` (in `root/<split>` if there is no `train`) by name, but for hidden ones.

    Raises:
        VentralError: There are none, or of a class that is none of training's, or not of every class to train.
    """
    folder = root / split
    if not folder.is_dir():
        raise VentralError(
            f"there is no folder '{printable(folder)}'; expected the images of each class in a folder of its own,"
            f" {_example(folder)} ({PAGES})."
        )
    train = root / "train"
    if (folder / _TABLE).is_file():
        return _by_table(folder, class_folders(train) if train.is_dir() else None)
    classes = class_folders(train if train.is_dir() else folder)
    unfit = [c for c in class_folders(folder) if c not in classes]
    if unfit:
        also = f" (one of {len(unfit)} folders there that are no classes of 'train')" if len(unfit) > 1 else ""
        raise unknown("class", unfit[0], classes, f" in '{printable(folder)}'{also}")
    found = list_classes(folder, classes)
    if split == "train":
        require_all_classes(found)
    return found


def require_all_classes(found: Labelled) -> None:
    """Raises VentralError if there is no image of a class."""
    if empty := sorted(set(range(len(found.classes))) - set(found.labels)):
        more = f", nor of {len(empty) - 1} other classes" if len(empty) > 1 else ""
        name = printable(found.classes[empty[0]])
        raise VentralError(f"there is no image of the class '{name}' in '{printable(found.folder)}'{more}.")


def class_folders(folder: Path) -> tuple[str, ...]:
    """The names of the folders in a folder, sorted, but for hidden ones.

    Raises:
        VentralError: One cannot be shown: it is no text in UTF-8, or has control characters.
    """
    names = [p.name for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name)]
    if odd := [name for name in names if printable(name) != name]:
        raise VentralError(
            f"the class folder '{printable(odd[0])}' in '{printable(folder)}' has a name with characters that cannot be"
            " shown; rename it."
        )
    return tuple(sorted(map(normal, names)))


def list_classes(folder: Path, classes: tuple[str, ...]) -> Labelled:
    """The images in `folder/<class>/...`.

    Raises:
        VentralError: There is none.
    """
    number = {name: i for i, name in enumerate(classes)}
    return _labelled(folder, classes, lambda id_: number.get(id_.split("/")[0]), "in a class folder")


def _by_table(folder: Path, classes: tuple[str, ...] | None) -> Labelled:
    """Images in one folder, whose classes stand in a table beside it."""
    table, class_of = folder / _TABLE, {}
    try:
        for line in table.read_text(encoding="utf-8").splitlines():
            name, label = line.split("\t")[:2]
            class_of[name] = label
    except (OSError, ValueError) as error:
        raise VentralError(
            f"'{printable(table)}' cannot be read as Tiny-ImageNet's: expected lines of an image's name, a tab and its"
            f" class ({reason(error)})."
        ) from None
    if classes is None:
        classes = tuple(sorted(set(class_of.values())))
    number = {name: i for i, name in enumerate(classes)}
    if unfit := sorted(set(class_of.values()) - set(classes)):
        raise unknown("class", unfit[0], classes, f" in '{printable(table)}'")
    classed = {name: number[label] for name, label in class_of.items()}
    return _labelled(folder, classes, lambda id_: classed.get(id_.rsplit("/", 1)[-1]), f"named in {_TABLE}")


def _labelled(folder: Path, classes: tuple[str, ...], label_of: Callable[[str], int | None], where: str) -> Labelled:
    listing = list_folder(folder)
    found = [(id_, label) for id_ in listing.ids if (label := label_of(id_)) is not None]
    if not found:
        raise VentralError(f"no image in '{printable(folder)}' is {where}, {_example(folder)}.")
    passed_over = listing.passed_over
    if others := len(listing.ids) - len(found):
        images = "1 image" if others == 1 else f"{others} images"
        before = f"{passed_over} and" if passed_over else f"passed over in '{printable(folder)}':"
        passed_over = f"{before} {images} not {where}"
    ids, labels = zip(*found, strict=True)
    return Labelled(folder, ids, labels, classes, passed_over)


def _example(folder: Path) -> str:
    return f"such as '{printable(folder / 'cat' / '1.jpg')}'"
