"""The list of runs, the rule that judges their claims, and the page that is made of their logs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ventralstream as vs
from ventralstream.cli import app
from ventralstream.demo.experiment import MINIMAL, Settings, specs
from ventralstream.jsonable import from_json
from ventralstream.training import DecisionLoss, Recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def modules() -> Any:
    """The modules in results/, by name."""
    before = list(sys.path)
    sys.path[:0] = [str(ROOT / "results"), str(ROOT / "scripts")]
    try:
        import networks
        import page
        import plan
        import search_studies
        import work

        yield {"networks": networks, "page": page, "plan": plan, "studies": search_studies, "work": work}
    finally:
        sys.path[:] = before


@pytest.fixture(scope="module")
def plan(modules: Any) -> Any:
    """What runs.yaml says."""
    return modules["plan"].load_plan()


def log_of(accuracy: float, **hard: float) -> dict[str, Any]:
    """A log as far as pages read it."""
    return {
        "accuracy": {"decision": accuracy, "by_step": {"0": accuracy - 0.1, "1": accuracy}},
        "hard": {name: {"decision": value, "by_step": {"0": value, "1": value}} for name, value in hard.items()},
        "parameters": 1000,
        "pflop": 0.01,
    }


def test_every_network_of_the_list_can_be_made_and_is_in_a_claim(modules: Any, plan: Any) -> None:
    assert {name for claim in plan.claims for name in claim.networks} == set(plan.networks)
    for name in plan.networks:
        assert vs.count_parameters(modules["networks"].make(name, plan.networks)) > 1000, name


def test_matched_networks_have_the_same_parameters_to_a_hundredth(modules: Any, plan: Any) -> None:
    pairs = {(c.better, c.than) for claim in plan.claims for c in claim.comparisons if c.matched}
    assert len(pairs) >= 10
    for pair in pairs:
        one, other = (vs.count_parameters(modules["networks"].make(name, plan.networks)) for name in pair)
        assert abs(one / other - 1) <= 0.01, (pair, one, other)


def test_runs_come_by_priority_rates_first_and_all_networks_seed_by_seed(plan: Any) -> None:
    runs = plan.runs()
    assert len({run.name for run in runs}) == len(runs)
    keys = [(plan.networks[r.network].priority, -1 if r.seed is None else r.seed) for r in runs]
    assert keys == sorted(keys)
    some = next(run for run in runs if run.seed == 1)
    assert [need.rate for need in plan.needs(some)] == list(plan.training(some.network).rates)
    alone = next(run for run in runs if len(plan.training(run.network).rates) == 1)
    assert alone.seed == 0 and plan.needs(alone) == []


def test_the_rate_is_that_of_the_best_short_run_and_only_the_rate_differs(modules: Any, plan: Any) -> None:
    make, training = modules["plan"].Run, plan.training("rcnn")
    logs = {make("rcnn", rate=r).name: log_of(a) for r, a in zip(training.rates, (0.4, 0.5, 0.5), strict=True)}
    recipe = plan.recipe_of(make("rcnn", 2), logs)
    middle = training.rates[1]
    assert (recipe.optimizer.lr, recipe.optimizer.other_lr) == (middle, pytest.approx(middle / 10))
    assert recipe.replace(optimizer=training.recipe.optimizer) == training.recipe.replace(seed=2)
    short = plan.recipe_of(make("rcnn", rate=middle), {})
    assert isinstance(short, Recipe) and short.holdout == 5000 and short.seed == 0


def test_the_demo_s_networks_and_recipe_are_the_demo_s(modules: Any, plan: Any) -> None:
    make, settings = modules["plan"].Run, Settings()
    for name, spec in specs(settings).items():
        if name != MINIMAL:
            ours = modules["networks"].NETWORKS[f"demo_{name}"]()
            assert ours.replace(name=name) == spec
            recipe = plan.recipe_of(make(f"demo_{name}", 0), {})
            assert recipe.replace(val_subset=settings.recipe().val_subset) == settings.recipe()
    last = plan.recipe_of(make("demo_recurrent_last", 0), {})
    assert last.loss == DecisionLoss() and last.epochs == settings.epochs


@pytest.mark.parametrize(
    ("values", "within", "expected"),
    [
        ((), None, "missing"),
        ((5.0,), None, "undecided"),
        ((2.0, 2.2, 1.9), None, "held"),
        ((-2.0, -2.2, -1.9), None, "the opposite"),
        ((2.0, -1.0, 1.0), None, "undecided"),
        ((0.1, -0.1, 0.0), 1.0, "held"),
        ((5.0, 5.1, 5.2), 1.0, "the opposite"),
        ((0.0, 2.0, 0.9), 1.0, "undecided"),
    ],
)
def test_the_rule(modules: Any, values: tuple[float, ...], within: float | None, expected: str) -> None:
    comparison = modules["plan"].Comparison("a", "b", within=within)
    assert modules["page"].verdict(comparison, modules["page"].interval(values)) == expected


def test_intervals_are_student_s(modules: Any) -> None:
    found = modules["page"].interval([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.half == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-6)  # t of 2 degrees of freedom


def test_differences_pair_seeds_and_subtract_what_is_elsewhere(modules: Any, plan: Any) -> None:
    compare = modules["plan"].Comparison
    logs = {
        "rcnn/seed0": log_of(0.80, occluded=0.50),
        "rcnn_wide/seed0": log_of(0.78, occluded=0.40),
        "rcnn/seed1": log_of(0.90, occluded=0.50),
        "rcnn_wide/seed2": log_of(0.10, occluded=0.10),
    }
    differences = modules["page"].differences
    assert differences(plan, logs, compare("rcnn", "rcnn_wide")) == pytest.approx([2.0])
    assert differences(plan, logs, compare("rcnn", "rcnn_wide", images="occluded")) == pytest.approx([10.0])
    assert differences(plan, logs, compare("rcnn", "rcnn_wide", images="occluded", over="clean")) == pytest.approx(
        [8.0]
    )


def test_sentences_count_what_was_found(modules: Any) -> None:
    sentence = modules["page"].sentence
    assert "held at this scale**: of 2 comparisons, 2 held." in sentence(["held", "held"])
    assert "in part" in sentence(["held", "missing"]) and "1 missing" in sentence(["held", "missing"])
    assert "did not hold" in sentence(["the opposite", "undecided"])
    assert "is undecided" in sentence(["undecided", "missing"])
    assert sentence(["missing"]) == "**Not trained yet.**"


def test_what_is_not_trained_is_missing_on_the_page_and_in_its_figures(modules: Any, plan: Any, tmp_path: Path) -> None:
    logs = {f"cell_rgc/seed{s}": log_of(0.8 + s / 100) for s in range(3)}
    logs |= {f"cell_rnn/seed{s}": log_of(0.7 + s / 100) for s in range(3)}
    text = modules["page"].write_page(plan, logs, tmp_path).read_text()
    assert f"Trained so far: 6 of {len(plan.runs())} runs" in text
    assert "| Reciprocal Gated Cell | 1,000 | 0.01 | 3 | 81.0 ± 2.5 |" in text
    assert "| GRU | missing | missing | missing | missing |" in text
    assert "| Reciprocal Gated Cell > vanilla RNN | +10.0 (+10.0 to +10.0) | 3 | held |" in text
    assert "**The claim held in part at this scale**: of 8 comparisons, 1 held, 7 missing." in text
    drawn = {path.stem for path in (tmp_path / "images" / "results").iterdir()}
    assert drawn - {"search", "search-best-cell", "search-median-cell"} == {
        *("cells", "cells-matched", "unroll", "feedback", "in-the-box")
    }
    empty = modules["page"].write_page(plan, {}, tmp_path / "empty").read_text()
    assert empty.count("**Not trained yet.**") == len(plan.claims)


def test_the_page_is_that_of_the_logs(modules: Any, plan: Any) -> None:
    logs = modules["plan"].read_logs()
    assert (ROOT / "docs" / "results.md").read_text() == modules["page"].page(plan, logs), "scripts/results.py page"
    for name, log in logs.items():
        run = next(run for run in plan.runs() if run.name == name)
        assert log["network"] == run.network and log["command"].startswith("ventral ") and "/" not in log["command"]
        recipe = plan.recipe_of(run, logs) if all(need.name in logs for need in plan.needs(run)) else None
        assert recipe is not None and from_json(log["recipe"]) == recipe, name
        made = modules["networks"].make(run.network, plan.networks)
        assert log["spec"]["areas"] == made.to_json()["areas"], name
        assert log["hard"].get("shown", plan.hard) == plan.hard, f"measured on other images: {name}"
        assert 0 < log["pflop"] < 0.2 and 0 <= log["accuracy"]["decision"] <= 1


def test_a_claim_about_a_network_that_is_not_there_is_refused(modules: Any, plan: Any, tmp_path: Path) -> None:
    said = (ROOT / "results" / "runs.yaml").read_text()
    for recipe in ("cifar10.yaml", "demo.yaml"):
        (tmp_path / recipe).write_text((ROOT / "results" / recipe).read_text())
    bad = tmp_path / "runs.yaml"
    for old, new, told in (
        ("better: tied, than: untied", "better: tied, than: untyed", "untied"),
        ("images: occluded", "images: ocluded", "occluded"),
    ):
        bad.write_text(said.replace(old, new))
        with pytest.raises(vs.VentralError, match=told):
            modules["plan"].load_plan(bad)


def small_plan(modules: Any, plan: Any) -> Any:
    """Tiny runs of one network: two rates, one seed."""
    network = modules["plan"].Network("rcnn", "recurrent", 1, changes={"epochs": 1}, seeds=(0,))
    recipe = plan.training("rcnn").recipe
    recipe = recipe.replace(data="scenes", batch_size=20, subset=40, val_subset=20, size=16, precision="32")
    short = {"epochs": 1, "subset": 40, "holdout": 20}
    training = modules["plan"].Training(recipe, (0.07, 0.14), short)
    return dataclasses.replace(plan, recipes={"cifar10": training}, networks={"rcnn": network}, claims=())


def test_runs_are_trained_logged_and_not_done_twice(
    modules: Any, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, work = small_plan(modules, plan), modules["work"]
    logs = tmp_path / "logs"
    monkeypatch.setattr(work, "LOGS", logs)
    monkeypatch.setattr(work, "read_logs", lambda: modules["plan"].read_logs(logs))
    told: list[str] = []
    done: list[list[str]] = []

    def call(command: list[str], folder: Path, lock: Any) -> None:
        """In this process: starting Python takes longer than such a run."""
        done.append(command)
        said = CliRunner().invoke(app, command[3:])
        assert said.exit_code == 0, said.output

    monkeypatch.setattr(work, "_call", call)
    monkeypatch.setitem(modules["networks"].NETWORKS, "rcnn", lambda: scenes_network(modules))
    assert work.work(small, tmp_path / "runs", "", 1, told.append) == []
    there = modules["plan"].read_logs(logs)
    assert list(there) == ["rcnn/rate0.07", "rcnn/rate0.14", "rcnn/seed0"]
    assert [len(log["epochs"]) for log in there.values()] == [1, 1, 1]
    assert (
        there["rcnn/seed0"]["recipe"]["optimizer"]["lr"] == small.best_rate("rcnn", there)
        and there["rcnn/seed0"]["commit"]
    )
    assert set(there["rcnn/seed0"]["accuracy"]["by_step"]) == {"0", "1", "2"}
    before = len(done)
    assert work.work(small, tmp_path / "runs", "", 2, told.append) == [] and len(done) == before


def scenes_network(modules: Any) -> Any:
    """A small network for the scenes' grey images."""
    spec = modules["networks"].recurrent_convolutions((4, 4, 4))
    return spec.replace(input_shape=(1, 16, 16), mean=(0.5,), std=(0.5,))
