"""What is put on a page: networks opened by name, or cut, and images from files or from the box, as traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ventralstream.data.degraded import phase_scrambled
from ventralstream.data.image_file import EXTENSIONS
from ventralstream.data.listing import list_images
from ventralstream.data.pixels import generator, normalise
from ventralstream.errors import VentralError, printable
from ventralstream.explore import cuts
from ventralstream.explore.examples import Pictures, preprocessing
from ventralstream.explore.trace import MOST_BYTES, Trace, trace
from ventralstream.files import is_folder
from ventralstream.models import open_model
from ventralstream.models.create import Opened
from ventralstream.presentation import Presentation
from ventralstream.spec import NetworkSpec

CUT = "cut:"
MOST_IMAGES = 24


def image_files(given: Sequence[Path]) -> list[Path]:
    """The image files that are named, or lie in a folder that is.

    Raises:
        VentralError: there are none, or more than 24.
    """
    found: list[Path] = []
    for path in given:
        found += [path / name for name in list_images(path)] if is_folder(path) else [path]
    if len(found) > MOST_IMAGES:
        raise VentralError(f"there are {len(found)} images; a page shows at most {MOST_IMAGES}")
    return found


def is_image_name(name: str) -> bool:
    """Whether a word of a command line is the name of an image file, and not of a network."""
    return name.lower().endswith(EXTENSIONS)


def pictures_of(spec: NetworkSpec, paths: Sequence[Path]) -> Pictures:
    """Image files as a network reads them."""
    read = preprocessing(spec).read
    pixels = torch.stack([read(path) for path in paths])
    return Pictures(pixels, tuple(printable(p.name) for p in paths), ("",) * len(paths), "files")


def beside(opened: Opened, other: str, seed: int = 0) -> tuple[Opened, tuple[str, str]]:
    """The network to compare with, and what to call the two in a word.

    Args:
        opened: The network.
        other: What `open_model` takes; or "cut:" and what to cut of the network itself, such as "cut:feedback" or
            "cut:conv5-conv3,conv4" (see `cuts.cuttable`).
        seed: Of fresh weights.
    """
    if not other.startswith(CUT):
        found = open_model(other, seed)
        names = (opened.name, found.name)
        return found, names if names[0] != names[1] else ("first", "second")
    parts = [part.strip() for part in other.removeprefix(CUT).split(",")]
    without = f"without {' and '.join(parts)}"
    changed = replace(opened, network=cuts.cut(opened.network, parts), name=f"{opened.name} {without}")
    return changed, ("intact", without)


def traced(
    opened: Opened,
    pictures: Pictures,
    steps: int | None = None,
    presentation: Presentation | None = None,
    most_bytes: int = MOST_BYTES,
    on_image: Callable[[int], None] = lambda done: None,
) -> Trace:
    """The trace of a network that sees pictures; a mask, where one is shown, is the image with its phases scrambled.

    Args:
        opened: The network.
        pictures: The pictures.
        steps, presentation, most_bytes, on_image: As for `trace`.
    """
    spec = opened.network.spec
    stimulus = {"image": normalise(pictures.pixels, spec.mean, spec.std)}
    if any(s.shows == "mask" for s in (presentation or spec.presentation).segments):
        stimulus["mask"] = phase_scrambled(stimulus["image"], generator(0))
    return trace(
        opened.network,
        stimulus,
        steps,
        presentation=presentation,
        name=opened.name,
        weights=opened.weights,
        names=pictures.names,
        truths=pictures.truths,
        class_names=opened.class_names,
        most_bytes=most_bytes,
        on_image=on_image,
    )
