"""What the commands of `ventral brain` are given by name: recordings, and models as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from xarray import DataArray

    from ventralstream.data.stimuli import Stimuli
    from ventralstream.network import Network

Kind = Literal["recordings", "similarity", "people", "solution times", "choices"]

_SESSIONS = tuple(f"macaque-v4:{session}" for session in ("210325", "201025", "210225"))
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
PIXELS = "pixels"
PIXELS_SIZE = 32  # height and width that images are brought to for the baseline; our choice


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
    data = _SESSIONS[0] if data == "macaque-v4" else data
    valid = [name for kind in kinds for name in data_sets(kind)]
    if data in valid:
        return data
    for kind, command in _COMMANDS.items():
        if data in data_sets(kind):
            raise VentralError(f"'{data}' is for `ventral brain {command}`; expected one of: {', '.join(valid)}")
    raise unknown("data set", data, valid, " (and no NetCDF file of that name)")


def is_file(data: str) -> bool:
    """Whether recordings are named by a file's path, and not as a data set."""
    return data.endswith((".nc", ".nc4", ".h5")) or Path(data).is_file()


def folder(root: Path | None, data: str) -> Path:
    """The folder of the data sets; VentralError if none is given."""
    if root is None:
        raise VentralError(f"'{data}' needs --root, the folder in which it lies (or VENTRALSTREAM_DATA)")
    return root


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


def open_recordings(data: str, root: Path | None, images: Path | None = None, bin_ms: int = 10) -> Recorded:
    """Opens recordings of neurons: a data set by name, or a NetCDF file.

    Args:
        data: The name or the path.
        root: The folder of the data sets.
        images: Folder of the images.
        bin_ms: Width of the time bins of macaque-it.
    """
    from ventralstream.assembly import check
    from ventralstream.brain import read
    from ventralstream.brain.recordings import datasets

    if is_file(data):
        return Recorded(Path(data).name, check(read(data)), images)
    name = known(data, ["recordings"])
    place = folder(root, data)
    if name.startswith("macaque-v4"):
        session = name.partition(":")[2]
        shown = images or datasets.macaque_v4_images(place, session)
        return Recorded(name, datasets.macaque_v4(place, session), shown)
    if name == "macaque-it":
        return Recorded(name, datasets.macaque_it(place, bin_ms), images)
    return Recorded(name, check(datasets.load(name, place)), images)


@dataclass(frozen=True)
class FeatureOptions:
    """How features are taken from models: see `ventralstream.brain.features`."""

    areas: str | None = None
    steps: int | None = None
    reduce: str = "none"
    projection: int = 0
    batch_size: int = 32
    seed: int = 0

    def chosen(self, valid: Sequence[str], usual: Sequence[str], where: str) -> list[str]:
        """The areas asked for; the usual ones if none are."""
        if self.areas is None:
            return list(usual)
        areas = [a.strip() for a in self.areas.split(",")]
        for area in areas:
            if area not in valid:
                raise unknown("area", area, valid, where)
        return areas


@dataclass(frozen=True)
class Features:
    """A model's features.

    Attributes:
        name: What the model is called in tables.
        weights: "untrained (seed 0)", the folder they are from, "stored", or "none" (pixels).
        areas: Features [presentation, neuroid, time_bin] by area; of pixels [presentation, neuroid].
    """

    name: str
    weights: str
    areas: Mapping[str, DataArray]


def open_model(model: str, seed: int) -> tuple[Network, str, str]:
    """A network by its folder or registered name, what to call it, and where its weights are from."""
    from ventralstream.checkpoints import load_network
    from ventralstream.models import create_model

    if Path(model).is_dir():
        return load_network(model), Path(model).resolve().name, model
    network = create_model(model, seed=seed)
    typer.echo(f"{model}: the weights are untrained (random, seed {seed})", err=True)
    return network, f"{model} (untrained)", f"untrained (seed {seed})"


def open_features(
    models: Sequence[str], images: Stimuli | Path | None, options: FeatureOptions, data: str
) -> list[Features]:
    """The features of models to images.

    Args:
        models: Each a registered model, a folder, "pixels" or a store.
        images: What they are shown; a store needs none.
        options: How the features are taken.
        data: What the images belong to, for the error if there are none.
    """
    found: list[Features] = []
    for model in models:
        if _is_store(model):
            found.append(_stored(model, options))
        elif images is None:
            raise VentralError(
                f"'{data}' comes without images to show to '{model}'; give --images FOLDER, or a store of"
                " `ventral extract` with features of its stimuli"
            )
        elif model == PIXELS:
            found.append(Features(PIXELS, "none", {PIXELS: _pixels(images)}))
        else:
            network, name, weights = open_model(model, options.seed)
            found.append(Features(name, weights, _of_network(network, images, options)))
    names = [f.name for f in found]
    for name in names:
        if names.count(name) > 1:
            raise VentralError(f"two models are called '{name}'; give each once")
    return found


