"""Occluded objects with and without a backward mask: accuracy against the stimulus-onset asynchrony (SOA).

Tang et al. 2018 showed an image for the SOA, then grey or a mask. `trials_under_masking` puts a model through the same;
its trials and people's are the same kind of array, 0 or 1 (NaN: no answer) `[presentation]` with coordinates for the
SOA in ms and for whether there was a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ventralstream.arrays import as_column, as_names
from ventralstream.assembly import coordinate, in_order, numbers_of
from ventralstream.brain.behaviour.accuracy import AccuracyCurve, accuracy_curve
from ventralstream.brain.correlation import pearson
from ventralstream.errors import VentralError

Floats = NDArray[np.float64]


def soa_steps(soa_ms: float, dt_ms: float, image_ms: float | None = None) -> tuple[int, int]:
    """An SOA in steps of a model: how long the image is on, and the gap from its end to the mask.

    Args:
        soa_ms: From the image's onset to the mask's.
        dt_ms: Of one step; the SOA is rounded to whole steps.
        image_ms: How long the image is on; None: for the whole SOA (as in Tang et al. 2018).

    Returns:
        `on` and `gap` of `Masked(on, mask, gap)`; the SOA is `(on + gap) * dt_ms`.

    Raises:
        VentralError: When the image or the SOA is shorter than half a step, or the image longer than the SOA.
    """
    steps = round(soa_ms / dt_ms)
    on = steps if image_ms is None else round(image_ms / dt_ms)
    if on < 1 or steps < on:
        shown = soa_ms if image_ms is None else image_ms
        raise VentralError(f"an image of {shown} ms and an SOA of {soa_ms} ms are {on} and {steps} steps of {dt_ms} ms")
    return on, steps - on


def trials_under_masking(
    answer: Callable[[int, int, bool], ArrayLike],
    truth: ArrayLike,
    soas_ms: Sequence[float],
    *,
    dt_ms: float,
    image_ms: float | None = None,
    stimulus_id: ArrayLike | None = None,
) -> xr.DataArray:
    """A model's trials: each image at each SOA, without and with a mask.

    With a network, `answer` is for example

        def answer(on, gap, masked):
            shown = vs.Masked(on, mask=20, gap=gap) if masked else vs.Flash(on)
            stimulus = {"image": images, "mask": masks} if masked else images
            return net(stimulus, steps=40, presentation=shown).logits[:, -1].argmax(-1).numpy()

    or the classes of `net.decide(...)`, which answers as soon as it is sure.

    Args:
        answer: From (on, gap, masked), in steps, to the class answered for each image.
        truth: The right class of each image.
        soas_ms: The SOAs, each once.
        dt_ms: Of one step.
        image_ms: As in `soa_steps`.
        stimulus_id: The images' names; "0", "1", ... by default.

    Returns:
        0 or 1, [presentation], with `stimulus_id`, `soa_ms` (as asked for), `shown_soa_ms` (in whole steps), `masked`.
    """
    right_class = as_column(truth)
    names = np.arange(len(right_class)).astype(str) if stimulus_id is None else as_names(stimulus_id)
    rows: dict[str, list[NDArray[Any]]] = {k: [] for k in ("right", "stimulus_id", "soa_ms", "shown_soa_ms", "masked")}
    for soa_ms in soas_ms:
        on, gap = soa_steps(soa_ms, dt_ms, image_ms)
        for masked in (False, True):
            answers = as_column(answer(on, gap, masked))
            if answers.shape != right_class.shape:
                raise VentralError(f"expected one answer for each of {len(right_class)} images; got {answers.shape}")
            rows["right"].append((answers == right_class).astype(np.float64))
            rows["stimulus_id"].append(names)
            for k, v in (("soa_ms", float(soa_ms)), ("shown_soa_ms", (on + gap) * dt_ms), ("masked", masked)):
                rows[k].append(np.full(len(right_class), v))
    columns = {k: np.concatenate(v) for k, v in rows.items()}
    right = columns.pop("right")
    return xr.DataArray(right, dims=("presentation",), coords={k: ("presentation", v) for k, v in columns.items()})


@dataclass(frozen=True)
class MaskingCurves:
    """Accuracy against SOA.

    Attributes:
        unmasked: Without a mask.
        masked: With one.
    """

    unmasked: AccuracyCurve
    masked: AccuracyCurve

    @property
    def cost(self) -> Floats:
        """What the mask costs at each SOA: unmasked less masked accuracy, [soa]."""
        return self.unmasked.accuracy - self.masked.accuracy

    def to_json(self) -> dict[str, Any]:
        """The curves as plain data."""
        return {"unmasked": self.unmasked.to_json(), "masked": self.masked.to_json(), "cost": self.cost.tolist()}


def masking_curves(
    trials: xr.DataArray, *, soa: str = "soa_ms", masked: str = "masked", subject: str | None = None, seed: int = 0
) -> MaskingCurves:
    """Accuracy against SOA, with 95 % intervals, without and with a mask.

    Args:
        trials: 0, 1 or NaN, [presentation], with the coordinates below.
        soa: The coordinate of the SOA in ms.
        masked: The coordinate of whether there was a mask (booleans, or 0 and 1).
        subject: The coordinate of who answered; intervals are over subjects then, else of independent trials.
        seed: Of the resampling of subjects.
    """
    trials = in_order(trials, "presentation", what="masking curves")
    asynchrony = numbers_of(trials, soa)
    there = numbers_of(trials, masked).astype(bool)
    if not there.any() or there.all():
        raise VentralError(f"masking curves need trials with and without a mask; '{masked}' is the same for all")
    who = coordinate(trials, subject) if subject else None
    curves = [
        accuracy_curve(
            trials.values[rows],
            asynchrony[rows],
            x_name="SOA (ms)",
            subject=None if who is None else who[rows],
            seed=seed,
        )
        for rows in (~there, there)
    ]
    if not np.array_equal(curves[0].x, curves[1].x):
        raise VentralError(f"SOAs differ: {curves[0].x.tolist()} without a mask, {curves[1].x.tolist()} with one")
    return MaskingCurves(*curves)


@dataclass(frozen=True)
class MaskingComparison:
    """A model's masking curves beside people's.

    Attributes:
        model: The model's curves.
        people: People's.
        r: Pearson's r of the accuracies over SOAs, without and with a mask together.
        residual: Root of the mean squared difference of those accuracies.
        cost_r: Pearson's r over SOAs of what the mask costs.
        inside: How many of the model's accuracies lie in people's 95 % intervals, of `2 * SOAs`.
    """

    model: MaskingCurves
    people: MaskingCurves
    r: float
    residual: float
    cost_r: float
    inside: int

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data; NaN is None."""
        numbers = {k: getattr(self, k) for k in ("r", "residual", "cost_r")}
        plain = {k: v if np.isfinite(v) else None for k, v in numbers.items()}
        return {"model": self.model.to_json(), "people": self.people.to_json(), **plain, "inside": self.inside}


def compare_masking(model: MaskingCurves, people: MaskingCurves) -> MaskingComparison:
    """Compares masking curves of the same SOAs (a NaN correlation: one of them does not change)."""
    if not np.array_equal(model.unmasked.x, people.unmasked.x):
        raise VentralError(
            f"a model and people are compared at the same SOAs; got {model.unmasked.x.tolist()} and"
            f" {people.unmasked.x.tolist()} ms"
        )
    of_model = np.concatenate([model.unmasked.accuracy, model.masked.accuracy])
    of_people = np.concatenate([people.unmasked.accuracy, people.masked.accuracy])
    low = np.concatenate([people.unmasked.low, people.masked.low])
    high = np.concatenate([people.unmasked.high, people.masked.high])
    return MaskingComparison(
        model=model,
        people=people,
        r=float(pearson(of_model, of_people)),
        residual=float(np.sqrt(np.mean((of_model - of_people) ** 2))),
        cost_r=float(pearson(model.cost, people.cost)),
        inside=int(((of_model >= low) & (of_model <= high)).sum()),
    )
