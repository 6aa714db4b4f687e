"""Where a study is kept: Optuna's database, with patience for one that restarts, and eyes for workers that died.

SQLite is for one machine; PostgreSQL for any number. A worker that cannot reach the database waits for it and repeats
what it wanted to say, so that a restart loses nothing.
"""

from __future__ import annotations

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
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql, sqlite

from ventralstream.errors import VentralError, reason
from ventralstream.search.rows import read_trials

R = TypeVar("R")
Requeue = Callable[[optuna.Study, FrozenTrial], None]

PATIENCE = 600.0  # seconds that a worker waits for its database
LOOK = 10.0  # the same for who only looks, or begins
RECYCLE = 900  # seconds after which a connection is made anew
LOCKED = "database is locked"
_PERMANENT = (
    *(exc.ArgumentError, exc.NoSuchModuleError, exc.CompileError, exc.NoResultFound),
    *(exc.DataError, exc.IntegrityError, exc.ProgrammingError, exc.NotSupportedError),
)
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
    "_create_new_trial",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "get_trial",
    "get_trial_system_attrs",
    "_get_best_trial_id",
    "get_trial_id_from_study_id_trial_number",
)


class Unanswered(VentralError):
    """The database did not answer for longer than anyone wants to wait."""


@dataclass
class _Noted:
    """What is to be written of a trial."""

    trial_id: int | None = None
    parameters: dict[str, tuple[float, str]] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


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
        with self._noting(trial_id) as noted:
            noted.attributes[key] = json.dumps(value)

    def _set_trial_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, previous: BaseDistribution | None
    ) -> None:
        if previous is not None:
            check_distribution_compatibility(previous, distribution)
        with self._noting(trial_id) as noted:
            noted.parameters[name] = (value, distribution_to_json(distribution))

    @contextmanager
    def _noting(self, trial_id: int) -> Iterator[_Noted]:
        noted: _Noted | None = getattr(self._kept, "noted", None)
        if noted is None:
            with self.together(), self._noting(trial_id) as noted:
                yield noted
            return
        assert noted.trial_id in (None, trial_id)
        noted.trial_id = trial_id
        yield noted

    def _write(self, noted: _Noted) -> None:
        trial = noted.trial_id
        assert trial is not None
        insert = sqlite.insert if self.engine.name == "sqlite" else postgresql.insert
        with _create_scoped_session(self.scoped_session, True) as session:
            self.check_trial_is_updatable(trial, models.TrialModel.find_or_raise_by_id(trial, session).state)
            if noted.parameters:
                rows = [
                    {"trial_id": trial, "param_name": name, "param_value": value, "distribution_json": distribution}
                    for name, (value, distribution) in noted.parameters.items()
                ]
                session.execute(insert(models.TrialParamModel).values(rows).on_conflict_do_nothing())
            if noted.attributes:
                model = models.TrialUserAttributeModel
                rows = [{"trial_id": trial, "key": key, "value_json": v} for key, v in noted.attributes.items()]
                new = insert(model).values(rows)
                columns = [model.trial_id, model.key]
                session.execute(
                    new.on_conflict_do_update(index_elements=columns, set_={"value_json": new.excluded.value_json})
                )

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Reads trials, much faster than Optuna does: 10,000 in some seconds."""
        wanted = None if states is None else [state for state in TrialState if state in states]

        def read() -> list[FrozenTrial]:
            with self.engine.connect() as connection:
                return read_trials(connection, study_id, wanted, included_trial_ids, trial_id_greater_than)

        return self.patiently(read)

    def record_heartbeat(self, trial_id: int) -> None:
        """Notes a sign of life; one that does not come through is no matter, the next one may."""
        try:
            super().record_heartbeat(trial_id)
        except (optuna.exceptions.StorageInternalError, exc.SQLAlchemyError) as error:
            if not _passes(error):
                raise

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """The trials whose workers died, also those that died before their first sign of life."""
        grace = timedelta(seconds=self.grace_period or 2 * (self.heartbeat_interval or 0))

        def stale() -> list[int]:
            with orm.Session(self.engine) as session:
                now = session.execute(sqlalchemy.func.now()).scalar_one().replace(tzinfo=None)
                beat = models.TrialHeartbeatModel.heartbeat
                rows = session.execute(
                    sqlalchemy.select(models.TrialModel.trial_id, models.TrialModel._datetime_start_utc, beat)
                    .outerjoin(models.TrialHeartbeatModel)
                    .where(models.TrialModel.study_id == study_id, models.TrialModel.state == TrialState.RUNNING)
                ).all()
            local = datetime.now(UTC).replace(
                tzinfo=None
            )  # Optuna notes beginnings by the worker's clock, signs of life by the database's
            return [
                trial
                for trial, start, last in rows
                if (now - last > grace if last is not None else start is None or local - start > grace)
            ]

        return self.patiently(stale)

    def is_running(self, trial_id: int) -> bool:
        """Whether a trial is running, as far as is known: yes while the database does not answer."""
        try:
            with orm.Session(self.engine) as session:
                state = session.execute(
                    sqlalchemy.select(models.TrialModel.state).where(models.TrialModel.trial_id == trial_id)
                ).scalar_one_or_none()
        except exc.SQLAlchemyError as error:
            if not _passes(error):
                raise
            return True
        return bool(state == TrialState.RUNNING)

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
                if not _passes(error):
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


def database(storage: str) -> str:
    """The database's address for what a user gives: an address, or the path of an SQLite file."""
    if "://" not in storage:
        return f"sqlite:///{Path(storage).absolute()}"
    if storage.startswith(("postgresql://", "postgres://")):
        return "postgresql+psycopg://" + storage.partition("://")[2]
    return storage


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
            if not _passes(error) or time.monotonic() - began > patience:
                raise unanswered(url, error) from None
            time.sleep(0.5)
        except (RuntimeError, AssertionError) as error:
            raise VentralError(f"'{hidden(url)}' is no database of studies: {reason(error)}") from None


def unanswered(url: str, error: BaseException) -> Unanswered:
    """What to say of a database that does not answer."""
    said = told(error)
    if LOCKED in said:
        return Unanswered(f"'{hidden(url)}' is locked by another process; end that, or keep the study in PostgreSQL")
    return Unanswered(f"the database '{hidden(url)}' does not answer: {said}")


def told(error: BaseException) -> str:
    """What the database, or whoever speaks to it, says went wrong."""
    while error.__cause__ is not None and not isinstance(error, exc.DBAPIError):
        error = error.__cause__
    return reason(error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error)


def hidden(url: str) -> str:
    """An address without its password."""
    try:
        made = sqlalchemy.make_url(url)
    except exc.ArgumentError:
        return url
    return str(made.database) if made.drivername.startswith("sqlite") else made.render_as_string(hide_password=True)


def _passes(error: BaseException) -> bool:
    """Whether a failure may pass by itself: the database was away, busy, or a connection broke, in whatever it did."""
    cause = error if isinstance(error, exc.SQLAlchemyError) else error.__cause__
    if not isinstance(cause, exc.SQLAlchemyError):
        return False
    broken_file = type(cause) is exc.DatabaseError and type(cause.orig).__module__ == "sqlite3"
    return not broken_file and not isinstance(cause, _PERMANENT)
