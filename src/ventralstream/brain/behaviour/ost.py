"""Object solution times (Kar et al. 2019): when features first tell an image's object as well as the monkey does.

A decoder of its own for each time bin gives each held-out image an I1 (signatures.py). The image is solved when I1
reaches the monkey's own I1 for it; the moment is interpolated between that bin and one before it. A model is scored by
how well it ranks images as monkey IT does (docs/papers.md A.9, B.6). Features, or recordings, are
`[presentation, neuroid, time_bin]`; the monkey's times are `[presentation]` in ms with coordinates `stimulus_id` and
`i1`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from ventralstream.arguments import draws
from ventralstream.arrays import as_column, as_floats
from ventralstream.assembly import DIMS, coordinate, in_order, names_of, numbers_of
from ventralstream.brain.behaviour.decoder import Decoder, fit_decoder, standardisation
from ventralstream.brain.behaviour.signatures import matrix_of_probabilities, signature
from ventralstream.brain.correlation import mean_and_error
from ventralstream.brain.score import Score
from ventralstream.brain.splits import train_test_splits
from ventralstream.errors import VentralError, unknown

Rule = Literal["published", "adjacent"]
Fit = Literal["optimum", "adam"]
Floats = NDArray[np.float64]

PUBLISHED_L2 = 0.463
"""The published penalty: 1 / (1e-3 * 2160), i.e. the behavioural classifier's (docs/papers.md B.6)."""


def solution_times(i1: ArrayLike, thresholds: ArrayLike, times_ms: ArrayLike, rule: Rule = "published") -> Floats:
    """When each image's I1 first reaches its threshold, linearly interpolated.

    The rules differ in what the crossing bin is joined with. "published" (docs/papers.md B.6): the earlier bin with the
    largest I1, wherever it is. "adjacent": the bin just before. Where I1 rises steadily they are the same.

    Args:
        i1: [image, bin]; a NaN neither crosses nor is joined with.
        thresholds: The monkey's I1, [image].
        times_ms: [bin], rising (Brain-Score uses the bins' starts).
        rule: "published" or "adjacent".

    Returns:
        [image] in ms: the crossing bin's own time where nothing lies before it; NaN where the threshold (or I1) is
        never reached or is NaN.
    """
    if rule not in ("published", "adjacent"):
        raise unknown("rule", rule, ["published", "adjacent"])
    y, threshold, t = (as_floats(a).astype(np.float64) for a in (i1, thresholds, times_ms))
    if threshold.ndim != 1 or t.ndim != 1 or y.shape != (*threshold.shape, *t.shape):
        raise VentralError(f"I1 must be [image, bin], {(*threshold.shape, *t.shape)}; got {y.shape}")
    if not (np.diff(t) > 0).all():
        raise VentralError("time bins must be in rising order")
    reached = y >= threshold[:, None]
    hit = reached.argmax(1)
    below = np.where((np.arange(len(t)) < hit[:, None]) & np.isfinite(y), y, -np.inf)
    last = below.argmax(1) if rule == "published" else hit - 1
    rows = np.arange(len(y))
    joined = np.isfinite(below[rows, last]) & (hit > 0)
    low, high = np.where(joined, y[rows, last], 0), np.where(joined, y[rows, hit], 1)
    fraction = np.where(joined, (threshold - low) / (high - low), 1)
    start = np.where(joined, t[last], t[hit])
    times: Floats = np.where(reached.any(1), start + fraction * (t[hit] - start), np.nan)
    return times


def i1_over_time(
    train: xr.DataArray, test: xr.DataArray, *, label: str = "object_name", fit: Fit = "optimum"
) -> xr.DataArray:
    """The I1 of each test image in each time bin, from a decoder fitted to the train images in that bin.

    Args:
        train: [presentation, neuroid, time_bin] with coordinate `label`.
        test: The same for the test images, with `stimulus_id` too.
        label: The coordinate that holds each image's object.
        fit: How the decoder is fitted, as in `ost_consistency`.

    Returns:
        [presentation, time_bin], un-normalised I1, d' clipped at 5.
    """
    if fit not in ("optimum", "adam"):
        raise unknown("fit", fit, ["optimum", "adam"])
    train, test = (in_order(a, *DIMS, what="I1 over time") for a in (train, test))
    x, z = train.values, test.values
    labels, truth = names_of(train, label), names_of(test, label)
    ids = np.arange(len(truth))  # rows, so that images may share a name
    columns = []
    for b in range(x.shape[2]):
        if fit == "adam":
            decoder = fit_decoder_adam(x[:, :, b], labels)
        else:
            decoder = fit_decoder(x[:, :, b], labels, l2=PUBLISHED_L2, penalise_bias=True)
        probabilities = xr.DataArray(
            decoder.probabilities(z[:, :, b]),
            dims=("presentation", "choice"),
            coords={"stimulus_id": ("presentation", ids), "truth": ("presentation", truth), "choice": decoder.classes},
        )
        columns.append(signature(matrix_of_probabilities(probabilities), "I1").values)
    coords: dict[str, Any] = {"stimulus_id": ("presentation", coordinate(test, "stimulus_id"))}
    coords["time_bin_start"] = ("time_bin", numbers_of(test, "time_bin_start"))
    return xr.DataArray(np.stack(columns, 1), dims=("presentation", "time_bin"), coords=coords)


