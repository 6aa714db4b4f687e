"""Partial least squares regression, equal to scikit-learn's PLSRegression(scale=False) and much faster.

scikit-learn runs NIPALS: every power iteration and every deflation passes over the whole of X. The same weights follow
from X'X (or XX') and X'Y alone if only X'Y is deflated: the kernel algorithm 2 of Dayal and MacGregor (1997, Improved
PLS algorithms, J. Chemometrics 11:73-85). (SIMPLS would differ for several targets.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ventralstream.brain.mapping.design import Split
from ventralstream.brain.mapping.linear import Mapping
from ventralstream.errors import VentralError

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class PLS(Mapping):
    """PLS regression, features and targets centred but not scaled (docs/papers.md B.4).

    Components end early where features or targets are exhausted to rounding; what is left predicts nothing.

    Attributes:
        components: How many latent components; 25 is the field's default.
        tolerance: A component's power iteration ends when the squared change of its unit weight vector is below this;
            scikit-learn's default, so that predictions equal its own even where the iteration ends before it converges.
        iterations: At most so many power iterations; scikit-learn's default.
    """

    components: int = 25
    tolerance: float = 1e-6
    iterations: int = 500

    def coefficients(self, split: Split, y: Tensor) -> Tensor:
        most = min(len(split.train), split.design.features)
        if not 1 <= self.components <= most:
            raise VentralError(
                f"PLS with {self.components} components; {len(split.train)} training rows and "
                f"{split.design.features} features allow 1 to {most}; take ridge (mapping='ridge', --mapping ridge), or"
                f" PLS(components={most}) in Python"
            )
        right = split.right(y.flatten(1)).reshape(-1, *y.shape[1:])
        with _one_thread():
            return torch.stack([self._solve(split, right[:, g].contiguous()) for g in range(y.shape[1])], 1)

    def _solve(self, split: Split, c: Tensor) -> Tensor:
        """Coefficients [d, targets] from the right-hand side c [d, targets], which it deflates in place.

        In the dual form a vector a stands for the weights X'a: its inner products are those of the metric XX', which
        is the system itself. `mc` is the metric times c (c itself in the primal form), and so for other names.
        """
        s, dual = split.system, split.dual
        mc = s @ c if dual else c
        scale = _largest(c, mc)
        size = s.diagonal().sum()
        rotations: list[Tensor] = []
        loadings: list[Tensor] = []
        y_loadings: list[Tensor] = []
        for _ in range(self.components):
            if not _largest(c, mc) > 1e-28 * scale:
                break
            v = torch.from_numpy(self._dominant(c, mc)).to(c)
            r = c @ v
            if rotations:
                old_r, old_mp = torch.stack(rotations, 1), torch.stack(loadings, 1)
                for _ in range(2):  # the second time for what rounding leaves of the first
                    r = r - old_r @ (old_mp.T @ r)
            sr = s @ r
            variance = (sr if dual else r) @ sr  # of the component's scores
            if not variance > 1e-15 * size:
                break
            p = sr / variance
            mp = s @ p if dual else p
            q = (mc.T @ r) / variance
            c.addr_(p, q, alpha=-float(variance))
            if dual:
                mc.addr_(mp, q, alpha=-float(variance))
            rotations.append(r)
            loadings.append(mp)
            y_loadings.append(q)
        if not rotations:  # constant features or targets: the mean predicts best
            return torch.zeros_like(c)
        return torch.stack(rotations, 1) @ torch.stack(y_loadings)

    def _dominant(self, c: Tensor, mc: Tensor) -> Vector:
        """The dominant right singular vector v of X'Y (the metric's sense), with c @ v of unit length.

        The iteration starts and ends where scikit-learn's does, but runs on the small [targets, targets] side.
        """
        lengths = (c * mc).sum(0)
        start = int(torch.nonzero(lengths > 1e-20 * lengths.max())[0])
        targets = c.shape[1]
        apply: Callable[[Vector], Vector]
        if targets <= len(c):
            g: Vector = (mc.T @ c).cpu().numpy()
            apply = g.__matmul__
        else:
            left, right = mc.T.cpu().numpy(), c.cpu().numpy()
            apply = lambda u: left @ (right @ u)  # noqa: E731
        v = np.zeros(targets)
        v[start] = 1.0
        gv = apply(v)
        norm = np.sqrt(v @ gv)
        v, gv = v / norm, gv / norm
        for _ in range(0 if targets == 1 else self.iterations - 1):
            ggv = apply(gv)
            norm = np.sqrt(gv @ ggv)
            v_new, gv_new = gv / norm, ggv / norm
            change = (v_new - v) @ (gv_new - gv)
            v, gv = v_new, gv_new
            if change < self.tolerance:
                break
        return v


@contextmanager
def _one_thread() -> Iterator[None]:
    """One CPU thread for products so small that threads wait for each other longer than they work (2 to 10 times)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _largest(c: Tensor, mc: Tensor) -> float:
    """The largest squared length of a column."""
    return float((c * mc).sum(0).max())
