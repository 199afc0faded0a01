"""Who serves a database: marked while it lasts, so that others can tell.

A data folder with the embedded database has one server, which holds a lock on a file in it. A
PostgreSQL database may have many; each holds a shared advisory lock, and a restore wants it alone.
The operating system, or the database, frees a lock when its holder dies, however that happens.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy

from connectory.database.engine import Database

_ADVISORY_LOCK = 7071


class AlreadyServed(Exception):
    """A server is running where none may be; the message says where."""


@contextlib.contextmanager
def being_served(database: Database, data: Path) -> Iterator[None]:
    """Mark a database as served while the block runs.

    Raises:
        AlreadyServed: the data folder has a server already, or a restore is writing.
    """
    if database.is_sqlite:
        with _locked_file(data, f"{data} is served already, or being restored; stop that first"):
            yield
    else:
        with _advisory_lock(
            database, "pg_try_advisory_lock_shared", "the database is being restored"
        ):
            yield


@contextlib.contextmanager
def served_by_nobody(database: Database, data: Path) -> Iterator[None]:
    """Keep servers away while the block runs.

    Raises:
        AlreadyServed: one is running.
    """
    if database.is_sqlite:
        with _locked_file(data, f"{data} is being served; stop the server first"):
            yield
    else:
        with _advisory_lock(
            database, "pg_try_advisory_lock", "the database is being served; stop every node first"
        ):
            yield


@contextlib.contextmanager
def _locked_file(data: Path, refusal: str) -> Iterator[None]:
    with (data / "serve.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServed(refusal) from None
        yield


@contextlib.contextmanager
def _advisory_lock(database: Database, function: str, refusal: str) -> Iterator[None]:
    # A connection of its own, outside any transaction: the lock belongs to the session.
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = sqlalchemy.text(f"SELECT {function}({_ADVISORY_LOCK})")
        if not connection.execute(query).scalar_one():
            raise AlreadyServed(refusal)
        try:
            yield
        finally:
            connection.invalidate()
