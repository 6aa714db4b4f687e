"""92 objects in monkey and human IT: representational dissimilarities (Kriegeskorte et al. 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from ventralstream.brain.recordings.datasets.files import Source, find, read_mat
from ventralstream.data.stimuli import Stimuli

SOURCE = Source(
    "the 92-object set of Kriegeskorte et al. 2008",
    "kriegeskorte-92",
    "https://github.com/rsagroup/rsatoolbox (demos/92imageData; https://doi.org/10.1016/j.neuron.2008.10.043)",
)


@dataclass(frozen=True, eq=False)
class Kriegeskorte92:
    """The set; every RDM is symmetric with zeros on its diagonal, in the order of the stimuli.

    Attributes:
        stimuli: The 92 images, 175 x 175; their ids are "01" to "92".
        category: [92], e.g. "human face".
        membership: Per published grouping ("animate", "face", "rand24", ...), which of the 92 are in it.
        monkey_it: [92, 92], 1 - correlation over 674 neurons of two monkeys.
        human_it: [92, 92], 1 - correlation over 316 voxels; the mean of `human_it_sessions`.
        human_it_sessions: [4 subjects, 2 sessions, 92, 92].
        behaviour: [16 subjects, 92, 92], judged dissimilarities.
    """

    stimuli: Stimuli
    category: NDArray[np.str_]
    membership: dict[str, NDArray[np.bool_]]
    monkey_it: NDArray[np.float64]
    human_it: NDArray[np.float64]
    human_it_sessions: NDArray[np.float64]
    behaviour: NDArray[np.float64]


def kriegeskorte92(root: str | Path | None = None) -> Kriegeskorte92:
    """Loads the set.

    Args:
        root: The folder of the data sets; None: the one that VENTRALSTREAM_DATA names. The set is its
            folder `kriegeskorte-92`.

    Raises:
        VentralError: The files are not there.
    """
    main = read_mat(find(root, "Kriegeskorte_Neuron2008_supplementalData.mat", SOURCE))
    sessions = read_mat(find(root, "92_brainRDMs.mat", SOURCE), simplify=False)["RDMs"][0]
    judged = read_mat(find(root, "92_behavRDMs.mat", SOURCE), simplify=False)["rdms_behav_92"][0]
    objects, rdms = main["stimuli_92objs"], main["RDMs_mIT_hIT_fig1"]
    ids = tuple(f"{i + 1:02}" for i in range(len(objects)))
    membership = np.asarray(main["categoryVectors"], dtype=bool)
    return Kriegeskorte92(
        stimuli=Stimuli(ids, np.stack([o["image"] for o in objects])),
        category=np.array([str(o["category"]) for o in objects]),
        membership={str(label): membership[:, i] for i, label in enumerate(main["categoryLabels"])},
        monkey_it=squareform(np.asarray(rdms[0]["RDM"], dtype=float)),
        human_it=squareform(np.asarray(rdms[1]["RDM"], dtype=float)),
        human_it_sessions=np.array([[s["RDM"] for s in subject] for subject in sessions], dtype=float),
        behaviour=np.array([s["RDM"] for s in judged], dtype=float),
    )