def object_solution_times(
    features: xr.DataArray,
    monkey: xr.DataArray,
    *,
    label: str = "object_name",
    rule: Rule = "published",
    fit: Fit = "optimum",
    splits: int = 10,
    seed: int = 1,
) -> xr.DataArray:
    """When each image is solved in `features`, in each split that holds it out.

    Args:
        features: [presentation, neuroid, time_bin] with `stimulus_id`, `label` and `time_bin_start`; of a model, or
            recordings.
        monkey: [presentation] with `stimulus_id` and `i1`, the monkey's I1 of each image.
        label: The coordinate of `features` that holds each image's object.
        rule: As in `solution_times`.
        fit: As in `ost_consistency`.
        splits: How many random splits, 90 % train.
        seed: Of the splits.

    Returns:
        [split, presentation] in ms, images as in `monkey`; NaN where an image is not held out or not solved. The
        coordinate `held_out` [split, presentation] tells the two apart.
    """
    features, monkey = _in_order(features, monkey)
    features = _aligned(features, monkey)
    features = features.isel(time_bin=np.argsort(numbers_of(features, "time_bin_start"), kind="stable"))
    thresholds = as_floats(coordinate(monkey, "i1"), "the values of 'i1'").astype(np.float64)
    times = np.full((splits, len(thresholds)), np.nan)
    held_out = np.zeros(times.shape, dtype=bool)
    for split, (train, test) in enumerate(train_test_splits(len(thresholds), splits, seed=seed)):
        train, test = np.sort(train), np.sort(test)
        i1 = i1_over_time(features.isel(presentation=train), features.isel(presentation=test), label=label, fit=fit)
        times[split, test] = solution_times(i1.values, thresholds[test], i1["time_bin_start"].values, rule)
        held_out[split, test] = True
    return xr.DataArray(
        times,
        dims=("split", "presentation"),
        coords={
            "stimulus_id": ("presentation", coordinate(monkey, "stimulus_id")),
            "held_out": (("split", "presentation"), held_out),
        },
    )


def ost_consistency(
    features: xr.DataArray,
    monkey: xr.DataArray,
    *,
    label: str = "object_name",
    rule: Rule = "published",
    fit: Fit = "optimum",
    splits: int = 10,
    seed: int = 1,
) -> Score:
    """How well a model ranks images by when they are solved, as monkey IT does (docs/papers.md B.6).

    Args:
        features: A model's IT-like features [presentation, neuroid, time_bin], as for `object_solution_times`; times
            in ms as the recordings have them.
        monkey: Monkey IT's solution times [presentation] in ms, NaN where unsolved, with `stimulus_id` and `i1`.
        label: The coordinate of `features` that holds each image's object.
        rule: As in `solution_times`.
        fit: "optimum": the decoder is the exact optimum of the published loss (softmax on standardised features, L2
            0.463 on weights and biases), by L-BFGS: no learning rate, no chance (our choice). "adam": the published
            recipe, which stops before that optimum: Adam at 1e-4, batches of 64, at most 40 epochs. A weight can
            move by some 0.0001 a step, so with few images or few features much of the random start remains, I1 is
            smaller and images are solved later. (On 1,000 planted features and 1,188 images the two orders of images
            correlate at .9.)
        splits: How many random splits, 90 % train.
        seed: Of the splits.

    Returns:
        value and raw: the mean over splits of Spearman's correlation, over the held-out images that both solve.
        Uncorrected: Kar et al. give .79 as the ceiling of their data. NaN for a model that does not change over time.
    """
    splits = draws("splits", splits, 1)
    formula = f"Spearman of solution times ({rule} rule), mean over splits"
    features, monkey = _in_order(features, monkey)
    values = np.moveaxis(features.values, 2, 0)
    n = {"stimuli": monkey.sizes["presentation"], "splits": splits, "time_bins": features.sizes["time_bin"]}
    if (values == values[:1]).all():
        reason = "the features are the same in all time bins: nothing is solved earlier or later"
        return Score(value=float("nan"), raw=float("nan"), formula=formula, n=n, seed=seed, reason=reason)
    times = object_solution_times(features, monkey, label=label, rule=rule, fit=fit, splits=splits, seed=seed)
    target = as_floats(monkey.values, "solution times").astype(np.float64)
    both = np.isfinite(times.values) & np.isfinite(target)
    per_split = np.array([_spearman(row[ok], target[ok]) for row, ok in zip(times.values, both, strict=True)])
    undefined = int(np.isnan(per_split).sum())
    held_out = times["held_out"].values
    n |= {
        "held_out": int(held_out.sum()),
        "unsolved_by_model": int((held_out & ~np.isfinite(times.values)).sum()),
        "unsolved_by_monkey": int((held_out & ~np.isfinite(target)).sum()),
        "compared": int(both.sum()),
        "splits_undefined": undefined,
    }
    value, error = (float(x) for x in mean_and_error(per_split))
    return Score(
        value=value,
        raw=value,
        formula=formula,
        n=n,
        seed=seed,
        error=error,
        per_split=per_split,
        reason="" if undefined < splits else "no split has two images that both solve at different times",
    )


