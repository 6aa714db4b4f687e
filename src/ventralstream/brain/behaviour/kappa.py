"""Error consistency: whether two observers fail on the same images (Geirhos et al. 2020)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.metrics import cohen_kappa_score

from ventralstream.arrays import as_floats, as_keys, as_text
from ventralstream.assembly import in_order, names_of
from ventralstream.brain.correlation import mean_of_defined
from ventralstream.brain.score import Score
from ventralstream.errors import VentralError


def cohens_kappa(correct: ArrayLike, other: ArrayLike) -> float:
    """Error consistency of two observers on the same images (Geirhos et al. 2020): Cohen's kappa of being right.

    (observed - expected) / (1 - expected), where observed is how often both are right or both wrong, and expected is
    how often they would be by chance, given their accuracies.

    Args:
        correct: Whether the one was right, [image] of 0 and 1 (or booleans).
        other: Whether the other was, [image].

    Returns:
        kappa; NaN where both are always right or both always wrong (nothing to agree on).
    """
    a, b = (as_floats(x, "answers").astype(np.float64) for x in (correct, other))
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise VentralError(f"error consistency takes two rows of the same length; got {a.shape} and {b.shape}")
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise VentralError("error consistency takes 0 (wrong) and 1 (right), and no missing answers")
    if len(np.unique(np.concatenate([a, b]))) < 2:
        return float("nan")
    return float(cohen_kappa_score(a, b))


def error_consistency(model: xr.DataArray, people: xr.DataArray) -> Score:
    """Error consistency of a model with people, by subject and condition (Geirhos et al. 2020).

    Args:
        model: The model's answers [presentation] with `stimulus_id`, `truth` and, where people have it, `condition`.
        people: People's answers [presentation] with `stimulus_id`, `truth`, `subject` and maybe `condition`.

    Returns:
        value and raw: the mean kappa over conditions, then over subjects (with its sign; Brain-Score takes the size of
        it); ceiling: the same among pairs of subjects, None with only one; per_neuroid: one kappa a subject, sorted.
        The value is not divided by the ceiling.
    """
    model, people = (in_order(a, "presentation", what="error consistency") for a in (model, people))
    answers = _by_subject(people)
    of_model = _correct_by_image(model, "the model")
    table: dict[str, list[float]] = {}
    for subject, conditions in answers.items():
        kappas = []
        for condition, (images, right) in conditions.items():
            try:
                own = [of_model[condition if "condition" in model.coords else None, image] for image in images]
            except KeyError as e:
                raise VentralError(f"the model has no answer to {e.args[0][1]!r} (condition {condition!r})") from None
            kappas.append(cohens_kappa(own, right))
        table[subject] = kappas
    per_subject = np.array([mean_of_defined(np.array(kappas)) for kappas in table.values()])
    pairs = []
    for a, b in combinations(answers.values(), 2):
        kappas = []
        for condition in a.keys() & b.keys():
            left, right_of = dict(zip(*a[condition], strict=True)), dict(zip(*b[condition], strict=True))
            shared = sorted(left.keys() & right_of.keys())
            if shared:
                kappas.append(cohens_kappa([left[i] for i in shared], [right_of[i] for i in shared]))
        if kappas:
            pairs.append(mean_of_defined(np.array(kappas)))
    value = float(mean_of_defined(per_subject))
    undefined = int(sum(np.isnan(kappas).sum() for kappas in table.values()))
    return Score(
        value=value,
        raw=value,
        ceiling=float(mean_of_defined(np.array(pairs))) if pairs else None,
        formula="Cohen's kappa of being right; mean over conditions, then subjects",
        n={
            "subjects": len(table),
            "conditions": len({c for conditions in answers.values() for c in conditions}),
            "trials": people.sizes["presentation"],
            "kappas_undefined": undefined,
        },
        per_neuroid=per_subject,
        reason="" if np.isfinite(value) else "the model and every subject are always right or always wrong",
    )


def _correct_by_image(answers: xr.DataArray, whose: str) -> dict[tuple[Any, Any], bool]:
    """Whether each (condition, image) was answered rightly; condition None where there are none."""
    images = names_of(answers, "stimulus_id").tolist()
    conditions = names_of(answers, "condition").tolist() if "condition" in answers.coords else [None] * len(images)
    given, truth = as_keys(as_text(answers.values)), names_of(answers, "truth")
    right = given == truth  # no answer is a wrong one
    if len(images) and not np.isin(given, [*truth.tolist(), ""]).any():
        raise VentralError(
            f"no answer of {whose} is the name of anything shown: '{given[0]}' where '{truth[0]}' is shown; answers and"
            " truths have one set of names"
        )
    table = dict(zip(zip(conditions, images, strict=True), right.tolist(), strict=True))
    if len(table) < len(images):
        raise VentralError(f"{whose} answers {len(images) - len(table)} images more than once; once each is expected")
    return table


def _by_subject(people: xr.DataArray) -> dict[str, dict[Any, tuple[list[Any], list[bool]]]]:
    """Per subject and condition: the images and whether each was answered rightly."""
    subjects = names_of(people, "subject")
    result: dict[str, dict[Any, tuple[list[Any], list[bool]]]] = {}
    for subject in np.unique(subjects):
        rows = people.isel(presentation=np.flatnonzero(subjects == subject))
        for (condition, image), right in _correct_by_image(rows, f"subject {subject}").items():
            images, rights = result.setdefault(str(subject), {}).setdefault(condition, ([], []))
            images.append(image)
            rights.append(right)
    return result
