"""The section of the results on the architecture search, made of made-up tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_study import simulated

import ventralstream as vs
from ventralstream.search.trained import add_study, table

RESULTS = Path(__file__).parents[1] / "results"
TRIALS = 32
POINTS = (0.5, 0.55)  # the accuracies of the published cells


@pytest.fixture(scope="module")
def modules() -> Any:
    """The modules in results/, by name."""
    before = list(sys.path)
    sys.path.insert(0, str(RESULTS))
    try:
        import networks
        import plan
        import search_studies

        yield {"networks": networks, "plan": plan, "studies": search_studies}
    finally:
        sys.path[:] = before


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a table of the four studies: accuracies by sampler and seed, of trials that rise by so much to the end."""
    folder = tmp_path_factory.mktemp("studies")
    add_study(simulated(folder, TRIALS, spoilt=0.1), folder / "one.csv")
    one = table(folder / "one.csv")
    one["recipe"] = one["recipe"].str.replace('"val_subset":null', '"val_subset":2000')

    def make(name: str, rise: dict[str, float], done: dict[str, int] | None = None) -> Path:
        import pandas

        parts = []
        for study, up in rise.items():
            noise = 0.02 * np.random.default_rng([*study.encode()]).standard_normal(TRIALS)
            accuracy = 0.45 + up * np.arange(TRIALS) / TRIALS + noise
            accuracy[:2] = POINTS
            rows = one.assign(
                study=study,
                sampler=study[:-1],
                seed=int(study[-1]),
                accuracy=np.where(one.accuracy.isna(), np.nan, accuracy),
            )
            parts.append(rows.iloc[: (done or {}).get(study, TRIALS)])
        pandas.concat(parts).to_csv(folder / name, index=False)
        return folder / name

    return make


ALL = ("tpe0", "tpe1", "random0", "random1")


def rise(*values: float) -> dict[str, float]:
    return dict(zip(ALL, values, strict=True))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (rise(0.2, 0.2, 0, 0), "TPE won"),
        (rise(0, 0, 0.2, 0.2), "Random search won"),
        (rise(0.02, 0.0, 0.0, 0.02), "Undecided"),
        (rise(0.5, -0.05, 0, 0), "Undecided"),  # above in the mean, below with one seed
    ],
)
def test_who_won_is_told_by_the_rule(modules: Any, made_up: Any, values: Any, expected: str) -> None:
    studies = modules["studies"]
    there = studies.studies(made_up("won.csv", values))
    assert all(study.finished for study in there)
    assert studies.verdict(there) == expected and studies.sentence(there).startswith(f"**{expected}**: ")
    found, low, high = studies.difference(there)
    late = [np.median(100 * study.late["accuracy"]) for study in there]
    assert found == pytest.approx((late[0] + late[1] - late[2] - late[3]) / 2) and low < found < high


def test_studies_that_are_not_finished_say_how_far_they_are(modules: Any, made_up: Any, tmp_path: Path) -> None:
    studies, plan = modules["studies"], modules["plan"].load_plan()
    path = made_up("begun.csv", {"tpe0": 0.2, "random0": 0.0}, {"tpe0": 20, "random0": 1})
    text = studies.section("images", plan, path)
    assert "**The studies are not finished**: 21 of 364 trials are done (tpe0 20, tpe1 0, random0 1, random1 0)" in text
    assert "| random search | 0 | 1 of 32 | missing | missing" in text and "When the studies are finished" in text
    studies.draw(tmp_path, path)
    assert {file.name for file in tmp_path.iterdir()} == {"search.svg", *_cells(studies, path)}
    nothing = made_up("nothing.csv", {"tpe0": 0.0}, {"tpe0": 0})
    text = studies.section("images", plan, nothing)
    assert "0 of 600 trials" in text and "![" not in text
    studies.draw(tmp_path / "none", nothing)
    assert not (tmp_path / "none").exists()


