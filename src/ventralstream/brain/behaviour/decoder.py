"""The softmax classifier that asks features for objects, in signatures.py and ost.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.preprocessing import StandardScaler

from ventralstream.arrays import as_floats, distinct
from ventralstream.assembly import in_order, names_of
from ventralstream.errors import VentralError
from ventralstream.values import Positive, fit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decoder:
    """A softmax classifier on standardised features; made by `fit_decoder`.

    Attributes:
        mean: What is subtracted from each feature, [feature].
        scale: What each feature is divided by, [feature]; 1 where the feature did not vary.
        weights: [feature, class].
        bias: [class].
        classes: The labels, sorted, [class].
    """

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats
    classes: NDArray[Any]

    def probabilities(self, features: ArrayLike) -> Floats:
        """The probability of each class: [image, feature] to [image, class]."""
        x = as_floats(features, "features")
        _check_finite(x)
        z = (x - self.mean) / self.scale
        result: Floats = softmax(z @ self.weights + self.bias, axis=1)
        return result


def fit_decoder(features: ArrayLike, labels: ArrayLike, *, l2: float, penalise_bias: bool = False) -> Decoder:
    """Fits multinomial logistic regression on standardised features, to its exact optimum (L-BFGS).

    Minimises mean cross-entropy + `l2 / 2` times the sum of the squared weights. Where there are more features than
    images the problem is solved in the span of the images, which holds the optimum: the result is the same, the work
    is not.

    Args:
        features: [image, feature], without NaN.
        labels: One label an image.
        l2: The weight of the penalty; scikit-learn's C is 1 / (l2 * images).
        penalise_bias: Whether the biases are in the penalty.

    Raises:
        VentralError: When a feature is NaN, lengths differ or there are fewer than two labels.
    """
    x = as_floats(features, "features").astype(np.float64)
    classes, y = distinct(labels, "images have no label")
    if x.ndim != 2 or len(x) != len(y):
        raise VentralError(f"a decoder takes features [image, feature] and one label an image; got {x.shape}, {len(y)}")
    if len(classes) < 2:
        raise VentralError(f"a decoder tells at least 2 labels apart; got {list(classes)}")
    _check_finite(x)
    mean, scale = standardisation(x)
    z = (x - mean) / scale
    n, p = z.shape
    basis: Floats | None = None
    if p > n:
        power, vectors = np.linalg.eigh(z @ z.T)
        keep = power > power[-1] * 1e-12
        root = np.sqrt(power[keep])
        basis = z.T @ (vectors[:, keep] / root)  # [feature, rank], orthonormal columns
        z = vectors[:, keep] * root
    onehot = np.eye(len(classes))[y]
    rows = z.shape[1]

    def loss(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(rows + 1, -1)
        logp = log_softmax(z @ w[:-1] + w[-1], axis=1)
        error = (np.exp(logp) - onehot) / n
        penalised = w.copy()
        if not penalise_bias:
            penalised[-1] = 0
        gradient = np.vstack([z.T @ error, error.sum(0)]) + l2 * penalised
        return -(logp * onehot).sum() / n + l2 / 2 * (penalised**2).sum(), gradient.ravel()

    start = np.zeros((rows + 1) * len(classes))
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-8, "maxcor": 30}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x.reshape(rows + 1, -1)
    weights = found[:-1] if basis is None else basis @ found[:-1]
    return Decoder(mean, scale, weights, found[-1], classes)


def _check_finite(x: Floats) -> None:
    if not np.isfinite(x).all():
        raise VentralError(f"{int((~np.isfinite(x)).any(0).sum())} features are NaN or infinite; a decoder takes none")


def standardisation(features: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column of [image, feature]; 1 for a deviation that is only rounding."""
    scaler = StandardScaler().fit(features)
    return scaler.mean_, scaler.scale_


def choice_probabilities(
    train: xr.DataArray, test: xr.DataArray, *, label: str = "object_name", c: float = 1e-3
) -> xr.DataArray:
    """What a model answers: a softmax classifier on its features, fitted on `train`, asked about `test`.

    The published recipe (docs/papers.md B.5): standardised features, multinomial logistic regression, C = 1e-3, fitted
    on 2,160 images of 24 objects. Brain-Score stops Newton-CG early; here the optimum is exact (our choice).

    Args:
        train: Features [presentation, neuroid] with coordinate `label`.
        test: Features [presentation, neuroid] with `stimulus_id`; the same neuroids.
        label: The coordinate that holds each image's object.
        c: The inverse strength of the penalty, as scikit-learn defines it.

    Returns:
        Probabilities [presentation, choice], with the coordinates of `test`'s presentations; `truth` is `test`'s
        label where it has one.
    """
    c = float(fit(c, Positive, "c"))
    train = in_order(train, "presentation", "neuroid", what="a decoder (for training)")
    test = in_order(test, "presentation", "neuroid", what="a decoder (for testing)")
    if train.sizes["neuroid"] != test.sizes["neuroid"]:
        sizes = train.sizes["neuroid"], test.sizes["neuroid"]
        raise VentralError(f"train and test features must be of the same neuroids; got {sizes[0]} and {sizes[1]}")
    if all("neuroid_id" in a.coords for a in (train, test)):
        ours, theirs = (names_of(a, "neuroid_id") for a in (train, test))
        if (ours != theirs).any():
            first = np.flatnonzero(ours != theirs)[0]
            raise VentralError(
                "train and test features must be of the same neuroids, in the same order; number"
                f" {first + 1} is '{ours[first]}' in one and '{theirs[first]}' in the other"
            )
    labels = names_of(train, label)
    x = train.values
    if not len(x):
        raise VentralError("a decoder needs images to train on; got none")
    decoder = fit_decoder(x, labels, l2=1 / (c * len(x)))
    values = decoder.probabilities(test.values)
    coords: dict[str, Any] = {
        str(n): ("presentation", v.values)
        for n, v in test.coords.items()
        if v.dims == ("presentation",) and n not in ("presentation", "choice")  # dimensions of the result
    }
    if label in test.coords:
        coords["truth"] = ("presentation", names_of(test, label))
    return xr.DataArray(values, dims=("presentation", "choice"), coords={**coords, "choice": decoder.classes})
