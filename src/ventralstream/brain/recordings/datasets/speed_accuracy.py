"""People naming pictures when they must: accuracy over forced-response times (Subramanian et al. 2021)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xarray import DataArray

from ventralstream.brain.recordings.datasets.files import Source, find, read_table

SOURCE = Source(
    "the speed-accuracy set of Subramanian et al. 2021",
    "human-speed-accuracy",
    "https://ajaysub110.github.io/publication/subramanian2021using/",
)
COLUMNS = {
    "target_rt_ms": "time_ms",
    "condition": "condition",
    "subject": "subject",
    "trial_id": "trial",
    "image": "stimulus_id",
    "image_level": "level",
    "category": "truth",
    "response": "response",
    "rt_ms": "reaction_time_ms",
}


def human_speed_accuracy(root: str | Path | None = None) -> DataArray:
    """43,500 trials of 33 people who named CIFAR-10 classes when a signal told them to.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its
            folder `human-speed-accuracy`.

    Returns:
        [presentation]: 1 where the answer was right, 0 where it was wrong, NaN where none came in time (23 % of the
        trials). With the coordinates

        - `time_ms`: the forced response time: 200, 400, 600, 800 or 1000.
        - `condition`: "noise", "blur" or "color_gray", one for each person; `subject`, `trial`: as published.
        - `stimulus_id`: the image's published name (level_class_number.png; the images are not in the set);
          `level`: strength of the noise (0, 0.04, 0.16) or blur (0, 1, 3), or 0 and 1 (color_gray).
        - `truth`, `response`: CIFAR-10 classes; "" where no answer came.
        - `reaction_time_ms`: to the answer, or to the end of the trial; NaN in 12 trials.

    Raises:
        VentralError: The file is not there, or lacks a column.
    """
    trials = read_table(find(root, "trials.csv.gz", SOURCE), COLUMNS)
    answered = trials["response"] != ""
    right = np.where(answered, trials["response"] == trials["truth"], np.nan)
    return DataArray(right, dims="presentation", coords={name: ("presentation", c) for name, c in trials.items()})
