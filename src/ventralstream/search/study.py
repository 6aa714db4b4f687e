"""A study: a space, how it is searched, and its trials in a database that any number of workers share."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ventralstream.errors import VentralError, printable, unknown
from ventralstream.files import write_text
from ventralstream.jsonable import from_json
from ventralstream.search.database import hidden, without_password
from ventralstream.search.enqueue import enqueue
from ventralstream.search.halving import pruner
from ventralstream.search.options import Search
from ventralstream.search.requeue import requeue
from ventralstream.search.sampling import Sampler, distributions, grid
from ventralstream.search.space import Candidate, Space
from ventralstream.search.spaces import check_found_again, parameters_from_json, space_from_json
from ventralstream.search.storage import LOOK, Storage, connect
from ventralstream.training.provenance import provenance
from ventralstream.training.recipe import Recipe

MARK = "study.txt"  # in the trials' folder: whose it is
SEARCH = "search"  # the study's attribute that is written last: it is whole then


class Study:
    """A study that is there.

    Args:
        name: Its name.
        storage: Its database.
        space_file: Where the file of a user's space is now; where it was if None.

    Attributes:
        optuna: Optuna's study.
        search: How the space is searched.
        recipe: How a trial is trained.
        parameters: What is chosen, by name.
        folder: Where the trials' folders are.
        space_of: What is drawn in a trial, in Optuna's words.
    """

    def __init__(self, name: str, storage: Storage, space_file: Path | None = None) -> None:
        self.name, self.storage, self._space_file = name, storage, space_file
        try:
            self.optuna = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            names = [study.study_name for study in storage.get_all_studies()]
            raise unknown("study", name, names, f" in '{hidden(storage.url)}'") from None
        attributes = self.optuna.user_attrs
        if SEARCH not in attributes:
            raise VentralError(
                f"the study '{name}' in '{hidden(storage.url)}' was not made by `ventral search create`, or not to the"
                " end; make it again by the same command"
            )
        self.attributes: dict[str, Any] = attributes
        self.search: Search = from_json(attributes[SEARCH])
        self.recipe: Recipe = from_json(attributes["recipe"])
        self.folder = Path(attributes["folder"])
        self.parameters = parameters_from_json(attributes["space"])
        self.space_of = distributions(self.parameters)
        self.optuna.sampler = Sampler(self.search.sampler, self.parameters, self.search.seed, self.search.startup)
        self.optuna.pruner = pruner(self.search.halving)
        storage.heartbeat_interval, storage.grace_period = self.search.heartbeat, self.search.grace
        storage.heartbeat_stale_trial_callback = lambda study, trial: requeue(study, trial, self.search.deaths)

    @cached_property
    def space(self) -> Space:
        """The space; VentralError if it is a user's whose file is gone or was changed."""
        return space_from_json(self.attributes["space"], self.attributes["script"], self._space_file)

    @property
    def space_name(self) -> str:
        """The space's name."""
        return str(self.attributes["space"]["name"])

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers; not to be changed."""
        return self.optuna.get_trials(deepcopy=False)

    def trial(self, number: int) -> FrozenTrial:
        """One trial; VentralError if there is none of that number."""
        trials = self.trials
        if not 0 <= number < len(trials):
            raise VentralError(f"the study '{self.name}' has no trial {number}; it has {len(trials)}, from 0 on")
        return trials[number]

    @property
    def best(self) -> FrozenTrial:
        """The complete trial of the highest validation accuracy; the first of several."""
        if not (complete := self._complete()):
            raise VentralError(f"no trial of the study '{self.name}' is complete yet")
        return max(complete, key=lambda trial: (_value(trial), -trial.number))

    @property
    def median(self) -> FrozenTrial:
        """The complete trial whose accuracy is the median of those in the last third of the study's trials.

        Nayebi et al. 2018 study a median model of the late search; the third, and the lower one of two, are our choice.
        """
        if not (complete := self._complete()):
            raise VentralError(f"no trial of the study '{self.name}' is complete yet")
        late = complete[-max(1, len(complete) // 3) :]
        return sorted(late, key=_value)[(len(late) - 1) // 2]

    def _complete(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]


def create_study(
    name: str,
    storage: str,
    space: Space,
    recipe: Recipe,
    search: Search | None = None,
    *,
    folder: str | Path | None = None,
) -> Study:
    """Makes a study, or finds it as it was made.

    Args:
        name: Its name.
        storage: The address of a database, or the path of an SQLite file.
        space: What is searched.
        recipe: How a trial is trained.
        search: How it is searched.
        folder: Where the trials' folders shall be, which all workers must reach; beside an SQLite file, or here, by
            the study's name if None.

    Raises:
        VentralError: if there is a study of that name that differs (more trials may be asked of it), the database
            does not answer, the space is in no file, the recipe has not what is chosen of it, the budget is one that
            no sample meets, or the folder holds trials of another study.
    """
    from ventralstream.search.budget import check_budget

    search = search or Search()
    check_found_again(space)
    some_candidate(space).recipe(recipe)
    points = grid(space.parameters) if search.sampler == "grid" else []
    if points:
        search = search.replace(trials=len(points))
    attributes = _attributes(space, recipe, search)
    kept = connect(storage, must_exist=False)
    if folder is None:
        file = kept.url.removeprefix("sqlite:///") if kept.url.startswith("sqlite:///") else "."
        folder = Path(file).absolute().parent / name if file != "." else Path.cwd() / name
    attributes["folder"] = str(Path(folder).absolute())
    made = optuna.create_study(study_name=name, storage=kept, direction="maximize", load_if_exists=True)
    there = made.user_attrs
    if SEARCH in there:
        _check_same(name, there, attributes)
        if from_json(there[SEARCH]).trials < search.trials:
            made.set_user_attr(SEARCH, attributes[SEARCH])
        return Study(name, kept)
    if search.max_parameters is not None or search.max_mflop is not None:
        check_budget(space, search)
    _claim(Path(attributes["folder"]), name, attributes["id"])
    for key, value in attributes.items():
        if key != SEARCH:
            made.set_user_attr(key, value)
    enqueue(made, kept, space.known, points)
    made.set_user_attr(SEARCH, attributes[SEARCH])
    return Study(name, kept)


def open_study(
    name: str, storage: str, space_file: Path | None = None, patience: float = LOOK, **options: Any
) -> Study:
    """Opens a study.

    Args:
        name: Its name.
        storage: The address of its database, or the path of an SQLite file.
        space_file: Where the file of a user's space is now; where it was if None.
        patience: Seconds to wait for a database that does not answer.
        options: As of `Storage`.

    Raises:
        VentralError: if there is none, or the database does not answer.
    """
    return Study(name, connect(storage, patience=patience, **options), space_file)


def _attributes(space: Space, recipe: Recipe, search: Search) -> dict[str, Any]:
    """What a study notes of itself; JSON."""
    known = provenance()
    versions = {"ventralstream": known["ventralstream"], "python": known["python"], "optuna": optuna.__version__}
    return {
        "id": uuid.uuid4().hex,
        "space": space.to_json(),
        "script": space.source,
        "recipe": recipe.to_json(),
        "seed": search.seed,
        "commit": known["git_commit"],
        "versions": versions | known["packages"],
        "command": [without_password(str(word)) for word in sys.argv],
        SEARCH: search.to_json(),
    }


def _check_same(name: str, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises VentralError if a study of that name was made otherwise."""
    what = {"space": "another space", "script": "another version of its space", "recipe": "another recipe"}
    for key, told in {**what, SEARCH: "other options", "folder": "another folder"}.items():
        if there.get(key) == wanted[key]:
            continue
        if key == "space":
            told = (
                f"another space, '{there[key].get('name')}'"
                if there[key]["name"] != wanted[key]["name"]
                else (f"another version of the space '{wanted[key]['name']}'")
            )
        if key == SEARCH:
            options = [option for option, value in wanted[key].items() if there[key].get(option) != value]
            if options == ["trials"] and there[key]["trials"] < wanted[key]["trials"]:
                continue  # it goes on
            told = f"{there[key]['trials']} trials" if options == ["trials"] else f"another {' and '.join(options)}"
        raise VentralError(f"there is a study '{name}' already, with {told}; choose another name, or go on with that")


def _claim(folder: Path, name: str, own: str) -> None:
    """Marks a folder as this study's; what a study of another database left there would be taken for its own."""
    mark = folder / MARK
    if any(folder.glob("trial_*/")) and (not mark.is_file() or mark.read_text(encoding="utf-8").strip() != own):
        raise VentralError(
            f"'{printable(folder)}' holds trials of another study; remove it, or give the study '{name}' another name"
            " or --folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(mark, own + "\n")


def some_candidate(space: Space) -> Candidate:
    """The candidate of the first known point, or else of the first, or the smallest, value of each parameter."""
    smallest = {
        name: (parameter.grid() or (parameter.nearest(float("-inf")),))[0]
        for name, parameter in space.parameters.items()
    }
    return space.candidate(next(iter(space.known.values()), smallest))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
