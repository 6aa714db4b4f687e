import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr, rankdata, spearmanr

from ventralstream.brain import (
    Rdm,
    compare,
    linear_cka,
    noise_ceiling,
    rdm,
    rsa,
    rsa_over_time,
    rsatoolbox_rdms,
)
from ventralstream.brain.recordings.datasets import kriegeskorte92
from ventralstream.errors import VentralError

STIMULI = 15


def responses(seed=0, neuroids=20, repetitions=1, noise=0.0, signal=None):
    random = np.random.default_rng(seed)
    signal = random.normal(size=(STIMULI, neuroids)) + 2 if signal is None else signal
    x = np.concatenate([signal + noise * random.normal(size=signal.shape) for _ in range(repetitions)])
    ids = np.array([f"s{i:02d}" for i in range(STIMULI)])
    coords = {
        "stimulus_id": ("presentation", np.tile(ids, repetitions)),
        "repetition": ("presentation", np.repeat(np.arange(repetitions), STIMULI)),
    }
    return xr.DataArray(x, dims=("presentation", "neuroid"), coords=coords)


def upper(square):
    return square[np.triu_indices(len(square), k=1)]


def test_correlation_and_euclidean_distances():
    x = responses()
    np.testing.assert_allclose(rdm(x).values, upper(1 - np.corrcoef(x.values)), atol=1e-12)
    squared = ((x.values[:, None] - x.values[None]) ** 2).mean(-1)
    np.testing.assert_allclose(rdm(x, "euclidean").values, upper(squared), atol=1e-12)
    shuffled = x[np.random.default_rng(1).permutation(STIMULI)].T
    np.testing.assert_allclose(rdm(shuffled).values, rdm(x).values, atol=1e-12)  # stimuli are sorted


def test_repetitions_are_averaged():
    x = responses(repetitions=3, noise=1.0)
    mean = x.values.reshape(3, STIMULI, -1).mean(0)
    np.testing.assert_allclose(rdm(x).values, upper(1 - np.corrcoef(mean)), atol=1e-12)


def test_crossnobis_is_the_product_of_independent_differences():
    x = responses(repetitions=3, noise=1.0)
    runs = x.values.reshape(3, STIMULI, -1)
    folds = []
    for test in range(3):
        rest = runs[np.arange(3) != test].mean(0)
        difference = [a[:, None] - a[None] for a in (runs[test], rest)]
        folds.append((difference[0] * difference[1]).mean(-1))
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_allclose(rdm(x[order], "crossnobis").values, upper(np.mean(folds, 0)), atol=1e-12)


def test_crossnobis_is_unbiased_where_euclidean_is_not():
    signal = np.repeat(np.random.default_rng(0).normal(size=(1, 2000)), STIMULI, axis=0)  # all stimuli are the same
    x = responses(repetitions=4, noise=1.0, signal=signal)
    assert abs(rdm(x, "crossnobis").values.mean()) < 0.02
    assert rdm(x, "euclidean").values.mean() == pytest.approx(2 / 4, rel=0.05)


def test_whitening_by_the_noise_undoes_its_shape():
    random = np.random.default_rng(0)
    scale = np.geomspace(0.1, 10, 12)
    signal = random.normal(size=(STIMULI, 12))
    coords = responses(repetitions=40).coords
    x = np.concatenate([signal + random.normal(size=signal.shape) for _ in range(40)])
    plain = xr.DataArray(x, dims=("presentation", "neuroid"), coords=coords)
    scaled = plain.copy(data=x * scale)  # signal and noise alike
    truth = rdm(plain, "crossnobis")
    assert compare(rdm(scaled, "crossnobis", noise="shrinkage"), truth, "pearson") > 0.98
    assert compare(rdm(scaled, "crossnobis"), truth, "pearson") < 0.9


@pytest.mark.parametrize("comparison", ["spearman", "pearson", "cosine"])
def test_comparisons(comparison):
    a, b = rdm(responses(0)), rdm(responses(1))
    expected = {
        "spearman": spearmanr(a.values, b.values).statistic,
        "pearson": pearsonr(a.values, b.values).statistic,
        "cosine": a.values @ b.values / np.sqrt((a.values**2).sum() * (b.values**2).sum()),
    }
    assert compare(a, b, comparison) == pytest.approx(expected[comparison], abs=1e-12)
    order = np.random.default_rng(2).permutation(STIMULI)
    assert compare(a, b.select(b.stimulus_id[order]), comparison) == pytest.approx(expected[comparison], abs=1e-12)
    assert compare(a, a, comparison) == pytest.approx(1)
    flat = Rdm(np.zeros(len(a.values)), a.stimulus_id, "none")
    assert np.isnan(compare(a, flat, comparison))


