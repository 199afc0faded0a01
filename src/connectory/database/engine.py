"""One door to either database: transactions that read and transactions that write.

On SQLite a write transaction begins with `BEGIN IMMEDIATE`, so that it never has to upgrade a
read lock and fail half-way; the journal is a WAL with `synchronous=FULL`, so that what was
acknowledged survives a power cut. On PostgreSQL a write is an ordinary READ COMMITTED transaction,
a read a read-only one at REPEATABLE READ.
"""

import asyncio
import contextlib
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import event, exc

#: The embedded database's name in the data folder.
SQLITE_FILE = "connectory.sqlite3"
SQLITE_BUSY_MILLISECONDS = 15_000
#: How long a request waits for what it reads.
PROMPT_SECONDS = 10
#: How long a database that is closed may take to finish what it was asked before.
CLOSE_SECONDS = 2

P = ParamSpec("P")
T = TypeVar("T")

_WRITES = "connectory_writes"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, did not answer in time, or refuses its service.

    Nothing was written, unless the connection went away between a commit and its acknowledgement.
    """


class DatabaseAddressError(ValueError):
    """The database URL cannot be used; the message says how to mend it."""


class Database:
    """A database that slices read from and write to, one transaction at a time.

    Store functions are plain: they take a Connection and return values. Commands call them inside
    `read()` or `write()`; the server hands them to `reading()` or `writing()`, which run them in
    a worker thread, so that the event loop never waits for a disk.
    """

    def __init__(
        self, engine: sqlalchemy.Engine, threads: int, sockets: Callable[[], Iterable[int]]
    ) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._threads = futures.ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._calls: set[futures.Future[Any]] = set()
        self._sockets = sockets

    async def reading(
        self,
        function: Callable[Concatenate[sqlalchemy.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call `function(connection, …)` in a read transaction, in a worker thread.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """

        def call() -> T:
            with self.read() as connection:
                return function(connection, *args, **kwargs)

        return await self.in_thread(call)

    async def writing(
        self,
        function: Callable[Concatenate[sqlalchemy.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call `function(connection, …)` in a write transaction, in a worker thread.

        When this returns, the write is durable.

        Raises:
            DatabaseUnavailable: the database cannot be reached; nothing was written.
        """

        def call() -> T:
            with self.write() as connection:
                return function(connection, *args, **kwargs)

        return await self.in_thread(call)

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """A read-only transaction over one snapshot.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        with self._transaction(writes=False) as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlalchemy.Connection]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or stayed locked for too long.
        """
        with self._transaction(writes=True) as connection:
            yield connection

    @contextlib.contextmanager
    def session(self) -> "Iterator[Session]":
        """One connection for several transactions, which can hand temporary tables on.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        with self._translated(), self.engine.connect() as connection:
            try:
                yield Session(connection)
            finally:
                # What was set on it, and its temporary tables, are nobody else's.
                connection.invalidate()

    @contextlib.contextmanager
    def autocommitting(self) -> Iterator[sqlalchemy.Connection]:
        """A connection outside any transaction: what it locks, it holds until the block ends.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        with self._translated(), self.engine.connect() as connection:
            try:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                connection.invalidate()

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlalchemy.Connection]:
        options: dict[str, Any] = {_WRITES: writes}
        if not self.is_sqlite and not writes:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._translated(), self.engine.connect() as connection:
            connection.execution_options(**options)
            with connection.begin():
                yield connection

    async def reading_promptly(
        self,
        function: Callable[Concatenate[sqlalchemy.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Like `reading`, for a request that must be answered even if the database hangs.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or did not answer in time.
        """
        try:
            return await asyncio.wait_for(self.reading(function, *args, **kwargs), PROMPT_SECONDS)
        except TimeoutError:
            raise DatabaseUnavailable(f"no answer within {PROMPT_SECONDS} seconds") from None

    @property
    def open_connections(self) -> int:
        """How many connections to the database are open."""
        return self._pool.checkedin() + self._pool.checkedout()

    @property
    def busy_connections(self) -> int:
        """How many of them are in use."""
        return self._pool.checkedout()

    @property
    def _pool(self) -> sqlalchemy.QueuePool:
        pool = self.engine.pool
        if not isinstance(pool, sqlalchemy.QueuePool):
            raise TypeError("the engine was made without a pool")
        return pool

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.TimeoutError as error:
            raise DatabaseUnavailable("every connection to the database stayed in use") from error
        except exc.DBAPIError as error:
            if not _failed_us(error):
                raise
            what = _first_line(error)
            # PostgreSQL's driver says which server it is about; SQLite's does not say which file.
            where = f"{self.engine.url.database}: " if self.is_sqlite else ""
            raise DatabaseUnavailable(where + what) from error

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Call what uses this database in a worker thread; `close` ends it also where it hangs.

        Raises:
            DatabaseUnavailable: the call said so.
        """
        future = self._threads.submit(call)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the worker threads and give back every connection.

        Calls that nobody awaits any more may still be under way. Where a database hangs they would
        hold the process for ever, so their connections are cut.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        _, stuck = futures.wait(list(self._calls), CLOSE_SECONDS)
        if stuck:
            for descriptor in self._sockets():
                with contextlib.suppress(OSError), socket.fromfd(descriptor, 0, 0) as own:
                    own.shutdown(socket.SHUT_RDWR)
        self._threads.shutdown(wait=True)
        self.engine.dispose()


class Session:
    """One connection, on which one transaction after the other runs."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    @contextlib.contextmanager
    def aside(self) -> Iterator[sqlalchemy.Connection]:
        """A transaction that reads, and writes temporary tables only: it keeps nobody waiting."""
        self._connection.execution_options(**{_WRITES: False})
        with self._connection.begin():
            yield self._connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlalchemy.Connection]:
        """A transaction that writes, like `Database.write`."""
        self._connection.execution_options(**{_WRITES: True})
        with self._connection.begin():
            yield self._connection


#: What PostgreSQL says (SQLSTATE) of itself, and the driver's classes do not tell from our faults.
_REFUSALS = {
    "25006",  # read_only_sql_transaction: a standby, or a primary that no longer is one
    "25P03",  # idle_in_transaction_session_timeout
    "42501",  # insufficient_privilege
}
_INTERNAL = "XX"  # the class of internal errors: damaged data, an index that is corrupted


def _failed_us(error: exc.DBAPIError) -> bool:
    """Whether the database failed or refused its service; otherwise our statement was wrong."""
    cause = error.orig
    if error.statement is None and not isinstance(error, exc.IntegrityError):
        return True  # it could not be opened, or could not commit
    if isinstance(cause, sqlite3.Error):
        # Code 1 is for statements: no such table, a syntax error. A file that is no database or is
        # damaged comes as the base class.
        code = getattr(cause, "sqlite_errorcode", None)
        kinds = (sqlite3.DatabaseError, sqlite3.InternalError, sqlite3.OperationalError)
        return type(cause) in kinds and code != sqlite3.SQLITE_ERROR
    state = getattr(cause, "sqlstate", None) or ""
    return (
        isinstance(error, exc.OperationalError | exc.InterfaceError)
        or state in _REFUSALS
        or state.startswith(_INTERNAL)
    )


def open_database(url: str, data: Path, *, pool_size: int = 8) -> Database:
    """Open PostgreSQL at `url`, or SQLite in the folder `data` where `url` is empty.

    Raises:
        DatabaseAddressError: the URL is not one of PostgreSQL.
    """
    if not url:
        return _open_sqlite(data / SQLITE_FILE, pool_size)
    try:
        address = sqlalchemy.make_url(url)
    except (exc.ArgumentError, ValueError):  # ValueError: the port is no number
        raise DatabaseAddressError(
            "the database URL cannot be read; write postgresql://user:password@host/name"
        ) from None
    if address.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return _open_postgresql(address.set(drivername="postgresql+psycopg"), pool_size)
    raise DatabaseAddressError(
        f"{address.drivername} is not a database Connectory knows;"
        " write postgresql://user:password@host/name, or leave the URL empty for SQLite"
    )


def _open_sqlite(file: Path, pool_size: int) -> Database:
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("sqlite", database=str(file)),
        pool_size=pool_size,
        poolclass=sqlalchemy.QueuePool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_MILLISECONDS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # None: the driver begins no transaction of its own; `_begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        _switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, pool_size, sockets=tuple)


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Have a write-ahead log, where there is none yet.

    Of two that do so at once, SQLite refuses one without a wait, whatever its time-out.
    """
    deadline = time.monotonic() + SQLITE_BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _open_postgresql(address: sqlalchemy.URL, pool_size: int) -> Database:
    engine = sqlalchemy.create_engine(
        address,
        pool_size=pool_size,
        max_overflow=2,  # the connections that hold the locks of `database.serving` and of `shards`
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged, and what Connectors say is not for the log
        connect_args={
            "connect_timeout": 5,
            "application_name": "connectory",
            # A database that has gone without a word is given up after this, in milliseconds.
            "tcp_user_timeout": 10_000,
        },
    )
    connections: set[Any] = set()

    @event.listens_for(engine, "connect")
    def _opened(connection: Any, _record: object) -> None:
        connections.add(connection)

    @event.listens_for(engine, "close")
    def _closed(connection: Any, _record: object) -> None:
        connections.discard(connection)

    def sockets() -> Iterable[int]:
        return [each.fileno() for each in list(connections) if not each.closed]

    return Database(engine, pool_size, sockets)


def _first_line(error: BaseException) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0]