def at_one_time(features: DataArray, moment: str) -> DataArray:
    """Features without time bins: the mean of the steps that the image drives, the last step, or one by number."""
    if "time_bin" not in features.dims:
        return features
    import numpy as np

    first, steps = int(features.attrs["first_step"]), _steps_of(features)
    if moment == "mean":
        rows = np.flatnonzero(steps >= first)
        if not len(rows):
            raise VentralError(f"no recorded step is driven by the image; the first would be step {first}")
    elif moment == "last":
        rows = np.array([len(steps) - 1])
    elif moment.isdigit() and int(moment) in steps:
        rows = np.flatnonzero(steps == int(moment))
    else:
        raise unknown("moment", moment, ["mean", "last", *steps.tolist()])
    return features.isel(time_bin=rows).mean("time_bin", keep_attrs=True)


def named_as(features: DataArray, recordings: DataArray) -> DataArray:
    """Features whose ids are the names of files, called as the recordings call them: with their ending or without."""
    ids = [str(i) for i in features["stimulus_id"].values]
    wanted = {str(i) for i in recordings["stimulus_id"].values}
    if wanted <= set(ids):
        return features
    bare = [str(Path(i).with_suffix("")) for i in ids]
    if wanted <= set(bare) and len(set(bare)) == len(bare):
        return features.assign_coords(stimulus_id=("presentation", bare))
    return features


def _steps_of(features: DataArray) -> Any:
    import json

    import numpy as np

    from ventralstream.jsonable import from_json

    shown = from_json(json.loads(features.attrs["presentation"]))
    onset = next(t for t in range(shown.last_change + 1) if shown.frame(t).is_stimulus)
    return np.round(features["time_bin_start"].values / features.attrs["dt_ms"]).astype(int) + onset


def _is_store(model: str) -> bool:
    return model.rstrip("/").endswith(".zarr") or (Path(model) / "zarr.json").is_file()


def _stored(path: str, options: FeatureOptions) -> Features:
    import math

    import zarr

    from ventralstream.brain import features_from_store
    from ventralstream.features.extraction import open_features as open_store

    if not Path(path).is_dir():
        raise VentralError(f"the store '{path}' does not exist")
    held = sorted(zarr.open_group(path, mode="r").group_keys())
    reduce: Any = options.reduce
    areas: dict[str, DataArray] = {}
    for area in options.chosen(held, held, f" in '{path}'"):
        sizes = open_store(path, area).shape[2:]
        count = sizes[0] if reduce != "none" and len(sizes) == 3 else math.prod(sizes)
        projection = options.projection if 0 < options.projection < count else None
        how: Any = reduce if len(sizes) == 3 else "none"
        areas |= features_from_store(path, area, reduce=how, projection=projection, seed=options.seed)
    return Features(Path(path).stem, "stored", areas)


def _of_network(network: Network, images: Stimuli | Path, options: FeatureOptions) -> dict[str, DataArray]:
    import math

    from ventralstream.brain import features

    spec = network.spec
    names = [a.name for a in spec.areas]
    areas = options.chosen(names, [n for n in names if n != spec.readout_area], f" of '{spec.name}'")
    shapes = spec.shapes().output
    sizes = {a: math.prod(shapes[a]) if options.reduce == "none" else shapes[a][0] for a in areas}
    reduce: Any = options.reduce
    parts: dict[str, DataArray] = {}
    large = [a for a in areas if 0 < options.projection < sizes[a]]
    for some, projection in ((large, options.projection), ([a for a in areas if a not in large], None)):
        if some:
            parts |= features(
                network,
                images,
                some,
                steps=options.steps,
                reduce=reduce,
                projection=projection,
                seed=options.seed,
                batch_size=options.batch_size,
            )
    return {a: parts[a] for a in areas}


def _pixels(images: Stimuli | Path) -> DataArray:
    """The images' own pixels, [presentation, neuroid]: the whole image in colour, brought to 32 x 32."""
    import numpy as np
    from PIL import Image

    from ventralstream.brain import assembly
    from ventralstream.data import list_images, open_image
    from ventralstream.data.stimuli import Stimuli

    pictures: Any
    if isinstance(images, Stimuli):
        ids: Sequence[str] = images.ids
        pictures = (Image.fromarray(p).convert("RGB") for p in images.pixels)
    else:
        ids = list_images(images)
        pictures = (open_image(images / i, 3) for i in ids)
    size = (PIXELS_SIZE, PIXELS_SIZE)
    rows = [np.asarray(p.resize(size, Image.Resampling.BILINEAR)).ravel() for p in pictures]
    pixels: DataArray = assembly(np.stack(rows).astype(np.float32) / 255, stimulus_id=list(ids))
    return pixels
