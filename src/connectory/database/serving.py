"""Who serves a database: marked while it lasts, so that others can tell.

A data folder with the embedded database has one server, which holds a lock on a file in it. A
PostgreSQL database may have many; each holds a shared advisory lock, and a restore wants it alone.
The operating system, or the database, frees a lock when its holder dies, however that happens.
"""

import contextlib
import fcntl
import logging
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import sqlalchemy

from connectory.database.engine import Database, Session

_ADVISORY_LOCK = 7071
_IMPORT_LOCK = 7072
#: How often a node makes sure that it still holds its lock: a PostgreSQL that restarts forgets it.
_RENEWAL_SECONDS = 1.0

log = logging.getLogger(__name__)


class AlreadyServed(Exception):
    """A server is running where none may be; the message says where."""


@contextlib.contextmanager
def being_served(database: Database, data: Path) -> Iterator[None]:
    """Mark a database as served while the block runs.

    Raises:
        AlreadyServed: the data folder has a server already, or a restore is writing.
        DatabaseUnavailable: the database cannot be reached.
    """
    if database.is_sqlite:
        with _locked_file(data / "serve.lock", f"{data} is being served already, or restored"):
            yield
        return
    taken: futures.Future[None] = futures.Future()
    ended = threading.Event()
    keeper = threading.Thread(
        target=_keep_lock, args=(database, taken, ended), name="serving lock", daemon=True
    )
    keeper.start()
    try:
        taken.result()
        yield
    finally:
        ended.set()
        keeper.join(_RENEWAL_SECONDS)  # a database that hangs keeps it longer, but not us


@contextlib.contextmanager
def served_by_nobody(database: Database, data: Path) -> Iterator[None]:
    """Keep servers away while the block runs.

    Raises:
        AlreadyServed: one is running, or another keeps them away just now.
        DatabaseUnavailable: the database cannot be reached.
    """
    if database.is_sqlite:
        refusal = f"{data} is being served, or restored; stop the server first"
        with _locked_file(data / "serve.lock", refusal):
            yield
    else:
        refusal = "the database is being served, or restored; stop every node first"
        with _advisory_lock(database, "pg_try_advisory_lock", refusal):
            yield


def is_served_by_one(connection: sqlalchemy.Connection) -> bool:
    """Whether no more than one node serves the database that a connection is to."""
    return nodes(connection) <= 1


def nodes(connection: sqlalchemy.Connection) -> int:
    """How many nodes serve the database that a connection is to."""
    if connection.dialect.name == "sqlite":
        return 1  # the file's lock sees to it
    holders = connection.execute(
        sqlalchemy.text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = 0 AND objid = :lock AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        {"lock": _ADVISORY_LOCK},
    )
    return int(holders.scalar_one())


@contextlib.contextmanager
def one_by_one(data: Path) -> Iterator[None]:
    """Wait for others who prepare a data folder, and let the next ones wait."""
    with _locked_file(data / "prepare.lock", None):
        yield


@contextlib.contextmanager
def importing_alone(database: Database, session: Session, *, waits: bool = True) -> Iterator[bool]:
    """Keep other imports away while the block runs; whether this one may go on.

    It may not where another import is at it and this one does not wait. On PostgreSQL the lock is
    the session's and ends with it, so that nobody else takes over while statements of it still run.
    """
    if database.is_sqlite:
        file = Path(str(database.engine.url.database)).with_name("import.lock")
        try:
            with _locked_file(file, None if waits else "another import is under way"):
                yield True
        except AlreadyServed:
            yield False
        return
    function = "pg_advisory_lock" if waits else "pg_try_advisory_lock"
    with session.aside() as connection:
        query = sqlalchemy.text(f"SELECT {function}({_IMPORT_LOCK})")
        taken = connection.execute(query).scalar_one()
    yield waits or bool(taken)


@contextlib.contextmanager
def _locked_file(path: Path, refusal: str | None) -> Iterator[None]:
    """Hold the lock of a file; where another does, refuse, or wait if there is no refusal."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if refusal is None else fcntl.LOCK_NB))
        except BlockingIOError:
            raise AlreadyServed(refusal) from None
        yield


@contextlib.contextmanager
def _advisory_lock(
    database: Database, function: str, refusal: str
) -> Iterator[sqlalchemy.Connection]:
    """Hold an advisory lock on a connection of its own: it belongs to the session."""
    with database.autocommitting() as connection:
        query = sqlalchemy.text(f"SELECT {function}({_ADVISORY_LOCK})")
        if not connection.execute(query).scalar_one():
            raise AlreadyServed(refusal)
        yield connection


def _keep_lock(database: Database, taken: "futures.Future[None]", ended: threading.Event) -> None:
    """Hold a node's shared lock until it ends; take it again when its connection was lost."""
    told = ""
    while not ended.is_set():
        try:
            with _advisory_lock(
                database, "pg_try_advisory_lock_shared", "the database is being restored"
            ) as connection:
                told = ""
                if not taken.done():
                    taken.set_result(None)
                while not ended.wait(_RENEWAL_SECONDS):
                    connection.execute(sqlalchemy.text("SELECT 1"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the node waits to hear of it
            if not taken.done():
                taken.set_exception(error)
                return
            if told != str(error):
                log.warning("the lock that marks the database as served was lost: %s", error)
            told = str(error)
            ended.wait(_RENEWAL_SECONDS)
