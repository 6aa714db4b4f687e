"""Behaviour: image-level signatures (I1, I2 and their normalised forms), and Brain-Score's mean of its parts.

Rajalingham et al. 2018 describe how well an image is told from each other object by a d'. Here it has the
form of docs/papers.md B.5, which is also Brain-Score's: equal arrays give equal numbers here. A response matrix is
`[presentation, choice]`: the probability of answering `choice` where the image's own object (coordinate `truth`) was
the alternative; NaN where the choice is the truth. Trials are `[presentation]`, one answer a trial, with coordinates
`stimulus_id`, `truth`, `sample_obj`, `dist_obj`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ventralstream.arguments import draws, whole
from ventralstream.arrays import as_keys, as_names
from ventralstream.assembly import in_order, names_of
from ventralstream.brain.correlation import mean_and_error, mean_of_defined, pearson
from ventralstream.brain.score import Score
from ventralstream.errors import VentralError, unknown

Signature = Literal["I1", "I1n", "I2", "I2n"]
Floats = NDArray[np.float64]

# --- response matrices ------------------------------------------------------------------------------------------------


def matrix_of_probabilities(probabilities: xr.DataArray) -> xr.DataArray:
    """A model's response matrix: p(choice) / (p(choice) + p(truth)) of each image (docs/papers.md B.5).

    Args:
        probabilities: [presentation, choice] with `stimulus_id` and `truth`; one row an image.

    Returns:
        [presentation, choice] in the order given; NaN where the choice is the truth.
    """
    probabilities = in_order(probabilities, "presentation", "choice", what="a response matrix")
    truth, own = _own_column(probabilities)
    p = np.asarray(probabilities.values, dtype=np.float64)
    of_truth = p[np.arange(len(p)), own][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = p / (p + of_truth)
    matrix[np.arange(len(p)), own] = np.nan
    return _matrix(matrix, names_of(probabilities, "stimulus_id"), truth, names_of(probabilities, "choice"))


def matrix_of_trials(trials: xr.DataArray) -> xr.DataArray:
    """People's response matrix: how often an object was answered, of the trials that offered it (docs/papers.md B.5).

    Args:
        trials: Answers [presentation] with `stimulus_id`, `truth`, `sample_obj`, `dist_obj`.

    Returns:
        [presentation, choice], images and objects sorted; NaN where the choice is the truth or was never offered.
    """
    trials = in_order(trials, "presentation", what="a response matrix of trials")
    if not trials.size:
        raise VentralError("a response matrix needs trials; got none")
    answers = as_keys(as_names(trials.values, "trials have no answer"))
    sample, distractor = (names_of(trials, c) for c in ("sample_obj", "dist_obj"))
    if (other := (answers != sample) & (answers != distractor)).any():
        raise VentralError(
            f"{int(other.sum())} of {len(answers)} answers are neither of the two objects offered, e.g."
            f" '{answers[other][0]}' of '{sample[other][0]}' and '{distractor[other][0]}'"
        )
    images, first, image = np.unique(names_of(trials, "stimulus_id"), return_index=True, return_inverse=True)
    truths = names_of(trials, "truth")
    truth = truths[first]
    if (differs := truths != truth[image]).any():
        raise VentralError(
            f"the image '{images[image[differs][0]]}' shows '{truth[image[differs][0]]}' in one trial and"
            f" '{truths[differs][0]}' in another"
        )
    objects = np.unique(np.concatenate([answers, truth, distractor]))
    chosen, offered = np.zeros((2, len(images), len(objects)))
    np.add.at(chosen, (image, np.searchsorted(objects, answers)), 1)
    np.add.at(offered, (image, np.searchsorted(objects, sample)), 1)
    np.add.at(offered, (image, np.searchsorted(objects, distractor)), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.where(offered > 0, chosen / offered, np.nan)
    matrix[np.arange(len(images)), np.searchsorted(objects, truth)] = np.nan
    return _matrix(matrix, images, truth, objects)


# --- signatures -------------------------------------------------------------------------------------------------------


def d_prime(matrix: xr.DataArray, *, clip: float = 5.0) -> xr.DataArray:
    """How well each image is told from each other object: z(hit) - z(false alarm), clipped.

    hit = 1 - matrix[image, choice]; the false alarms are those on the choice's own images: the mean, over images of
    `choice`, of answering this image's object (docs/papers.md B.5).

    Args:
        matrix: A response matrix [presentation, choice].
        clip: The largest size kept.

    Returns:
        [presentation, choice]; NaN where the matrix is, where no image of the choice is there, and where hit and
        false alarms are both certain (infinity less infinity).
    """
    matrix = in_order(matrix, "presentation", "choice", what="d'")
    truth, own = _own_column(matrix)
    per_object = np.stack([mean_of_defined(matrix.values[truth == choice], 0) for choice in names_of(matrix, "choice")])
    with np.errstate(invalid="ignore"):
        values = ndtri(1 - matrix.values) - ndtri(per_object.T[own])
    return matrix.copy(data=np.clip(values, -clip, clip))


def signature(matrix: xr.DataArray, name: Signature = "I2n", *, clip: float = 5.0) -> xr.DataArray:
    """I1, I1n, I2 or I2n of a response matrix (Rajalingham et al. 2018; docs/papers.md B.5).

    Args:
        matrix: A response matrix [presentation, choice].
        name: I2 is the d' of each image and distractor; I1 its mean over distractors. The n is for normalised: the
            mean over the images of each (truth, choice) is subtracted from the d', which leaves what is the image's.
        clip: The largest d' kept.

    Returns:
        [presentation, choice] for I2 and I2n; [presentation] for I1 and I1n.
    """
    if name not in ("I1", "I1n", "I2", "I2n"):
        raise unknown("signature", name, ["I1", "I1n", "I2", "I2n"])
    result = d_prime(matrix, clip=clip)
    if name.endswith("n"):
        truth = names_of(result, "truth")
        values = result.values.copy()
        for each in np.unique(truth):
            values[truth == each] -= mean_of_defined(values[truth == each], 0)
        result = result.copy(data=values)
    if name.startswith("I1"):
        return result.isel(choice=0, drop=True).copy(data=mean_of_defined(result.values, 1))
    return result


def correlate(one: xr.DataArray, other: xr.DataArray) -> tuple[float, int]:
    """Pearson's r of two signatures over what both define: shared images (and choices), neither value NaN.

    Returns:
        r (NaN with fewer than two values or without variance) and how many values it rests on.
    """
    for what in ("stimulus_id", "choice")[: one.ndim]:
        a, b = names_of(one, what), names_of(other, what)
        if len(np.unique(a)) < len(a) or len(np.unique(b)) < len(b):
            raise VentralError(f"a signature has each {what} once; got some more than once")
        _, rows, other_rows = np.intersect1d(a, b, return_indices=True)
        dim = "presentation" if what == "stimulus_id" else "choice"
        one, other = one.isel({dim: rows}), other.isel({dim: other_rows})
    x, y = one.values.ravel(), other.values.ravel()
    count = int((np.isfinite(x) & np.isfinite(y)).sum())
    return (float(pearson(x, y)) if count else float("nan")), count


def behavioural_ceiling(trials: xr.DataArray, name: Signature = "I2n", *, halvings: int = 2, seed: int = 0) -> Score:
    """How well people agree with themselves: Pearson's r between the signatures of two random halves of the trials.

    Args:
        trials: As for `matrix_of_trials`.
        name: The signature.
        halvings: How many times the trials are halved (Brain-Score: 2).
        seed: Of the halving (Brain-Score: 0).

    Returns:
        The mean over halvings, not corrected for the halves' length (as published).
    """
    trials = in_order(trials, "presentation", what="a behavioural ceiling")
    rs = np.array(
        [
            correlate(*(signature(matrix_of_trials(half), name) for half in pair))[0]
            for pair in _halves(trials, halvings, seed)
        ]
    )
    return Score(
        value=float(rs.mean()),
        raw=float(rs.mean()),
        formula=f"{name}: Pearson's r between halves of the trials",
        n={"trials": trials.sizes["presentation"], "halvings": halvings},
        seed=seed,
        error=float(mean_and_error(rs)[1]),
        per_split=rs,
        reason="" if np.isfinite(rs).all() else "the signature of a half of the trials does not vary",
    )


def behavioural_consistency(
    probabilities: xr.DataArray,
    trials: xr.DataArray,
    name: Signature = "I2n",
    *,
    halvings: int = 2,
    seed: int = 0,
) -> Score:
    """How well a model's signature agrees with people's: Brain-Score's Rajalingham 2018 score (docs/papers.md B.5).

    Args:
        probabilities: The model's [presentation, choice], e.g. of `choice_probabilities`.
        trials: People's, as for `matrix_of_trials`, of the same images.
        name: The signature.
        halvings: How many times the trials are halved.
        seed: Of the halving.

    Returns:
        raw: mean over halvings of Pearson's r between the model and the first half of people's trials; ceiling: of
        r between the halves; value: mean of r / sqrt(ceiling), each halving with its own.
    """
    probabilities = in_order(probabilities, "presentation", "choice", what="behavioural consistency")
    trials = in_order(trials, "presentation", what="behavioural consistency (of people)")
    images = names_of(probabilities, "stimulus_id").tolist()
    truth_of = dict(zip(names_of(trials, "stimulus_id").tolist(), names_of(trials, "truth").tolist(), strict=True))
    odd = sorted(map(str, set(images) ^ set(truth_of)))
    if odd:
        raise VentralError(f"the model and the trials differ in {len(odd)} images, e.g. '{odd[0]}'; expected the same")
    probabilities = probabilities.assign_coords(truth=("presentation", [truth_of[image] for image in images]))
    model = signature(matrix_of_probabilities(probabilities), name)
    raw, ceilings, counts = [], [], []
    for half, rest in _halves(trials, halvings, seed):
        people, others = signature(matrix_of_trials(half), name), signature(matrix_of_trials(rest), name)
        r, count = correlate(model, people)
        raw.append(r)
        counts.append(count)
        ceilings.append(correlate(people, others)[0])
    rs, tops = np.array(raw), np.array(ceilings)
    corrected = np.full(halvings, np.nan)
    corrected[tops > 0] = rs[tops > 0] / np.sqrt(tops[tops > 0])
    reason = ""
    if not (tops > 0).all():
        reason = f"the halves of people's trials do not agree (r = {tops.min():.3f}), so there is no ceiling"
    elif not np.isfinite(rs).all():
        reason = "the model's signature does not vary"
    return Score(
        value=float(corrected.mean()),
        raw=float(rs.mean()),
        ceiling=float(tops.mean()),
        formula=f"{name}: r / sqrt(r between halves of the trials), per halving",
        n={
            "images": len(images),
            "trials": trials.sizes["presentation"],
            "values": min(counts),
            "halvings": halvings,
        },
        seed=seed,
        error=float(mean_and_error(corrected)[1]),
        per_split=corrected,
        reason=reason,
    )


# --- the mean of the parts --------------------------------------------------------------------------------------------


def brain_score_2019(*, v4: float, it: float, behaviour: float, ost: float) -> float:
    """Brain-Score as in Kubilius, Schrimpf et al. 2019: the plain mean of its four raw parts (docs/papers.md B.3).

    Args:
        v4: Median Pearson r of V4 predictivity.
        it: That of IT.
        behaviour: The I2n correlation.
        ost: The correlation of object solution times; NaN (no dynamics) counts as 0, as there.

    Raises:
        VentralError: When one of the other parts is NaN: only object solution times have a published zero.
    """
    undefined = [name for name, part in (("v4", v4), ("it", it), ("behaviour", behaviour)) if not np.isfinite(part)]
    if undefined:
        raise VentralError(f"Brain-Score (2019) needs a number for {', '.join(undefined)}; only ost may be NaN")
    return (v4 + it + behaviour + (ost if np.isfinite(ost) else 0.0)) / 4


def _matrix(values: Floats, images: NDArray[Any], truth: NDArray[Any], choices: NDArray[Any]) -> xr.DataArray:
    coords = {"stimulus_id": ("presentation", images), "truth": ("presentation", truth), "choice": choices}
    return xr.DataArray(values, dims=("presentation", "choice"), coords=coords)


def _own_column(matrix: xr.DataArray) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Each image's object, and the column of it."""
    truth = names_of(matrix, "truth")
    column = {str(choice): i for i, choice in enumerate(names_of(matrix, "choice"))}
    for each in np.unique(truth):
        if each not in column:
            raise unknown("object", each, column, ": it is the truth of an image but not among the choices")
    return truth, np.array([column[each] for each in truth], dtype=np.intp)


def _halves(trials: xr.DataArray, halvings: int, seed: int) -> Iterator[tuple[xr.DataArray, xr.DataArray]]:
    """Random halves of the trials; the legacy generator, because the published halves are its."""
    trials = in_order(trials, "presentation", what="a halving of trials")
    random = np.random.RandomState(whole("seed", seed, 0))
    for _ in range(draws("halvings", halvings, 1)):
        order = list(range(trials.sizes["presentation"]))
        random.shuffle(order)
        half = len(order) // 2
        yield trials.isel(presentation=order[:half]), trials.isel(presentation=order[half:])
