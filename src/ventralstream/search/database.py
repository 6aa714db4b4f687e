"""Addresses of databases, and what went wrong with one: what to say of it, and whether it may pass by itself."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy
from sqlalchemy import exc

from ventralstream.errors import VentralError, reason

LOCKED = "database is locked"
_PERMANENT = (
    *(exc.ArgumentError, exc.NoSuchModuleError, exc.CompileError, exc.NoResultFound),
    *(exc.DataError, exc.IntegrityError, exc.ProgrammingError, exc.NotSupportedError),
)


class Unanswered(VentralError):
    """The database did not answer for longer than anyone wants to wait."""


def database(storage: str) -> str:
    """The database's address for what a user gives: an address, or the path of an SQLite file."""
    if "://" not in storage:
        return f"sqlite:///{Path(storage).absolute()}"
    if storage.startswith(("postgresql://", "postgres://")):
        return "postgresql+psycopg://" + storage.partition("://")[2]
    return storage


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
    return str(made.database) if made.drivername.startswith("sqlite") else without_password(url)


def without_password(text: str) -> str:
    """A text in which addresses of databases have no passwords."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def passes(error: BaseException) -> bool:
    """Whether a failure may pass by itself: the database was away, busy, or a connection broke, in whatever it did."""
    cause = error if isinstance(error, exc.SQLAlchemyError) else error.__cause__
    if not isinstance(cause, exc.SQLAlchemyError):
        return False
    broken_file = type(cause) is exc.DatabaseError and type(cause.orig).__module__ == "sqlite3"
    return not broken_file and not isinstance(cause, _PERMANENT)
