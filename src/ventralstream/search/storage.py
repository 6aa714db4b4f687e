"""Where a study is kept: Optuna's database, with patience for one that restarts, and eyes for workers that died.

SQLite is for one machine; PostgreSQL for any number. A worker that cannot reach the database waits for it and repeats
what it wanted to say, so that a restart loses nothing.
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import threading
import time
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import exc

from ventralstream.errors import VentralError, reason
from ventralstream.search.database import database, hidden, passes, told, unanswered
from ventralstream.search.rows import read_trial, read_trials, state_of, write_parts

R = TypeVar("R")
Requeue = Callable[[optuna.Study, FrozenTrial], None]

PATIENCE = 600.0  # seconds that a worker waits for its database
LOOK = 10.0  # the same for who only looks, or begins
RECYCLE = 900  # seconds after which a connection is made anew
_PATIENT = (
    "create_new_study",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_all_studies",
    "set_trial_state_values",
    "get_trial_system_attrs",
    "_get_best_trial_id",
    "get_trial_id_from_study_id_trial_number",
)

_UNREAD, _READ = "unread", "read"
_SIGNS = (
    sqlalchemy.select(
        models.TrialModel.trial_id,
        models.TrialModel._datetime_start_utc,
        models.TrialHeartbeatModel.heartbeat,
        sqlalchemy.func.now(),
    )
    .outerjoin(models.TrialHeartbeatModel)
    .where(models.TrialModel.study_id == sqlalchemy.bindparam("study"), models.TrialModel.state == TrialState.RUNNING)
)


@dataclass
class _Noted:
    """What is to be written of a trial."""

    trial_id: int | None = None
    rows: dict[Any, dict[str | int, dict[str, Any]]] = field(default_factory=dict)


class Storage(RDBStorage):
    """Optuna's storage in a database, with patience.

    Args:
        url: The database, e.g. "sqlite:///search.db" or "postgresql+psycopg://user@host/name".
        patience: Seconds to wait for a database that does not answer.
        heartbeat: Seconds between two signs of life of a worker.
        grace: Seconds without one after which its trial is another's.
        requeue: Called with a study and a trial whose worker died.
        busy: Seconds to wait for a lock of SQLite's.
        waiting: Called with a sentence when the waiting begins, and once a minute.

    Attributes:
        give_up: Whether to wait no longer.
    """

    def __init__(
        self,
        url: str,
        patience: float = LOOK,
        heartbeat: int | None = None,
        grace: int | None = None,
        requeue: Requeue | None = None,
        busy: float = 30.0,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.patience, self.waiting = patience, waiting
        self.give_up: Callable[[], bool] = lambda: False
        self._kept = threading.local()
        engine: dict[str, Any] = {"pool_pre_ping": True, "pool_recycle": RECYCLE, "pool_size": 4}
        if url.startswith("sqlite"):
            engine = {"connect_args": {"timeout": busy}}
        elif url.startswith("postgresql"):
            engine["connect_args"] = {"connect_timeout": 5}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(
                url,
                engine,
                heartbeat_interval=heartbeat,
                grace_period=grace,
                heartbeat_stale_trial_callback=requeue,
            )
        if url.startswith("sqlite"):
            # readers and a writer need not wait for each other, nor each write for the disk
            sqlalchemy.event.listen(self.engine, "connect", _unhurried)
            self.engine.dispose()

    @contextmanager
    def read_once(self) -> Iterator[None]:
        """In the block all trials are read once, by who first asks for them; who asks later is given the same.

        What this storage itself adds in the block is seen. `read_again` ends it before.
        """
        self._kept.trials = _UNREAD
        try:
            yield
        finally:
            self.read_again()

    def read_again(self) -> None:
        """From now on whoever asks for trials is given them as they are."""
        self._kept.trials = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes what is noted of one trial in the block at its end, in one transaction: so many round trips fewer."""
        self._kept.noted = noted = _Noted()
        try:
            yield
        finally:
            self._kept.noted = None
        if noted.trial_id is not None:
            self.patiently(lambda: self._write(noted))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Notes something of a trial."""
        self._note(trial_id, models.TrialUserAttributeModel, key, value_json=json.dumps(value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Notes something of a trial that a sampler or a pruner wants to know."""
        self._note(trial_id, models.TrialSystemAttributeModel, key, value_json=json.dumps(value))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Notes an accuracy after an epoch."""
        model = models.TrialIntermediateValueModel
        value, kind = model.intermediate_value_to_stored_repr(intermediate_value)
        self._note(trial_id, model, step, intermediate_value=value, intermediate_value_type=kind)

    def _set_trial_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, previous: BaseDistribution | None
    ) -> None:
        if previous is not None:
            check_distribution_compatibility(previous, distribution)
        stored = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
        self._note(trial_id, models.TrialParamModel, name, **stored)

    def _note(self, trial_id: int, model: Any, name: str | int, **stored: Any) -> None:
        noted: _Noted | None = getattr(self._kept, "noted", None)
        if noted is None:
            with self.together():
                self._note(trial_id, model, name, **stored)
            return
        assert noted.trial_id in (None, trial_id)
        noted.trial_id = trial_id
        noted.rows.setdefault(model, {})[name] = stored

    def _write(self, noted: _Noted) -> None:
        trial = noted.trial_id
        assert trial is not None
        with self.engine.begin() as connection:
            state = state_of(connection, trial)
            if state is None:
                raise KeyError(f"there is no trial {trial}")
            self.check_trial_is_updatable(trial, state)
            for model, rows in noted.rows.items():
                write_parts(connection, model, trial, rows)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        made = self.patiently(lambda: RDBStorage._create_new_trial(self, study_id, template_trial))
        self._kept.made = made if template_trial is None else None
        return made

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Reads one trial. What was just made here need not be read: Optuna asks for it at once."""
        made: FrozenTrial | None = getattr(self._kept, "made", None)
        self._kept.made = None
        if made is not None and made._trial_id == trial_id:
            return copy.deepcopy(made)

        def read() -> FrozenTrial:
            with self._reading() as connection:
                return read_trial(connection, trial_id)

        return self.patiently(read)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Reads trials that are not known yet, much faster than Optuna does: 10,000 in some seconds."""
        kept = getattr(self._kept, "trials", None)
        if kept is _READ:
            return []
        wanted = None if states is None else [state for state in TrialState if state in states]

        def read() -> list[FrozenTrial]:
            with self._reading() as connection:
                return read_trials(connection, study_id, wanted, included_trial_ids, trial_id_greater_than)

        found = self.patiently(read)
        if kept is _UNREAD:
            self._kept.trials = _READ
        return found

    @contextmanager
    def _reading(self) -> Iterator[sqlalchemy.Connection]:
        """A connection that begins no transaction, and so need not end one."""
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def record_heartbeat(self, trial_id: int) -> None:
        """Notes a sign of life; one that does not come through is no matter, the next one may."""
        try:
            super().record_heartbeat(trial_id)
        except (optuna.exceptions.StorageInternalError, exc.SQLAlchemyError) as error:
            if not passes(error):
                raise

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """The trials whose workers died, also those that died before their first sign of life."""
        grace = timedelta(seconds=self.grace_period or 2 * (self.heartbeat_interval or 0))

        def stale() -> list[int]:
            with self._reading() as connection:
                rows = connection.execute(_SIGNS, {"study": study_id}).all()
            local = datetime.now(UTC).replace(
                tzinfo=None
            )  # Optuna notes beginnings by the worker's clock, signs of life by the database's
            return [
                trial
                for trial, start, last, now in rows
                if (
                    now.replace(tzinfo=None) - last > grace
                    if last is not None
                    else start is None or local - start > grace
                )
            ]

        return self.patiently(stale)

    def is_running(self, trial_id: int) -> bool:
        """Whether a trial is running, as far as is known: yes while the database does not answer."""
        try:
            with self._reading() as connection:
                return state_of(connection, trial_id) == TrialState.RUNNING
        except exc.SQLAlchemyError as error:
            if not passes(error):
                raise
            return True

    def patiently(self, what: Callable[[], R]) -> R:
        """Does something with the database, again and again while it does not answer.

        Raises:
            VentralError: after so long, in one sentence.
        """
        began, said, pause = time.monotonic(), -60.0, 0.05
        while True:
            try:
                return what()
            except (optuna.exceptions.StorageInternalError, exc.SQLAlchemyError) as error:
                waited = time.monotonic() - began
                if not passes(error):
                    raise
                if waited + pause > self.patience or self.give_up():
                    raise unanswered(self.url, error) from None
                if self.waiting is not None and waited - said >= 60 and waited > 1:
                    said = waited
                    self.waiting(f"the database does not answer ({told(error)}); waiting for it")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def _unhurried(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _patient(name: str) -> Any:
    plain = getattr(RDBStorage, name)

    @functools.wraps(plain)
    def method(self: Storage, *args: Any, **kwargs: Any) -> Any:
        return self.patiently(lambda: plain(self, *args, **kwargs))

    return method


for _name in _PATIENT:
    setattr(Storage, _name, _patient(_name))


def quiet() -> None:
    """Keeps Optuna's and SQLAlchemy's own notes off the screen: what a user must know, we say ourselves."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)


