"""The models that the commands of `ventral brain` are given by name, as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ventralstream.cli.opened import open_told, refuse_twice
from ventralstream.cli.options import listed
from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from xarray import DataArray

    from ventralstream.data.stimuli import Stimuli
    from ventralstream.network import Network

PIXELS = "pixels"
LINE_EVERY = 5.0  # seconds between two lines of progress in a pipe
PIXELS_SIZE = 32  # height and width that images are brought to for the baseline; our choice


@dataclass(frozen=True)
class FeatureOptions:
    """How features are taken from models: see `ventralstream.brain.features`."""

    areas: str | None = None
    steps: int | None = None
    reduce: str = "none"
    projection: int = 0
    batch_size: int = 32
    seed: int = 0
    device: str = "auto"

    def chosen(self, valid: Sequence[str], usual: Sequence[str], where: str) -> list[str]:
        """The areas asked for; the usual ones if none are."""
        areas = listed(self.areas)
        if areas is None:
            return list(usual)
        for area in areas:
            if area not in valid:
                raise unknown("area", area, valid, where)
        return areas


@dataclass(frozen=True)
class Features:
    """A model's features.

    Attributes:
        name: What the model is called in tables.
        weights: As `Opened.weights`; or "stored", or "none" (pixels).
        areas: Features [presentation, neuroid, time_bin] by area; of pixels [presentation, neuroid].
        note: What is to be said of it, e.g. that its run is not complete; empty if nothing is.
    """

    name: str
    weights: str
    areas: Mapping[str, DataArray]
    note: str = ""


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
    from ventralstream.device import choose_device

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
            opened, note = open_told(model, options.seed)
            network = opened.network.to(choose_device(options.device))
            areas = _of_network(network, images, options, opened.name)
            found.append(Features(opened.name, opened.weights, areas, note))
    refuse_twice([f.name for f in found])
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
    from ventralstream.assembly import names_of

    ids = names_of(features, "stimulus_id").tolist()
    wanted = set(names_of(recordings, "stimulus_id").tolist())
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
    return np.round(features["time_bin_start"].values / features.attrs["dt_ms"]).astype(int) + shown.onset


def _is_store(model: str) -> bool:
    return model.rstrip("/").endswith(".zarr") or (Path(model) / "zarr.json").is_file()


def _stored(path: str, options: FeatureOptions) -> Features:
    import math

    from ventralstream.brain import features_from_store
    from ventralstream.features.store import open_features as open_store
    from ventralstream.features.store import stored_areas

    if not Path(path).is_dir():
        raise VentralError(f"the store '{path}' does not exist")
    held = sorted(stored_areas(path))
    reduce: Any = options.reduce
    areas: dict[str, DataArray] = {}
    for area in options.chosen(held, held, f" in '{path}'"):
        sizes = open_store(path, area).shape[2:]
        count = sizes[0] if reduce != "none" and len(sizes) == 3 else math.prod(sizes)
        projection = options.projection if 0 < options.projection < count else None
        how: Any = reduce if len(sizes) == 3 else "none"
        areas |= features_from_store(path, area, reduce=how, projection=projection, seed=options.seed)
    return Features(Path(path).stem, "stored", areas)


def _of_network(network: Network, images: Stimuli | Path, options: FeatureOptions, name: str) -> dict[str, DataArray]:
    import math

    from ventralstream.brain import features
    from ventralstream.data import list_images
    from ventralstream.data.stimuli import Stimuli
    from ventralstream.progress import Progress

    spec = network.spec
    names = [a.name for a in spec.areas]
    areas = options.chosen(names, [n for n in names if n != spec.readout_area], f" of '{spec.name}'")
    shapes = spec.shapes().output
    sizes = {a: math.prod(shapes[a]) if options.reduce == "none" else shapes[a][0] for a in areas}
    reduce: Any = options.reduce
    large = [a for a in areas if 0 < options.projection < sizes[a]]
    count = len(images) if isinstance(images, Stimuli) else len(list_images(images))
    with Progress(f"showing images to {name}", count, "images", every=LINE_EVERY) as progress:
        return features(
            network,
            images,
            areas,
            steps=options.steps,
            reduce=reduce,
            projection=dict.fromkeys(large, options.projection),
            seed=options.seed,
            batch_size=options.batch_size,
            tell=progress.update,
        )


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
