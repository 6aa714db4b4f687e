"""Macaque V4: responses to natural images (Cowley et al. 2023)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xarray import DataArray

from ventralstream.assembly import assembly
from ventralstream.brain.recordings.datasets.files import find, read_npy
from ventralstream.data.stimuli import Stimuli, names_in_zip, read_zip
from ventralstream.errors import unknown

SOURCE = "the V4 recordings of Cowley et al. 2023 (GPL-3), in the folder 'macaque-v4'"
SESSIONS = ("201025", "210225", "210325")
REPEATED = "210325"  # the session whose repetitions were published one by one


def macaque_v4(root: str | Path, session: str = REPEATED) -> DataArray:
    """Responses of V4 neurons in one session: spikes in one bin of 100 ms.

    Where the bin lies in time is not said in the files, so the assembly has no time bins.

    Args:
        root: The folder in which `macaque-v4` lies.
        session: "210325" (50 neurons, 640 images, each shown 6 to 10 times, 4,840 presentations in all), or "201025"
            (89 neurons, 1,200 images) or "210225" (55 neurons, 1,200 images), which are means over repetitions.

    Returns:
        Assembly [presentation, neuroid]. The stimulus ids are the names in the session's images
        (`macaque_v4_images`); 210325 has `repetition`, and no response is missing: images were repeated unequally
        often, and all neurons were recorded together.

    Raises:
        VentralError: for an unknown session, or if the files are not there.
    """
    if session not in SESSIONS:
        raise unknown("session", session, SESSIONS, " of macaque-v4")
    ids = np.array(names_in_zip(find(root, f"macaque-v4/images_{session}.zip", SOURCE)))
    attrs = {"unit": "spikes", "bin_ms": 100, "source": "Cowley et al. 2023"}
    if session == REPEATED:
        raw = read_npy(find(root, f"macaque-v4/responses_raw_{session}.npy", SOURCE))  # [neuron, image, repetition]
        image, repetition = np.nonzero(~np.isnan(raw).all(0))
        values, ids = raw[:, image, repetition].T, ids[image]
    else:
        values, repetition = read_npy(find(root, f"macaque-v4/responses_{session}.npy", SOURCE)).T, None
    return assembly(
        values,
        stimulus_id=ids,
        repetition=repetition,
        neuroid_id=[f"{session}-{i:02}" for i in range(values.shape[1])],
        region="V4",
        attrs=attrs,
    )


def macaque_v4_images(root: str | Path, session: str = REPEATED) -> Stimuli:
    """The images of one session: 112 x 112, in the order of the responses.

    Args:
        root: The folder in which `macaque-v4` lies.
        session: As for `macaque_v4`.

    Raises:
        VentralError: for an unknown session, or if the files are not there.
    """
    if session not in SESSIONS:
        raise unknown("session", session, SESSIONS, " of macaque-v4")
    return read_zip(find(root, f"macaque-v4/images_{session}.zip", SOURCE))
