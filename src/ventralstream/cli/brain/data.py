"""The data sets and files that the commands of `ventral brain` are given by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from xarray import DataArray

    from ventralstream.data.stimuli import Stimuli

Kind = Literal["recordings", "similarity", "people", "solution times", "choices"]

V4, V4_USUAL = "macaque-v4", "macaque-v4:210325"
_SESSIONS = (V4_USUAL, "macaque-v4:201025", "macaque-v4:210225")  # there are more
_OTHERS: dict[str, Kind] = {
    "kriegeskorte-92": "similarity",
    "human-speed-accuracy": "people",
    "human-occlusion": "people",
}
_COMMANDS: dict[Kind, str] = {
    "recordings": "score, consistency or decode",
    "similarity": "rsa",
    "people": "people",
    "solution times": "ost",
    "choices": "behaviour",
}


def data_sets(kind: Kind) -> tuple[str, ...]:
    """The names of the data sets of a kind."""
    from ventralstream.brain.recordings.datasets import SETS

    published = {
        "recordings": [*_SESSIONS, "macaque-it", *(s for s in SETS if s.startswith("MajajHong"))],
        "solution times": [s for s in SETS if s.startswith("Kar")],
        "choices": [s for s in SETS if s.startswith("Rajalingham")],
    }
    return tuple(published.get(kind, [])) + tuple(name for name, k in _OTHERS.items() if k == kind)


def known(data: str, kinds: Sequence[Kind]) -> str:
    """Checks the name of a data set; "macaque-v4" is its session with repetitions.

    Raises:
        VentralError: for an unknown name, or one that another command takes.
    """
    valid = [name for kind in kinds for name in data_sets(kind)]
    if "recordings" in kinds and (data == V4 or data.startswith(f"{V4}:")):  # which sessions there are, the folder says
        return V4_USUAL if data == V4 else data
    if data in valid:
        return data
    for kind, command in _COMMANDS.items():
        if data in data_sets(kind):
            raise VentralError(f"'{data}' is for `ventral brain {command}`; expected one of: {', '.join(valid)}")
    raise unknown("data set", data, valid, " (and no file of that name)")


def is_file(data: str) -> bool:
    """Whether recordings are named by a file's path, and not as a data set."""
    return data.endswith((".nc", ".nc4", ".h5", ".nwb")) or Path(data).is_file()


@dataclass(frozen=True)
class Recorded:
    """Recordings and what was shown.

    Attributes:
        name: What they are called.
        recordings: The assembly.
        images: What was shown; None if that is not known.
    """

    name: str
    recordings: DataArray
    images: Stimuli | Path | None


def open_recordings(
    data: str, root: Path | None, images: Path | None = None, bin_ms: int = 10, stimulus: str | None = None
) -> Recorded:
    """Opens recordings of neurons: a data set by name, or a NetCDF or NWB file; their time bins in rising order.

    Args:
        data: The name or the path.
        root: The folder of the data sets.
        images: Folder of the images.
        bin_ms: Width of the time bins of macaque-it, and of NWB files.
        stimulus: Of NWB files, the column of the trials that names the stimulus.
    """
    found = _open(data, root, images, bin_ms, stimulus)
    if "time_bin" not in found.recordings.dims:
        return found
    from ventralstream.assembly import numbers_of

    starts = numbers_of(found.recordings, "time_bin_start")
    return replace(found, recordings=found.recordings.isel(time_bin=starts.argsort(kind="stable")))


def _open(data: str, root: Path | None, images: Path | None, bin_ms: int, stimulus: str | None) -> Recorded:
    from ventralstream.assembly import check
    from ventralstream.brain import read, read_nwb
    from ventralstream.brain.recordings import datasets
    from ventralstream.brain.recordings.nwb import is_nwb

    if is_file(data):
        recordings = read_nwb(data, stimulus=stimulus, bin_ms=bin_ms) if is_nwb(data) else check(read(data))
        return Recorded(Path(data).name, recordings, images)
    if stimulus is not None:
        raise VentralError(f"--stimulus is for NWB files; '{data}' names its stimuli itself")
    name = known(data, ["recordings"])
    place = data_root(root, name)
    if name.startswith("macaque-v4"):
        session = name.partition(":")[2]
        shown = images or datasets.macaque_v4_images(place, session)
        return Recorded(name, datasets.macaque_v4(place, session), shown)
    if name == "macaque-it":
        return Recorded(name, datasets.macaque_it(place, bin_ms), images)
    return Recorded(name, check(datasets.load(name, place)), images)
