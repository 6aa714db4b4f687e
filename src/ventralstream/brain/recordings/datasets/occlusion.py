"""People naming occluded objects, with and without a mask that follows (Tang et al. 2018)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xarray import DataArray

from ventralstream.brain.recordings.datasets.files import Source, find, read_mat, read_table
from ventralstream.data.stimuli import Stimuli

SOURCE = Source(
    "the occlusion set of Tang et al. 2018",
    "human-occlusion",
    "https://github.com/kreimanlab/occlusion-classification (https://doi.org/10.1073/pnas.1719397115)",
)
CATEGORIES = np.array(["animal", "chair", "face", "fruit", "vehicle"])  # 1 to 5 in the files; read off the images
COLUMNS = {
    "correct": "correct",
    "subject": "subject",
    "pres": "stimulus",
    "masked": "masked",
    "soa": "soa_s",
    "VBLsoa": "measured_soa_ms",
    "black": "hidden_percent",
    "nbubbles": "bubbles",
    "truth": "truth",
    "response_category": "response",
    "reaction_times": "reaction_time_s",
}


def human_occlusion(root: str | Path | None = None) -> DataArray:
    """13,000 trials of 21 people who named the category of an occluded object, backward masked or not.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its
            folder `human-occlusion`.

    Returns:
        [presentation]: 1 where the answer was right, 0 where it was wrong. With the coordinates

        - `masked`: whether a mask followed; `soa_ms`: 25, 50, 75, 100 or 150, from image to mask (or blank);
          `measured_soa_ms`: what the screen did.
        - `subject`: a number; `stimulus_id`: "001" to "325", the object, as in `human_occlusion_images`. People saw
          300 or all 325 objects, each twice at one SOA: once masked, once not.
        - `hidden_percent`: published as "black"; how much of the object was hidden (our reading: accuracy falls with
          it). It differs between people for the same object. `bubbles`: how many holes showed it (4 to 8).
        - `truth`, `response`: "animal", "chair", "face", "fruit" or "vehicle"; `reaction_time_ms`.

    Raises:
        VentralError: The file is not there, or lacks a column.
    """
    trials = read_table(find(root, "trials_v2.csv.gz", SOURCE), COLUMNS)
    columns = {
        "masked": trials["masked"].astype(bool),
        "soa_ms": np.round(trials["soa_s"] * 1000).astype(int),
        "measured_soa_ms": trials["measured_soa_ms"],
        "subject": trials["subject"].astype(int),
        "stimulus_id": np.char.zfill(trials["stimulus"].astype(int).astype(str), 3),
        "hidden_percent": trials["hidden_percent"],
        "bubbles": trials["bubbles"].astype(int),
        "truth": CATEGORIES[trials["truth"].astype(int) - 1],
        "response": CATEGORIES[trials["response"].astype(int) - 1],
        "reaction_time_ms": trials["reaction_time_s"] * 1000,
    }
    coords = {name: ("presentation", c) for name, c in columns.items()}
    return DataArray(trials["correct"].astype(float), dims="presentation", coords=coords)


def human_occlusion_images(root: str | Path | None = None) -> Stimuli:
    """The 325 occluded objects, 256 x 256, grey; "001" to "325".

    An object was hidden differently for different people (`hidden_percent`); these are one rendering of each.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its
            folder `human-occlusion`.

    Raises:
        VentralError: The file is not there.
    """
    images = read_mat(find(root, "occluded_images.mat", SOURCE))["img_mat"]
    return Stimuli(tuple(f"{i + 1:03}" for i in range(len(images))), np.stack(list(images)))
