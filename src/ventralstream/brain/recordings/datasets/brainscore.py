"""Recordings and behaviour that Brain-Score distributes: Majaj & Hong 2015, Kar 2019, Rajalingham 2018.

What is at which address, and its SHA-1, are facts of Brain-Score's public registry (brain-score/vision,
brainscore_vision/data/*/__init__.py). Its private sets need credentials that only Brain-Score gives; whoever has such a
file puts it into the folder by hand, where it is checked and read like the others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from xarray import DataArray

from ventralstream.assembly import names_of
from ventralstream.brain.recordings.datasets.files import read_table
from ventralstream.brain.recordings.netcdf import read, with_stimulus_table
from ventralstream.data_root import data_root
from ventralstream.errors import VentralError, reason, unknown
from ventralstream.extras import require

HOME = "https://www.brain-score.org"
ADDRESS = "https://brainscore-storage.s3.amazonaws.com/brainio-brainscore"


@dataclass(frozen=True)
class StimulusFiles:
    """The table and the images of a set of stimuli.

    Attributes:
        identifier: Its name at Brain-Score.
        csv_sha1: SHA-1 of the table.
        zip_sha1: SHA-1 of the images.
    """

    identifier: str
    csv_sha1: str
    zip_sha1: str

    @property
    def csv(self) -> str:
        """Name of the table's file."""
        return f"stimulus_{self.identifier.replace('.', '_')}.csv"

    @property
    def zip(self) -> str:
        """Name of the file of images."""
        return f"stimulus_{self.identifier.replace('.', '_')}.zip"


@dataclass(frozen=True)
class BrainScoreSet:
    """A set in the catalogue.

    Attributes:
        identifier: Its name at Brain-Score.
        sha1: SHA-1 of its file.
        stimuli: What was shown.
        access: "private" needs Brain-Score's credentials.
    """

    identifier: str
    sha1: str
    stimuli: StimulusFiles
    access: Literal["public", "private"]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"assy_{self.identifier.replace('.', '_')}.nc"


_HVM = StimulusFiles("hvm", "a56f55205904d5fb5ead4d0dc7bfad5cc4083b94", "6fd5080deccfb061699909ffcb86a26209516811")
_HVM_PUBLIC = StimulusFiles(
    "hvm-public", "5ca7a3da00d8e9c694a9cd725df5ba0ad6d735af", "8aa44e038d7b551efa8077467622f9d48d72e473"
)
_HVM_PRIVATE = StimulusFiles(
    "hvm-private", "6ff4981722fa05feb73a2bd26bbbba8b50dc29a6", "d7b1ca1876dad87e15b0242b4c82c0203ff3cbd3"
)
_KAR = StimulusFiles("Kar2019", "7f705bdea02c0a72a76d7f5e7b6963531df818a6", "75ab7b8b499fc8e86c813f717b79d268bcb986be")
_OBJECTOME_PUBLIC = StimulusFiles(
    "objectome.public", "47884e17106a3be471d6481279cab33889b80850", "064f2955f98e63867755fee2e3ead8cddf6bfab8"
)
_OBJECTOME_PRIVATE = StimulusFiles(
    "objectome.private", "ac38e8f7c08fa8294ed25a3bf84a6adb108bf3fc", "ccd39f7f9b8b4a92da06e3960d06225e46208593"
)

SETS = {
    s.identifier.removeprefix("dicarlo."): s
    for s in (
        BrainScoreSet(
            "dicarlo.MajajHong2015.public", "13d28ca0ce88ee550b54db3004374ae19096e9b9", _HVM_PUBLIC, "public"
        ),
        BrainScoreSet(
            "dicarlo.MajajHong2015.temporal.public", "093ac35b3e8464c676d24cf38238415d4d6a9448", _HVM_PUBLIC, "public"
        ),
        BrainScoreSet(
            "dicarlo.MajajHong2015.private", "7a40d16148d6f82939155f0bd976d310857fb156", _HVM_PRIVATE, "private"
        ),
        BrainScoreSet(
            "dicarlo.MajajHong2015.temporal.private",
            "804ea9e7c08ae9ab7a7d705c9c7e68582750e2ea",
            _HVM_PRIVATE,
            "private",
        ),
        BrainScoreSet(
            "dicarlo.MajajHong2015.temporal-10ms", "3a43db05db722b456d156f53b7215413c994e5b5", _HVM, "private"
        ),
        BrainScoreSet("dicarlo.Kar2019", "147717ce397e11d56164d472063a84a83bbcbb94", _KAR, "private"),
        BrainScoreSet(
            "dicarlo.Rajalingham2018.public", "34c6a8b6f7c523589c1861e4123232e5f7c7df4c", _OBJECTOME_PUBLIC, "public"
        ),
        BrainScoreSet(
            "dicarlo.Rajalingham2018.private", "516f13793d1c5b72bb445bb4008448ce97a02d23", _OBJECTOME_PRIVATE, "private"
        ),
    )
}


