import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from ventralstream.errors import VentralError
from ventralstream.features.reduction import PrincipalComponents, SparseProjection


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):  # threads that wait for each other make small problems slow
        yield


def fitted(rows, components, part):
    pca = PrincipalComponents(components, "area 'it'")
    for start in range(0, len(rows), part):
        pca.add(rows[start : start + part])
    pca.finish()
    return pca


def test_components_of_a_stream_span_those_of_all_rows():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(60, 5)))[0].T
    rows = (rng.normal(size=(3000, 5)) * [9, 7, 5, 3, 2]) @ basis + 0.1 * rng.normal(size=(3000, 60)) + 4
    exact = PCA(5, svd_solver="full").fit(rows)
    for part in (7, 1024, 3000):
        pca = fitted(rows, 5, part)
        assert pca.rows == 3000
        assert pca.variance_explained == pytest.approx(exact.explained_variance_ratio_.sum(), abs=1e-3)
        overlap = np.abs(pca._pca.components_ @ exact.components_.T)
        np.testing.assert_allclose(np.diag(overlap), 1, atol=1e-3)
    np.testing.assert_allclose(np.abs(pca.transform(rows[:9])), np.abs(exact.transform(rows[:9])), atol=0.05)


def test_few_rows_are_analysed_exactly_and_float32_stays():
    rows = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
    pca = fitted(rows, 20, 11)
    got, expected = pca.transform(rows), PCA(20, svd_solver="full").fit_transform(rows.astype(float))
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=1e-4)
    assert got.dtype == np.float32


def test_never_much_more_than_a_chunk_waits():
    pca = PrincipalComponents(3, "area 'it'")
    for _ in range(40):
        pca.add(np.random.default_rng(0).normal(size=(100, 10)))
        assert pca._wait < pca.chunk + pca.components


def test_projections_keep_distances():
    rows = np.random.default_rng(0).normal(size=(20, 2000)).astype(np.float32)
    projected = SparseProjection(800, 2000, 0, "area 'it'").transform(rows)
    distance = [np.linalg.norm(x[:, None] - x, axis=-1)[np.triu_indices(20, 1)] for x in (rows, projected)]
    np.testing.assert_allclose(distance[1] / distance[0], 1, atol=0.15)
    assert projected.dtype == np.float32


def test_impossible_numbers_are_said():
    for make, message in (
        (lambda: PrincipalComponents(0, "x"), "pca is 0"),
        (lambda: SparseProjection(3, 2, 0, "x"), "projection=3 of x with 2 features"),
        (lambda: fitted(np.ones((2, 9)), 3, 2), "there are 2 of area 'it'"),
    ):
        with pytest.raises(VentralError, match=message):
            make()