def test_an_rdm_and_its_square():
    a = rdm(responses())
    square = a.square()
    np.testing.assert_array_equal(square, square.T)
    assert not np.diag(square).any()
    same = Rdm.from_square(square, a.stimulus_id, "correlation")
    np.testing.assert_array_equal(same.values, a.values)
    picked = a.select(np.array(["s03", "s01"]))
    assert picked.values == [square[3, 1]]
    with pytest.raises(VentralError, match="symmetric"):
        Rdm.from_square(np.triu(square), a.stimulus_id, "correlation")
    with pytest.raises(VentralError, match="15 stimuli has 105 values"):
        Rdm(a.values[1:], a.stimulus_id, "correlation")
    with pytest.raises(VentralError, match=r"lacks 1 of the stimuli asked for, e.g. 's99'"):
        a.select(np.array(["s99", "s01"]))


def test_a_pattern_without_variance_is_counted_out():
    x = responses()
    x.values[4] = 0.1
    score = rsa(x, responses(1))
    assert score.n == {"stimuli": STIMULI, "pairs": 105, "pairs_undefined": 14}
    rest = np.arange(STIMULI) != 4
    assert float(score) == pytest.approx(float(rsa(x[rest], responses(1)[rest])), abs=1e-12)


def test_rsa_of_a_noisy_copy_and_its_interval():
    signal = np.random.default_rng(0).normal(size=(STIMULI, 60))
    one, other = (responses(seed, noise=0.4, signal=signal) for seed in (1, 2))
    score, again = rsa(one, other, resamples=200), rsa(one, other, resamples=200)
    low, high = score.interval
    assert 0.2 < low < float(score) < high < 1
    np.testing.assert_array_equal(score.interval, again.interval)
    unrelated = rsa(responses(3), responses(4), resamples=200)
    assert unrelated.interval[0] < 0 < unrelated.interval[1]
    assert rsa(one, other).interval is None


def over_time():
    """A model whose features are nothing, then the same for all, then `signal` ever more clearly."""
    signal = np.random.default_rng(0).normal(size=(STIMULI, 60))
    other = np.random.default_rng(1).normal(size=(STIMULI, 60))
    bias = np.random.default_rng(2).normal(size=60)
    bins = [0 * signal, 0 * signal + bias] + [bias + w * signal + (1 - w) * other for w in (0.2, 0.6, 1.0)]
    coords = {"stimulus_id": responses()["stimulus_id"], "time_bin_start": ("time_bin", 10.0 * np.arange(5))}
    return xr.DataArray(np.stack(bins, 2), dims=("presentation", "neuroid", "time_bin"), coords=coords), signal


def test_rsa_over_time_rises_and_says_which_bins_are_undefined():
    features, signal = over_time()
    fixed = responses(signal=signal)
    score = rsa_over_time(features, fixed, resamples=20)
    assert score.value.dims == ("time_bin",) and score.value["time_bin_start"].values[-1] == 40
    assert np.isnan(score.value.values[:2]).all()
    assert (np.diff(score.value.values[2:]) > 0).all()
    assert score.reason.startswith("2 of 5 time bins: ") and score.n["time_bins_undefined"] == 2
    assert score.interval.dims == ("bound", "time_bin")
    for b in (2, 3, 4):
        single = rsa(features[:, :, b], rdm(fixed), resamples=20)
        assert float(single) == float(score.value[b])
        np.testing.assert_array_equal(single.interval, score.interval[:, b])
    assert score.to_json()["value"]["values"][0] is None
    itself = rsa_over_time(features, features)
    np.testing.assert_allclose(itself.value.values[2:], 1)
    with pytest.raises(VentralError, match=r"no time bin that starts at 40 ms \(1 of 5 are absent\)"):
        rsa_over_time(features, features[:, :, :4])
    with pytest.raises(VentralError, match="RSA over time takes"):
        rsa_over_time(fixed, fixed)


def test_noise_ceiling_is_leave_one_out_and_all():
    signal = np.random.default_rng(0).normal(size=(STIMULI, 60))
    subjects = [rdm(responses(s, noise=0.8, signal=signal)) for s in range(5)]
    lower, upper_bound = noise_ceiling(subjects)
    ranks = np.stack([rankdata(s.values) for s in subjects])
    rest = [ranks[np.arange(5) != i].mean(0) for i in range(5)]
    assert lower == pytest.approx(np.mean([spearmanr(r, m).statistic for r, m in zip(ranks, rest, strict=True)]))
    assert upper_bound == pytest.approx(np.mean([spearmanr(r, ranks.mean(0)).statistic for r in ranks]))
    order = np.random.default_rng(0).permutation(STIMULI)
    reordered = [subjects[0], *(s.select(s.stimulus_id[order]) for s in subjects[1:])]
    assert noise_ceiling(reordered) == pytest.approx((lower, upper_bound))
    assert rsatoolbox_rdms(subjects).dissimilarities.shape == (5, 105)
    with pytest.raises(VentralError, match="at least 2 subjects"):
        noise_ceiling(subjects[:1])


