"""Macaque V4: responses to natural images (Cowley et al. 2023), any of the authors' sessions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.assembly import assembly
from ventralstream.brain.recordings.datasets.files import Source, read_npy
from ventralstream.data import list_images, open_image
from ventralstream.data.stimuli import Stimuli, names_in_zip, read_zip
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, unknown

SOURCE = Source(
    "the V4 recordings of Cowley et al. 2023 (GPL-3)",
    "macaque-v4",
    "https://github.com/cowleygroup/V4_compact_models (data_V4_responses; https://doi.org/10.1101/2023.11.22.568315)",
)
FOLDERS = (SOURCE.folder, "data_V4_responses")  # ours, and the authors'
REPEATED = "210325"  # the session whose repetitions were published one by one
_RESPONSES = re.compile(r"responses_(?:raw_)?([\w-]+)\.npy")


def macaque_v4(root: str | Path | None = None, session: str = REPEATED) -> DataArray:
    """Responses of V4 neurons in one session: spikes in one bin of 100 ms.

    Where the bin lies in time is not said in the files, so the assembly has no time bins.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its folder
            `macaque-v4`, or `data_V4_responses` as its authors publish it, or it is that folder itself: a session S is
            `responses_S.npy` (neurons x images, means) or `responses_raw_S.npy`, as the authors have it
            `responses_raw/responses_S.npy` (neurons x images x repetitions, NaN where there is none), there or in a
            folder in it, with `images_S.zip` or a folder `images_S`.
        session: One of `macaque_v4_sessions`, e.g. "210325" (50 neurons, 640 images, each shown 6 to 10 times, 4,840
            presentations in all), or "201025" (89 neurons, 1,200 images) or "210225" (55 neurons, 1,200 images), which
            are means over repetitions.

    Returns:
        Assembly [presentation, neuroid]. The stimulus ids are the names in the session's images
        (`macaque_v4_images`); with repetitions published it has `repetition`. In 210325 no response is missing: images
        were repeated unequally often, and all neurons were recorded together.

    Raises:
        VentralError: for an unknown session (naming the nearest), or if files are not there or do not match.
    """
    files, pictures = _session(root, session)
    ids = np.array(_names(pictures))
    raw = next((f for f in files if "raw" in f.name or "raw" in f.parent.name), None)
    values: NDArray[np.float64] = read_npy(raw or files[0])
    if values.ndim not in (2, 3) or values.shape[1] != len(ids):
        raise VentralError(
            f"'{raw or files[0]}' is of shape {list(values.shape)}; expected neurons x {len(ids)} (x repetitions), as"
            f" many as there are images in '{pictures}'"
        )
    repetition: NDArray[np.int64] | None = None
    if values.ndim == 3:
        image, repetition = np.nonzero(~np.isnan(values).all(0))
        values, ids = values[:, image, repetition].T, ids[image]
    else:
        values = values.T
    return assembly(
        values,
        stimulus_id=ids,
        repetition=repetition,
        neuroid_id=[f"{session}-{i:02}" for i in range(values.shape[1])],
        region="V4",
        attrs={"unit": "spikes", "bin_ms": 100, "source": "Cowley et al. 2023"},
    )


def macaque_v4_images(root: str | Path | None = None, session: str = REPEATED) -> Stimuli:
    """The images of one session (112 x 112 in those published), in the order of the responses.

    Args:
        root: As for `macaque_v4`.
        session: As there.

    Raises:
        VentralError: for an unknown session, or if the files are not there.
    """
    pictures = _session(root, session)[1]
    return _read_folder(pictures) if pictures.is_dir() else read_zip(pictures)


def macaque_v4_sessions(root: str | Path | None = None) -> tuple[str, ...]:
    """The sessions that are there, sorted; `root` as for `macaque_v4`."""
    return tuple(sorted(_responses(data_root(root, SOURCE.folder))))


def _responses(root: Path) -> dict[str, list[Path]]:
    """The files of responses of each session."""
    found: dict[str, list[Path]] = {}
    for folder in (root, *(root / name for name in FOLDERS)):
        for path in sorted(
            [*folder.glob("responses_*.npy"), *(folder.glob("*/responses_*.npy") if folder != root else ())]
        ):
            if match := _RESPONSES.fullmatch(path.name):
                found.setdefault(match[1], []).append(path)
    return found


def _session(root: str | Path | None, session: str) -> tuple[list[Path], Path]:
    """A session's files of responses, and its images."""
    place = data_root(root, SOURCE.folder)
    responses = _responses(place)
    if session not in responses:
        if responses or session != REPEATED:
            where = f" in '{place}' ({SOURCE})"
            raise unknown("data set", f"{SOURCE.folder}:{session}", _named(responses or [REPEATED]), where)
        raise VentralError(
            f"'{place / SOURCE.folder / f'responses_raw_{session}.npy'}' does not exist; it is part of {SOURCE}"
        )
    beside = responses[session][0].parent
    for folder in (beside, beside.parent, *sorted(p for p in beside.parent.iterdir() if p.is_dir())):
        for name in (f"images_{session}.zip", f"images_{session}"):
            if (folder / name).exists():
                return responses[session], folder / name
    raise VentralError(f"'{beside / f'images_{session}.zip'}' does not exist; it is part of {SOURCE}")


def _named(sessions: Sequence[str] | dict[str, list[Path]]) -> list[str]:
    return [f"{SOURCE.folder}:{session}" for session in sorted(sessions)]


def _names(pictures: Path) -> tuple[str, ...]:
    return tuple(list_images(pictures)) if pictures.is_dir() else names_in_zip(pictures)


def _read_folder(folder: Path) -> Stimuli:
    """The images of a folder, in colour."""
    names = _names(folder)
    pixels = [np.asarray(open_image(folder / name, 3)) for name in names]
    if len({p.shape for p in pixels}) != 1:
        raise VentralError(
            f"'{folder}' holds {len(pixels)} images of different sizes; expected images, all of one size"
        )
    return Stimuli(names, np.stack(pixels))