def connect(storage: str, must_exist: bool = True, **options: Any) -> Storage:
    """Opens a database.

    Args:
        storage: An address, or the path of an SQLite file.
        must_exist: Whether an SQLite file must be there; else it is made.
        options: As of `Storage`.

    Raises:
        VentralError: if it is not there, does not answer, or is none.
    """
    quiet()
    url = database(storage)
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
        if must_exist and not file.is_file():
            raise VentralError(f"there is no database at '{file}'; make a study there with `ventral search create`")
        if not file.parent.is_dir():
            raise VentralError(f"there is no folder '{file.parent}' for the database '{file.name}'")
    began = time.monotonic()
    while True:
        try:
            return Storage(url, **options)
        except (exc.NoSuchModuleError, ImportError):
            raise VentralError(
                f"'{hidden(url)}' is a kind of database that is not installed; expected a file, or"
                " postgresql://USER@HOST/NAME"
            ) from None
        except exc.ArgumentError:
            raise VentralError(
                f"'{storage}' is no address of a database; expected a file, or postgresql://USER@HOST/NAME"
            ) from None
        except (exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            patience = float(options.get("patience", LOOK))
            if not passes(error) or time.monotonic() - began > patience:
                raise unanswered(url, error) from None
            time.sleep(0.5)
        except (RuntimeError, AssertionError) as error:
            raise VentralError(f"'{hidden(url)}' is no database of studies: {reason(error)}") from None
