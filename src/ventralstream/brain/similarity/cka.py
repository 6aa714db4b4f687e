"""Linear centred kernel alignment of two representations (Kornblith et al. 2019)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ventralstream.arrays import as_floats
from ventralstream.assembly import in_order, names_of
from ventralstream.errors import VentralError

Floats = NDArray[np.float64]


def linear_cka(one: xr.DataArray, other: xr.DataArray, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations of the same stimuli (Kornblith et al. 2019).

    Args:
        one: [presentation, neuroid] with `stimulus_id`, each once.
        other: The same stimuli, in any order.
        debiased: With the unbiased estimator of HSIC (Song et al. 2007), which is near 0 for unrelated representations
            however many neuroids they have, and can be negative; Brain-Score's default. False: as first published.

    Returns:
        The alignment; 1 for representations equal up to rotation and scale. NaN where one of them does not vary (or,
        debiased, where its own estimate is not positive; Brain-Score says 0 there).
    """
    one, other = (in_order(a, "presentation", "neuroid", what="CKA") for a in (one, other))
    ids, index = np.unique(names_of(one, "stimulus_id"), return_index=True)
    other_ids, other_index = np.unique(names_of(other, "stimulus_id"), return_index=True)
    sizes = one.sizes["presentation"], other.sizes["presentation"]
    if sizes != (len(ids), len(other_ids)) or not np.array_equal(ids, other_ids):
        raise VentralError(f"CKA needs the same stimuli once in both; got {sizes[0]} and {sizes[1]} presentations")
    n = len(ids)
    if debiased and n < 4:
        raise VentralError(f"debiased CKA needs at least 4 stimuli; got {n}")
    x, y = (as_floats(a.values, "responses").astype(np.float64) for a in (one, other))
    for a in (x, y):
        if not np.isfinite(a).all():
            raise VentralError(f"{int((~np.isfinite(a)).any(0).sum())} neuroids have NaN responses; CKA takes none")
    x, y = x[index] - x.mean(0), y[other_index] - y.mean(0)
    if not debiased and max(x.shape[1], y.shape[1]) <= n:
        hsic = [float(((a.T @ b) ** 2).sum()) for a, b in ((x, y), (x, x), (y, y))]
    else:
        k, m = x @ x.T, y @ y.T
        if debiased:
            k, m = _u_centred(k), _u_centred(m)
        hsic = [float((a * b).sum()) for a, b in ((k, m), (k, k), (m, m))]
    return hsic[0] / float(np.sqrt(hsic[1] * hsic[2])) if hsic[1] * hsic[2] > 0 else float("nan")


def _u_centred(gram: Floats) -> Floats:
    """U-centring (Szekely & Rizzo 2014): inner products of what it returns are unbiased estimates of HSIC."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    rows = gram.sum(0) / (n - 2)
    centred: Floats = gram - rows[:, None] - rows[None] + gram.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred
