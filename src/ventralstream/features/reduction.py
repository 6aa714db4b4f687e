"""Fewer features: principal components fitted on a stream of rows, and sparse random projection."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError

Rows = NDArray[Any]


class Reduction(Protocol):
    """Turns rows [n, features] into rows [n, components]."""

    components: int

    def transform(self, rows: Rows) -> Rows:
        """The reduced rows."""
        ...


class PrincipalComponents:
    """Principal components of rows that come in parts, so that not all are ever in memory.

    The rows of up to `chunk` are analysed together, which is exact if there are no more; each further chunk updates the
    components (Ross et al. 2008, scikit-learn's IncrementalPCA), which forgets what lay outside them. A chunk takes
    some 30 bytes a row and feature.

    Args:
        components: How many.
        name: Whose they are, for errors.
    """

    def __init__(self, components: int, name: str) -> None:
        from sklearn.decomposition import IncrementalPCA

        if components < 1:
            raise VentralError(f"pca is {components}; expected at least 1 component")
        self.components, self.name = components, name
        self.chunk = max(1024, 2 * components)
        self.rows = 0
        self._pca = IncrementalPCA(components)
        self._waiting: list[Rows] = []
        self._wait = 0

    def add(self, rows: Rows) -> None:
        """Takes some more rows [n, features]."""
        if rows.shape[1] < self.components:
            raise VentralError(f"pca={self.components} is more than the {rows.shape[1]} features of {self.name}")
        self._waiting.append(rows)
        self._wait += len(rows)
        self.rows += len(rows)
        while self._wait >= self.chunk + self.components:  # what stays behind is enough for an update of its own
            together = np.concatenate(self._waiting)
            self._pca.partial_fit(together[: self.chunk].astype(np.float64))
            self._waiting, self._wait = [together[self.chunk :]], len(together) - self.chunk

    def finish(self) -> None:
        """Ends the fit.

        Raises:
            VentralError: There were fewer rows than components.
        """
        if self.rows < self.components:
            raise VentralError(
                f"pca={self.components} needs as many rows (images x steps that the image drives) to be fitted on;"
                f" there are {self.rows} of {self.name}"
            )
        self._pca.partial_fit(np.concatenate(self._waiting).astype(np.float64))
        self._waiting = []

    @property
    def variance_explained(self) -> float:
        """The share of the fitted rows' variance that the components hold."""
        return float(self._pca.explained_variance_ratio_.sum())

    def transform(self, rows: Rows) -> Rows:
        """The rows' components [n, components]."""
        return np.asarray(self._pca.transform(rows), dtype=rows.dtype)


class SparseProjection:
    """Sparse random projection (Li et al. 2006): it needs no data, and keeps distances up to chance.

    Args:
        components: How many.
        features: How many there are now; 1 in sqrt(features) of the weights is not 0.
        seed: Which projection.
        name: Whose features they are, for errors.
    """

    def __init__(self, components: int, features: int, seed: int, name: str) -> None:
        from sklearn.random_projection import SparseRandomProjection

        if not 1 <= components <= features:
            raise VentralError(f"projection={components} of {name} with {features} features; expected 1 to {features}")
        self.components = components
        projection = SparseRandomProjection(components, random_state=seed, dense_output=True)
        self._projection = projection.fit(np.zeros((1, features), dtype=np.float32))

    def transform(self, rows: Rows) -> Rows:
        """The projected rows [n, components]."""
        return np.asarray(self._projection.transform(rows), dtype=rows.dtype)
