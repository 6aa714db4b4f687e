"""The report of a study: its numbers by hand, its figures by what is in them, the page whole and safe."""

import itertools
import json
import re
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from simulated_study import simulated

from ventralstream.cells import LSTM, Decay, Reciprocal
from ventralstream.layers.specs import Conv
from ventralstream.models.convrnn import median_reciprocal, simple_reciprocal
from ventralstream.search import report_cell as cell
from ventralstream.search import report_figures as figures
from ventralstream.search import report_numbers as numbers
from ventralstream.search.objective import Sleep
from ventralstream.search.options import Search
from ventralstream.search.outcomes import outcome_of
from ventralstream.search.report import report, write_report
from ventralstream.search.report_cell import Edge
from ventralstream.search.spaces import load_space
from ventralstream.search.study import create_study
from ventralstream.spec import Area
from ventralstream.training import Recipe

SAMPLED = {
    "gate": CategoricalDistribution(["tanh", "sigmoid"]),
    "there": CategoricalDistribution([False, True]),
    "kernel": IntDistribution(1, 3),
    "rate": FloatDistribution(0.01, 1.0, log=True),
}


def trial(value, state=TrialState.COMPLETE, note=None, **params):
    distributions = {name: SAMPLED[name] for name in params}
    return create_trial(value=value, state=state, params=params, distributions=distributions, user_attrs=note or {})


def svg(text):
    return ElementTree.fromstring(text)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("report"), 80, "a <b>bold</b> name", spoilt=0.1)


@pytest.fixture(scope="module")
def page(study):
    return report(study)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_running_median_is_of_the_last_ones():
    found = numbers.running_median(np.array([0.1, 0.5, 0.3, 0.9, 0.2]), 3)
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == [0.3, 0.5, 0.3]
    assert np.isnan(numbers.running_median(np.array([0.1]), 3)).all()


def test_front_has_what_none_beats():
    cost = np.array([3.0, 1.0, 2.0, 2.0, 4.0, 1.0])
    accuracy = np.array([0.6, 0.3, 0.5, 0.7, 0.65, 0.4])
    assert numbers.front(cost, accuracy) == [5, 3]


def test_effects_are_quartiles_by_value():
    trials = [
        trial(v, gate=g, there=t, kernel=1, rate=0.5)
        for v, g, t in ((0.1, "tanh", True), (0.2, "tanh", False), (0.3, "tanh", True))
    ]
    (level,) = numbers.effect(trials, "gate")
    assert (level.name, level.count) == ("tanh", 3)
    assert (level.low, level.median, level.high) == pytest.approx((0.15, 0.2, 0.25))
    assert [(v.name, v.count) for v in numbers.effect(trials, "there")] == [("no", 1), ("yes", 2)]
    assert [v.name for v in numbers.effect(trials, "kernel")] == ["1"]
    assert numbers.effect(trials, "unknown") == []


def test_ranges_of_a_number_are_even_on_its_scale_and_hold_every_trial():
    trials = [trial(0.5, rate=rate) for rate in (0.01, 0.022, 0.03, 0.99, 1.0)]
    found = numbers.effect(trials, "rate")
    assert [v.count for v in found] == [1, 2, 2]
    assert found[0].name.startswith("0.01") and found[-1].name.endswith("1")


