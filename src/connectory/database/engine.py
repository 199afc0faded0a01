"""One door to either database: transactions that read and transactions that write.

On SQLite a write transaction begins with `BEGIN IMMEDIATE`, so that it never has to upgrade a
read lock and fail half-way; the journal is a WAL with `synchronous=FULL`, so that what was
acknowledged survives a power cut. On PostgreSQL both are ordinary READ COMMITTED transactions.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import event, exc

SQLITE_BUSY_MILLISECONDS = 15_000
#: How long a request waits for what it reads.
PROMPT_SECONDS = 10

P = ParamSpec("P")
T = TypeVar("T")

_WRITES = "connectory_writes"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or did not answer in time; nothing was written."""


class DatabaseAddressError(ValueError):
    """The database URL cannot be used; the message says how to mend it."""


class Database:
    """A database that slices read from and write to, one transaction at a time.

    Store functions are plain: they take a Connection and return values. Commands call them inside
    `read()` or `write()`; the server hands them to `reading()` or `writing()`, which run them in
    a worker thread, so that the event loop never waits for a disk.
    """

    def __init__(self, engine: sqlalchemy.Engine, threads: int) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")

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

        return await self._in_thread(call)

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

        return await self._in_thread(call)

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
        with _translated(), self.engine.connect() as connection:
            try:
                yield Session(connection)
            finally:
                # What was set on it, and its temporary tables, are nobody else's.
                connection.invalidate()

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlalchemy.Connection]:
        options: dict[str, Any] = {_WRITES: writes}
        if not self.is_sqlite and not writes:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            _translated(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
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

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """End the worker threads and give back every connection."""
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


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise DatabaseUnavailable(_first_line(error)) from error


def open_database(url: str, data: Path, *, pool_size: int = 8) -> Database:
    """Open PostgreSQL at `url`, or SQLite in the folder `data` where `url` is empty.

    Raises:
        DatabaseAddressError: the URL is not one of PostgreSQL or SQLite.
    """
    if not url:
        return _open_sqlite(data / "connectory.sqlite3", pool_size)
    try:
        address = sqlalchemy.make_url(url)
    except exc.ArgumentError:
        raise DatabaseAddressError(
            "the database URL cannot be read; write postgresql://user:password@host/name"
        ) from None
    if address.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return _open_postgresql(address.set(drivername="postgresql+psycopg"), pool_size)
    if address.drivername == "sqlite" and address.database:
        return _open_sqlite(Path(address.database), pool_size)
    raise DatabaseAddressError(
        f"{address.drivername} is not a database Connectory knows;"
        " write postgresql://user:password@host/name, or leave the URL empty for SQLite"
    )


def _open_sqlite(file: Path, pool_size: int) -> Database:
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("sqlite", database=str(file)),
        pool_size=pool_size,
        poolclass=sqlalchemy.QueuePool,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_MILLISECONDS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # None: the driver begins no transaction of its own; `_begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, pool_size)


def _open_postgresql(address: sqlalchemy.URL, pool_size: int) -> Database:
    engine = sqlalchemy.create_engine(
        address,
        pool_size=pool_size,
        max_overflow=1,  # the connection that holds the lock of `database.serving`
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "connectory",
            # A database that has gone without a word is given up after this, in milliseconds.
            "tcp_user_timeout": 10_000,
        },
    )
    return Database(engine, pool_size)


def _first_line(error: BaseException) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0]