def download(name: str, root: str | Path, *, images: bool = False, address: str = ADDRESS) -> Path:
    """Downloads a set and the table of its stimuli; what is there already and whole is left alone.

    Args:
        name: One of `SETS`, e.g. "MajajHong2015.public".
        root: The folder to put the files in; it is made if need be.
        images: Whether to download the images too (a zip archive).
        address: Where the files are.

    Returns:
        The recordings' file; `load(name, root)` reads it.

    Raises:
        VentralError: for an unknown name; if the network or the server refuses; if a file is not what it should be.
    """
    found = _set(name)
    wanted = [(found.file, found.sha1), (found.stimuli.csv, found.stimuli.csv_sha1)]
    if images:
        wanted.append((found.stimuli.zip, found.stimuli.zip_sha1))
    for file, sha1 in wanted:
        path = Path(root) / file
        if path.is_file() and _sha1(path) == sha1:
            continue
        try:
            fetch(f"{address}/{file}", path, sha1)
        except VentralError as error:
            private = f" ('{name}' is private: it needs Brain-Score's credentials)" if found.access == "private" else ""
            raise VentralError(f"{error}{private}") from None
    return Path(root) / found.file


def load(name: str, root: str | Path | None = None, *, into_memory: bool = True) -> DataArray:
    """Loads a downloaded set, with what the table of its stimuli says of them, as Brain-Score does.

    Args:
        name: One of `SETS`.
        root: The folder it was downloaded to; None: the one that VENTRALSTREAM_DATA names.
        into_memory: Whether to read the values now; see `read`. The temporal sets take several GB.

    Returns:
        MajajHong2015: assembly [presentation, neuroid, time_bin] with `repetition`, `region`, `object_name`, ...
        Kar2019: [presentation, decoder] object solution times; see `monkey_solution_times`. Rajalingham2018:
        [presentation] choices of people, as text, with `truth`, `sample_obj` (the object shown) and `dist_obj` (the
        other one offered), as `ventralstream.brain.behaviour.signatures` takes them.

    Raises:
        VentralError: for an unknown name, or if a file is not there or not what it should be.
    """
    found, root = _set(name), data_root(root, name)
    path, table = Path(root) / found.file, Path(root) / found.stimuli.csv
    for file, sha1 in ((path, found.sha1), (table, found.stimuli.csv_sha1)):
        if not file.is_file():
            how = "puts it there" if found.access == "public" else "asks for it, but needs Brain-Score's credentials"
            raise VentralError(
                f"'{file}' does not exist; download('{name}', '{root}') {how}; it is one of Brain-Score's, {HOME}"
            )
        if _sha1(file) != sha1:
            raise VentralError(f"'{file}' is not the file that Brain-Score published (its SHA-1 differs); delete it")
    recordings = with_stimulus_table(read(path, load=into_memory), read_table(table))
    return recordings.assign_attrs(identifier=found.identifier, stimulus_set_identifier=found.stimuli.identifier)


def monkey_solution_times(kar2019: DataArray, decoder: str = "svm") -> DataArray:
    """The monkeys' object solution times of Kar 2019, each image once (docs/papers.md B.6).

    An image that is in the set twice is taken as it first comes, and the images are sorted by id, as in Brain-Score's
    benchmark.

    Args:
        kar2019: `load("Kar2019", root)`.
        decoder: "svm" (the benchmark's) or "logistic".

    Returns:
        [presentation] times in ms, as published (NaN where IT never solves the image), with `stimulus_id`, `i1` (the
        monkeys' behaviour) and `object_name`.

    Raises:
        VentralError: for another set, or an unknown decoder.
    """
    for name in ("decoder", "i1", "image_label"):
        if name not in kar2019.coords:
            raise VentralError(f"these are no object solution times of Kar 2019: they have no '{name}'")
    decoders = names_of(kar2019, "decoder").tolist()
    if decoder not in decoders:
        raise unknown("decoder", decoder, decoders)
    times = kar2019.isel(decoder=decoders.index(decoder), drop=True)
    _, first = np.unique(names_of(times, "stimulus_id"), return_index=True)
    return times.isel(presentation=first).assign_coords(
        object_name=("presentation", times["image_label"].values[first]),
    )


def fetch(url: str, path: Path, sha1: str, timeout_s: float = 60) -> None:
    """Downloads a file beside its place, checks it, and renames it.

    Args:
        url: Where it is.
        path: Its place.
        sha1: Its SHA-1.
        timeout_s: How long to wait for an answer.

    Raises:
        VentralError: The network or the server refuses, or the file is another one.
    """
    require("brain", "pooch")
    import pooch
    from requests.exceptions import HTTPError, RequestException

    pooch.get_logger().setLevel("WARNING")
    get = pooch.HTTPDownloader(timeout=timeout_s)
    try:
        pooch.retrieve(url, f"sha1:{sha1}", fname=path.name, path=path.parent, downloader=get)
    except HTTPError as error:
        answer = f"{error.response.status_code} {error.response.reason}"
        raise VentralError(f"'{url}' cannot be downloaded: the server answers {answer}") from None
    except RequestException as error:
        raise VentralError(f"'{url}' cannot be downloaded: {reason(error)}; is there a network?") from None
    except OSError as error:  # a full disk
        raise VentralError(f"'{path}' cannot be written: {reason(error)}") from None
    except ValueError:  # of pooch, where the checksum differs
        raise VentralError(f"'{url}' is not the file expected: its SHA-1 is not {sha1}") from None


def _set(name: str) -> BrainScoreSet:
    if name not in SETS:
        raise unknown("Brain-Score set", name, SETS)
    return SETS[name]


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