def test_importances_find_what_matters():
    study = optuna.create_study(direction="maximize")
    for i in range(200):
        there, rate = bool(i % 2), 0.01 * 100 ** (i * 37 % 200 / 199)
        study.add_trial(
            trial(0.3 + 0.2 * there + 0.001 * (i % 7), there=there, gate=("tanh", "sigmoid")[i // 2 % 2], rate=rate)
        )
    found = numbers.importances(study)
    assert next(iter(found)) == "there" and found["there"] > 0.6
    assert sum(found.values()) == pytest.approx(1)


def test_feedback_of_the_best_tenth():
    def spec(*pairs):
        edges = [{"source": s, "target": t, "kind": "feedback"} for s, t in pairs]
        return {"spec": json.dumps({"connections": [{"source": "a", "target": "b", "kind": "feedforward"}, *edges]})}

    trials = [trial(0.9, note=spec(("c", "a"))), trial(0.8, note=spec(("c", "a"), ("c", "b")))]
    trials += [trial(0.1, note=spec(("c", "b"))) for _ in range(18)]
    first, second = numbers.feedback(trials)
    assert (first.source, first.target, first.best, first.every) == ("c", "a", 1.0, 0.1)
    assert (second.best, second.every) == (0.5, 0.95)
    assert 0 < second.low < 0.5 < second.high < 1


def test_wilson_intervals_are_those_of_the_books():
    assert numbers.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert numbers.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_what_came_of_trials():
    noted = trial(None, TrialState.PRUNED, {"outcome": "diverged", "reason": "the loss is nan"})
    others = [
        trial(0.5),
        trial(None, TrialState.FAIL),
        trial(None, TrialState.RUNNING),
        trial(None, TrialState.WAITING),
    ]
    assert [outcome_of(t) for t in (noted, *others)] == ["diverged", "complete", "died", "running", "waiting"]
    assert numbers.reasons([noted, noted, *others]) == [("diverged", "the loss is nan", 2), ("died", "", 1)]


def test_spells_go_from_the_first_beginning(study):
    found = numbers.spells(study.trials)
    assert list(found) == [f"simulated:{i}" for i in range(4)]
    assert found["simulated:0"][0].start == 0
    for one in found.values():
        assert all(a.stop <= b.start + 1e-6 for a, b in itertools.pairwise(one))
    assert sum(map(len, found.values())) == 80


# --- figures ----------------------------------------------------------------------------------------------------------


def test_each_trial_is_a_dot():
    many = np.arange(1200.0)
    drawn = figures.samples(many, np.linspace(0.1, 0.5, 1200), numbers.running_median(np.linspace(0.1, 0.5, 1200), 60))
    paths = [p.get("d") for p in svg(drawn).findall(".//{*}path") if "dots" in p.get("class")]
    assert [path.count("M") for path in paths] == [500, 500, 200]


def test_best_so_far_is_a_staircase_to_the_best():
    drawn = svg(figures.samples(np.arange(4.0), np.array([0.2, 0.1, 0.4, 0.3]), np.full(4, np.nan)))
    (line,) = [p.get("d") for p in drawn.findall(".//{*}path") if p.get("class") == "curve s2"]
    points = [tuple(map(float, p.split(","))) for p in line[1:].split("L")]
    heights = [y for _, y in points]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 2
    assert points[-1][0] == max(x for x, _ in points)


def test_few_failures_do_not_squeeze_the_axis():
    accuracy = np.array([0.1, *np.linspace(0.5, 0.6, 30), 0.12])
    assert numbers.ordinary(accuracy) == 0.5
    assert numbers.ordinary(np.array([0.1, 0.5, 0.5])) == 0.1  # two of three are not most
    assert numbers.ordinary(np.array([0.1, *[0.5] * 9])) == 0.5
    for drawn in (
        svg(figures.samples(np.arange(32.0), accuracy, np.full(32, np.nan))),
        svg(figures.costs(np.arange(1.0, 33.0), accuracy, numbers.front(np.arange(1.0, 33.0), accuracy), "cost")),
    ):
        texts = [t.text for t in drawn.findall(".//{*}text")]
        assert any("2 trials below 50%" in (t or "") for t in texts) and "10" not in texts[:4]
        (axis,) = [float(e.get("y1")) for e in drawn.findall(".//{*}line") if e.get("class") == "axis"][:1]
        (path,) = [p.get("d") for p in drawn.findall(".//{*}path") if "dots" in p.get("class")]
        heights = [float(dot.split(",")[1].split("h")[0]) for dot in path[1:].split("M")]
        assert heights[0] == heights[-1] == max(heights) == pytest.approx(axis)
    marks = [figures.Mark("rgc", 0, 0.1)]  # what is pointed out is where it belongs
    drawn = svg(figures.samples(np.arange(32.0), accuracy, np.full(32, np.nan), marks))
    assert not any("below" in (t.text or "") for t in drawn.findall(".//{*}text"))


def test_marks_with_like_places_give_way():
    marks = [figures.Mark(name, 10, 0.3) for name in ("rgc", "median", "best")]
    drawn = svg(figures.samples(np.arange(20.0), np.linspace(0.2, 0.4, 20), np.full(20, np.nan), marks))
    places = [float(t.get("y")) for t in drawn.findall(".//{*}text") if t.text in ("rgc", "median", "best")]
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= 12


@pytest.mark.parametrize("accuracy", [[0.5], [0.5, 0.5, 0.5], [0.0, 1.0]])
def test_few_or_equal_values_are_drawn(accuracy):
    values = np.array(accuracy)
    drawn = figures.samples(np.arange(float(len(values))), values, values)
    drawn += figures.costs(np.full(len(values), 1e6), values, numbers.front(np.full(len(values), 1e6), values), "cost")
    assert "nan" not in drawn and "inf" not in drawn


def test_a_hundred_workers_are_drawn_without_names():
    drawn = svg(figures.timeline({f"w{i}": [numbers.Spell(i, i + 5, "trained")] for i in range(100)}))
    assert not [t for t in drawn.findall(".//{*}text") if (t.text or "").startswith("w")]
    (bars,) = [p for p in drawn.findall(".//{*}path") if "bar" in p.get("class")]
    assert bars.get("d").count("M") == 100


# --- cells ------------------------------------------------------------------------------------------------------------


def edges(spec, feedback=False):
    return {(e.source, e.target, e.kind) for e in cell.cell_edges(Area("conv4", (Conv(8),), spec), feedback)}


def test_edges_of_the_simple_cell():
    assert edges(simple_reciprocal()) == {
        ("below", "input", "adds"),
        ("input", "output", "adds"),
        ("input", "cell", "adds"),
        ("cell", "output", "gates"),
        ("output", "cell", "gates"),
        ("below", "output", "gates"),
        ("cell", "cell", "keeps"),
        ("output", "output", "keeps"),
    }


def test_edges_of_the_median_cell():
    """It has a bypass to the output, and no gate from the area below."""
    found = edges(median_reciprocal(), feedback=True)
    assert ("below", "output", "adds") in found and ("above", "output", "adds") in found
    assert ("below", "output", "gates") not in found
    labels = {(e.source, e.target): e.label for e in cell.cell_edges(Area("a", (Conv(8),), median_reciprocal()), False)}
    assert labels["cell", "output"] == "7\N{MULTIPLICATION SIGN}7 sep."


@pytest.mark.parametrize("feedback_to", ["input", "cell", "out"])
@pytest.mark.parametrize("on", [True, False])
def test_every_edge_there_may_be_is_drawn(feedback_to, on):
    options = ("input_to_cell", "input_to_out", "cell_to_out", "cell_residual", "out_residual", "residual_to_out_gate")
    area = Area("conv4", (Conv(8),), Reciprocal(feedback_to=feedback_to, **dict.fromkeys(options, on)))
    drawn = svg(cell.draw_cell(area, True))
    wires = [p for p in drawn.findall(".//{*}path") if p.find("{*}title") is not None]
    assert len(wires) == len(cell.cell_edges(area, True))


@pytest.mark.parametrize("spec", [LSTM(), Decay(), None])
def test_other_cells_are_drawn_too(spec):
    assert ("output", "output", "keeps") in edges(spec) or spec is None
    svg(cell.draw_cell(Area("conv4", (Conv(8),), spec), True))


def test_an_edge_says_what_it_does():
    assert cell._said(Edge("below", "output", "gates", "3x3")) == "area below gates the output (3x3)"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_study_came_to(study, page):
    assert f"trial {study.best.number}, has {study.best.value:.1%}" in page.replace("\n", " ")
    for title in ("Accuracy by sample", "What matters", "Long-range feedback", "The best and the median cell"):
        assert f"<h2>{title}</h2>" in page
    assert f"The median: trial {study.median.number}" in page
    done = numbers.complete(study.trials)
    assert f"{len(done)} trained" in page and "diverged" in page
    assert "<td>rgc</td>" in page  # the known cells and their places


def test_the_page_fetches_nothing_and_runs_nothing(page):
    assert not re.search(r"<script|<link|\bon\w+=|url\(|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "nan" not in page.lower().replace("nanobot", "")


def test_names_are_escaped(page):
    assert "<b>bold" not in page and "a &lt;b&gt;bold&lt;/b&gt; name" in page


def test_every_figure_is_whole(page):
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) > 20
    for drawn in drawings:
        svg(drawn)


def test_a_study_without_a_complete_trial(tmp_path):
    empty = create_study(
        "empty", str(tmp_path / "a.db"), load_space("cifar-small"), Recipe(), Search(objective=Sleep())
    )
    write_report(empty, tmp_path / "page.html")
    assert "No trial of this study is complete yet." in (tmp_path / "page.html").read_text()


def test_few_trials(tmp_path):
    text = report(simulated(tmp_path, 3))
    assert "they are shown from 20 on" in text and "Accuracy by sample" in text


def test_optuna_is_not_spoken_to_a_trial_at_a_time(study, monkeypatch):
    """Reading a study is a few queries, however many trials it has."""
    queries = []
    fresh = optuna.load_study(study_name=study.name, storage=study.storage)
    sqlalchemy.event.listen(study.storage.engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
    assert len(fresh.get_trials(deepcopy=False)) == 82
    assert len(queries) < 12
