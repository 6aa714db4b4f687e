"""The table of trained networks, and what is foretold from it."""

import json
import random

import optuna
import pytest
from optuna.trial import TrialState
from simulated_study import EPOCHS, planted, simulated

from ventralstream.errors import VentralError
from ventralstream.search import surrogate
from ventralstream.search.options import Search
from ventralstream.search.spaces import load_space
from ventralstream.search.study import create_study, open_study
from ventralstream.search.trained import COLUMNS, add_study, table
from ventralstream.search.worker import work
from ventralstream.spec import spec_from_json
from ventralstream.training import Place, Recipe


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("table"), 120, spoilt=0.1)


@pytest.fixture(scope="module")
def file(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "trials.csv.gz"
    add_study(study, path)
    return path


def test_a_row_is_a_trial(study, file):
    rows = table(file)
    assert list(rows.columns) == list(COLUMNS)
    done = [t for t in study.trials if t.state.is_finished()]
    assert len(rows) == len(done) == 120
    trial, row = done[5], rows.iloc[5]
    assert (row.study, row.sampler, row.seed, row.wanted, row.outcome) == ("made_up", "tpe", 0, 120, "trained")
    assert list(rows["point"][:3].fillna("")) == ["rgc", "median", ""]
    assert row.trial == trial.number and row.accuracy == trial.value and row.space == "cifar-small"
    assert row.flops == trial.user_attrs["flops"] and row.parameters == trial.user_attrs["parameters"]
    assert spec_from_json(row.spec) == spec_from_json(trial.user_attrs["spec"])
    assert json.loads(row.params) == trial.params
    assert json.loads(row.accuracy_by_epoch) == list(trial.intermediate_values.values())
    assert row.v4_score != row.v4_score  # nobody has computed it
    spoilt = rows[rows["outcome"] == "diverged"]
    assert len(spoilt) > 3 and spoilt["accuracy"].isna().all() and spoilt["same_as"].isna().all()


def test_a_study_replaces_itself_and_leaves_others(study, file, tmp_path):
    path = tmp_path / "t.csv"
    add_study(study, path)
    add_study(simulated(tmp_path, 4, "another"), path)
    before = path.read_bytes()
    assert add_study(study, path) == len(table(file))
    assert path.read_bytes() == before
    assert table(path)["study"].value_counts().to_dict() == {"made_up": len(table(file)), "another": 4}


def test_the_same_trials_are_the_same_file(study, file, tmp_path):
    add_study(study, tmp_path / file.name)
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_what_does_not_count_as_a_trial_is_left_out(tmp_path):
    study = simulated(tmp_path, 5, "five")
    best, create = study.best, optuna.trial.create_trial
    noted = {key: best.user_attrs[key] for key in ("spec", "spec_hash")}
    study.optuna.add_trials(
        [
            create(
                params=best.params,
                distributions=best.distributions,
                value=best.value,
                user_attrs={**best.user_attrs, "outcome": "known", "same_as": best.number},
            ),
            create(state=TrialState.PRUNED, user_attrs={"outcome": "refused", **noted}),
            create(state=TrialState.FAIL, user_attrs={"outcome": "interrupted", **noted}),
            create(state=TrialState.FAIL),  # its worker died; it goes on as another
            create(state=TrialState.RUNNING),
            create(state=TrialState.FAIL, user_attrs={"deaths": 5}),  # one death too many
            create(state=TrialState.FAIL, user_attrs={"outcome": "raised"}),
            create(
                state=TrialState.PRUNED,
                intermediate_values={1: 0.25},
                value=0.25,
                user_attrs={"outcome": "pruned", **noted},
            ),
        ]
    )
    assert add_study(study, tmp_path / "t.csv") == 9
    known, died, raised, pruned = (row for _, row in table(tmp_path / "t.csv").iloc[-4:].iterrows())
    assert (known.outcome, known.same_as, known.accuracy) == ("known", best.number, best.value)
    assert (died.outcome, raised.outcome) == ("died", "raised") and raised.accuracy != raised.accuracy
    assert (pruned.outcome, pruned.accuracy, pruned.epochs) == ("pruned", 0.25, 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "a,b\n1,2\n", "has no column 'study'"),
        ("a.csv.gz", "this is not packed", "is no table of trials"),
        ("a.csv", "", "is no table of trials"),
        ("a.xlsx", "", "must end in .csv or .csv.gz"),
    ],
)
def test_bad_files_are_a_sentence(study, tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(VentralError, match=said):
        add_study(study, path)
    assert path.read_text() == text
    with pytest.raises(VentralError, match="there is no table of trials"):
        table(tmp_path / "other.csv")


def test_the_package_has_a_table_of_networks_that_can_be_made():
    rows = table()
    assert list(rows.columns) == list(COLUMNS)
    assert len(rows) and not rows.duplicated(["study", "trial"]).any() and rows["accuracy"].dropna().between(0, 1).all()
    for _, row in rows.iloc[:: max(1, len(rows) // 10)].iterrows():
        candidate = load_space(row["space"]).candidate(json.loads(row["params"]))
        assert candidate.spec_hash == row["spec_hash"] and candidate.spec == spec_from_json(row["spec"])


def test_the_package_s_own_table_foretells_when_it_has_enough():
    space = load_space("cifar-small")
    own, candidate = surrogate.Surrogate(), space.candidate(dict(space.known["rgc"]))
    if (table()["outcome"] == "trained").sum() < surrogate.LEAST:
        with pytest.raises(VentralError, match="expected at least 20 to foretell others"):
            own.foretell(candidate)
    else:
        assert all(0 < accuracy < 1 for accuracy in own.foretell(candidate))


def test_accuracies_are_foretold(file):
    """What is planted is found again in networks that were left out."""
    assert surrogate.foretold_well(str(file)) > 0.6


def test_noise_cannot_be_foretold(file, tmp_path):
    rows = table(file)
    rows = rows[rows["outcome"] == "trained"]
    shuffled = rows["accuracy_by_epoch"].sample(frac=1, random_state=0).to_numpy()
    rows.assign(accuracy_by_epoch=shuffled).to_csv(tmp_path / "t.csv", index=False)
    assert abs(surrogate.foretold_well(str(tmp_path / "t.csv"))) < 0.4


def test_surrogate_knows_a_good_candidate(study, file):
    forest = surrogate.Surrogate(foretold_from=str(file), foretold_space="cifar-small")
    values = dict(study.space.known["rgc"])
    good, poor = (
        study.space.candidate({**values, "cell.input_to_cell": on, "cell.cell_residual": True}) for on in (True, False)
    )
    told = forest.foretell(good)
    assert len(told) == EPOCHS and told == sorted(told) and told == forest.foretell(good)
    assert told[-1] > forest.foretell(poor)[-1] + 0.1
    assert told[-1] == pytest.approx(planted({**values, "cell.input_to_cell": True}, random.Random(0)), abs=0.05)


def test_too_few_networks(file):
    with pytest.raises(VentralError, match="0 trained networks of the space 'cifar'; expected at least 20"):
        surrogate.foretold_well(str(file), "cifar")


def test_a_study_of_the_surrogate(file, tmp_path):
    """A search by TPE that trains nothing finds what is planted."""
    forest = surrogate.Surrogate(foretold_from=str(file))
    search = Search(objective=forest, trials=12, startup=6)
    study = create_study("s", str(tmp_path / "s.db"), load_space("cifar-small"), Recipe(epochs=EPOCHS), search)
    assert open_study("s", str(tmp_path / "s.db")).search.objective == forest
    assert work(study, Place()) == 12
    assert study.best.params["cell.input_to_cell"]
    assert len(study.best.intermediate_values) == EPOCHS