def _cells(studies: Any, path: Path) -> set[str]:
    chosen = studies.chosen(studies.studies(path))
    there = {which for which, row in chosen.items() if studies.cells_of(vs.spec_from_json(row["spec"]))}
    return {f"search-{which}-cell.svg" for which in there}


def test_the_page_tells_the_places_of_the_published_cells_and_what_was_found(modules: Any, made_up: Any) -> None:
    studies, path = modules["studies"], made_up("all.csv", rise(0.2, 0.1, 0, 0))
    there = studies.studies(path)
    text = studies.section("images", modules["plan"].load_plan(), path)
    for study in there:
        sampled = study.sampled["accuracy"]
        assert len(sampled) == len(study.complete) - 2
        better = int((sampled > POINTS[0]).sum())
        assert f"50.0, place {better + 1} of {len(sampled) + 1} |" in text
    found = studies.chosen(there)
    assert list(found) == ["best", "median", "without"]
    sampled, late = (
        [row for s in there[:2] for _, row in of(s).iterrows()] for of in (lambda s: s.sampled, lambda s: s.late)
    )
    with_cell = {id(row): bool(studies.cells_of(vs.spec_from_json(row["spec"]))) for row in (*sampled, *late)}
    for which, cell in (("best", True), ("without", False)):
        best = max(row["accuracy"] for row in sampled if with_cell[id(row)] == cell)
        assert found[which]["accuracy"] == best
    values = sorted(row["accuracy"] for row in late if with_cell[id(row)])
    assert found["median"]["accuracy"] == values[(len(values) - 1) // 2]
    assert all(f"`{row['spec_hash']}`" in text for row in found.values())
    without = sum(not studies.cells_of(vs.spec_from_json(row["spec"])) for _, row in there[0].late.iterrows())
    assert f"without it were {without} of {len(there[0].late)} with TPE and seed 0, " in text
    assert "They are yet to be trained" in text


def test_what_the_search_found_can_be_listed_and_matched(modules: Any, made_up: Any, tmp_path: Path) -> None:
    """Their entries in runs.yaml come when the studies are finished."""
    studies, path = modules["studies"], made_up("listed.csv", rise(0.2, 0.1, 0, 0))
    row = studies.chosen(studies.studies(path))["best"]
    said = (RESULTS / "runs.yaml").read_text()
    for recipe in ("cifar10.yaml", "demo.yaml"):
        (tmp_path / recipe).write_text((RESULTS / recipe).read_text())
    mine = tmp_path / "runs.yaml"
    entries = "networks:\n  found: {label: best of the search, priority: 3, searched: HASH}\n"
    entries += "  beside: {label: as many parameters, priority: 3, as_many_as: found}\n"
    mine.write_text(said.replace("networks:\n", entries.replace("HASH", row["spec_hash"]), 1))
    plan, make = modules["plan"].load_plan(mine), modules["networks"].make
    found, beside = (make(name, plan.networks, path) for name in ("found", "beside"))
    assert found == vs.spec_from_json(row["spec"])
    assert vs.count_parameters(beside) == pytest.approx(vs.count_parameters(found), rel=0.01)
    assert any(run.network == "beside" for run in plan.runs())
    mine.write_text(mine.read_text().replace(row["spec_hash"], "0123456789abcdef"))
    with pytest.raises(
        vs.VentralError, match="unknown hash of a network '0123456789abcdef' in the table of the search"
    ):
        make("found", modules["plan"].load_plan(mine).networks, path)
    mine.write_text(mine.read_text().replace("as_many_as: found", "as_many_as: fond"))
    with pytest.raises(vs.VentralError, match="unknown network 'fond' of the network 'beside'; did you mean 'found'"):
        modules["plan"].load_plan(mine)


def test_what_is_listed_is_what_the_rule_chooses(modules: Any) -> None:
    """Once the studies are finished."""
    studies = modules["studies"]
    listed = {n.searched for n in modules["plan"].load_plan().networks.values() if n.searched}
    there = studies.studies()
    finished = all(study.finished for study in there)
    assert not listed or (finished and listed == {row["spec_hash"] for row in studies.chosen(there).values()})