def test_bad_input_is_one_sentence():
    x = responses()
    with pytest.raises(VentralError, match="unknown RDM measure 'correlatoin'; did you mean 'correlation'"):
        rdm(x, "correlatoin")
    with pytest.raises(VentralError, match="unknown comparison 'kendall'"):
        rsa(x, x, comparison="kendall")
    with pytest.raises(VentralError, match="1 neuroids have NaN"):
        rdm(x.where(x != x.values[0, 0]))
    with pytest.raises(VentralError, match="at least 2; got 1"):
        rdm(x, "crossnobis")
    with pytest.raises(VentralError, match=r"every repetition; 1 lack some, e.g. 's00'"):
        rdm(responses(repetitions=2)[1:], "crossnobis")
    with pytest.raises(VentralError, match="same stimuli; got 15 and 14"):
        rsa(x, x[1:])


def hsic_by_song(k, m):
    """The unbiased estimator as Song et al. write it."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    last = 2 / (n - 2) * one @ k @ m @ one
    return (np.trace(k @ m) + one @ k @ one * (one @ m @ one) / (n - 1) / (n - 2) - last) / (n * (n - 3))


@pytest.mark.parametrize("neuroids", [8, 40])
def test_cka(neuroids):
    x, y = responses(0, neuroids), responses(1, 12)
    y.values[:, :8] += x.values[:, :8]
    a, b = x.values - x.values.mean(0), y.values - y.values.mean(0)
    frobenius = [np.linalg.norm(m) for m in (a.T @ b, a.T @ a, b.T @ b)]
    biased = linear_cka(x, y, debiased=False)
    assert biased == pytest.approx(frobenius[0] ** 2 / frobenius[1] / frobenius[2])
    k, m = x.values @ x.values.T, y.values @ y.values.T
    song = hsic_by_song(k, m) / np.sqrt(hsic_by_song(k, k) * hsic_by_song(m, m))
    assert linear_cka(x, y) == pytest.approx(song)
    order = np.random.default_rng(0).permutation(STIMULI)
    assert linear_cka(x, y[order]) == pytest.approx(song)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(neuroids, neuroids)))[0]
    assert linear_cka(x, x.copy(data=3 * x.values @ rotation + 5)) == pytest.approx(1)


def test_debiased_cka_of_unrelated_representations_is_near_zero():
    x, y = responses(0, 500), responses(1, 500)
    assert linear_cka(x, y, debiased=False) > 0.8
    assert abs(linear_cka(x, y)) < 0.3
    assert np.isnan(linear_cka(x, y.copy(data=np.ones(y.shape))))
    with pytest.raises(VentralError, match="same stimuli once in both"):
        linear_cka(x, y[1:])


@pytest.fixture
def objects92():
    root = os.environ.get("VENTRALSTREAM_DATA")
    if not root:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    return kriegeskorte92(Path(root))


def test_monkey_and_human_it(objects92):
    ids = objects92.stimuli.ids
    monkey, human = (Rdm.from_square(m, ids, "correlation") for m in (objects92.monkey_it, objects92.human_it))
    assert compare(monkey, human) == pytest.approx(0.439, abs=5e-4)
    score = rsa(monkey, human, resamples=100)
    low, high = score.interval
    assert low < float(score) < high


def test_people_of_the_92_objects_have_a_noise_ceiling(objects92):
    subjects = [Rdm.from_square(m.mean(0), objects92.stimuli.ids, "correlation") for m in objects92.human_it_sessions]
    lower, upper_bound = noise_ceiling(subjects)
    assert 0.1 < lower < upper_bound < 1
    monkey = Rdm.from_square(objects92.monkey_it, objects92.stimuli.ids, "correlation")
    assert 0.1 < np.mean([compare(monkey, s) for s in subjects]) < upper_bound


def test_pixels_are_no_monkey_it(objects92):
    """The images themselves, blurred to 8 x 8 and growing over "time", explain monkey IT poorly but above zero."""
    pixels = objects92.stimuli.pixels.astype(float).mean(-1)[:, 3:-4, 3:-4]
    coarse = pixels.reshape(92, 8, 21, 8, 21).mean((2, 4)).reshape(92, -1)
    coords = {
        "stimulus_id": ("presentation", list(objects92.stimuli.ids)),
        "time_bin_start": ("time_bin", [0.0, 10.0, 20.0]),
    }
    values = coarse[:, :, None] * np.array([0, 0.5, 1.0])
    features = xr.DataArray(values, dims=("presentation", "neuroid", "time_bin"), coords=coords)
    monkey = Rdm.from_square(objects92.monkey_it, objects92.stimuli.ids, "correlation")
    score = rsa_over_time(features, monkey)
    assert np.isnan(score.value[0])
    assert 0 < score.value[1] < 0.439
    assert score.value[1] == pytest.approx(float(score.value[2]), abs=1e-6)