def fit_decoder_adam(features: ArrayLike, labels: ArrayLike, *, epochs: int = 40, seed: int = 0) -> Decoder:
    """Fits the decoder by the published recipe (docs/papers.md B.6), for comparison with the exact optimum.

    Standardised features; cross-entropy + 0.463 / 2 * (|W|^2 + |b|^2); Adam at 1e-4; shuffled batches of 64; at most 40
    epochs, fewer when an epoch's last batch has a cross-entropy below 1e-4. Weights start from a truncated normal of
    variance 1 / features, biases at 1.

    Args:
        features: [image, feature].
        labels: One label an image.
        epochs: The most.
        seed: Of the start and of the batches; the published start is TensorFlow's own and cannot be had exactly.
    """
    x = as_floats(features, "features").astype(np.float64)
    labels = as_column(labels)
    classes = list(dict.fromkeys(labels.tolist()))  # in the order they come
    mean, scale = standardisation(x)
    z = torch.from_numpy((x - mean) / scale).float()
    y = torch.tensor([classes.index(label) for label in labels.tolist()])
    generator = torch.Generator().manual_seed(seed)
    # The spread that leaves variance 1 / features once the normal is cut at two of its deviations.
    deviation = z.shape[1] ** -0.5 / 0.87962566103423978
    weights = torch.empty(z.shape[1], len(classes))
    torch.nn.init.trunc_normal_(weights, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator)
    weights.requires_grad_()
    bias = torch.ones(len(classes), requires_grad=True)
    adam = torch.optim.Adam([weights, bias], lr=1e-4)
    random = np.random.RandomState(seed)
    for _ in range(epochs):
        order = np.arange(len(z))
        random.shuffle(order)
        error = 0.0
        for first in range(0, len(z), 64):
            batch = torch.from_numpy(order[first : first + 64])
            loss = torch.nn.functional.cross_entropy(z[batch] @ weights + bias, y[batch])
            error = loss.item()
            loss = loss + PUBLISHED_L2 / 2 * (weights.square().sum() + bias.square().sum())
            weights.grad, bias.grad = torch.autograd.grad(loss, (weights, bias))
            adam.step()
        if error < 1e-4:
            break
    w, b = weights.detach().double().numpy(), bias.detach().double().numpy()
    return Decoder(mean, scale, w, b, np.asarray(classes))


def _in_order(features: xr.DataArray, monkey: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    what = "a comparison of solution times"
    return in_order(features, *DIMS, what=what), in_order(monkey, "presentation", what=f"{what} (of the monkey)")


def _aligned(features: xr.DataArray, monkey: xr.DataArray) -> xr.DataArray:
    """The features in the order of the monkey's images."""
    names = names_of(features, "stimulus_id").tolist()
    row = {image: i for i, image in enumerate(names)}
    if len(row) < len(names):
        twice = next(image for i, image in enumerate(names) if row[image] != i)
        raise VentralError(
            f"the image '{twice}' is {names.count(twice)} times among the features; expected each image once"
            " (`brain.mean_repetitions` averages)"
        )
    images = names_of(monkey, "stimulus_id").tolist()
    missing = [image for image in images if image not in row]
    if missing:
        raise VentralError(f"the features lack {len(missing)} of the monkey's images, e.g. '{missing[0]}'")
    return features.isel(presentation=[row[image] for image in images])


def _spearman(x: Floats, y: Floats) -> float:
    """Spearman's correlation; NaN with fewer than two values or where one does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)
