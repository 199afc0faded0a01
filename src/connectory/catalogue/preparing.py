"""What an import writes, put in its place before anybody may see it.

The rows of new Connectors are marked with a number of the change feed that it has not reached;
the new versions of others lie beyond the Connectors' own numbers. Nobody shows either, so they are
written by many short transactions, between which others write. What is left is to say that the
feed has reached the number: one row, however many Connectors there are; and to raise the numbers of
those that change. Whatever an import that died has left, `sweep` removes.
(docs/decisions/0036-imports-are-prepared-in-place.md)

What the lines of an import mean is in `import_resolved`, a temporary table (see `importing`).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Select, select, text

from connectory.database import feed
from connectory.database.engine import Database, Session
from connectory.database.serving import importing_alone
from connectory.database.tables import connector_versions, connectors

#: Rows that one transaction writes, or removes.
_BATCH = 1_000
#: SQLite lets those who wait for its lock ask again and again. For so many times as long as it took
#: to fill a transaction, nobody holds it then.
_PAUSES = 1.0


class _Ended(Exception):
    """What is left is not to be removed now."""


_Transaction = Callable[[], AbstractContextManager[Connection]]


def prepare(database: Database, session: Session, *, now: int) -> int:
    """Write all that changes where nobody looks; the number that shows it.

    Raises:
        IntegrityError: the catalogue has changed since the lines were resolved.
    """
    with session.write() as connection:
        number = feed.reserve(connection)
    with session.aside() as connection:
        _list_changed(connection)
        pieces = list(_pieces(connection))
    for after, last in pieces:
        with _giving_way(database, session.write()) as connection:
            _insert(connection, number, now, after, last)
    return number


def prepare_at_once(connection: Connection, *, now: int) -> int:
    """The same inside a transaction that holds the feed."""
    number = feed.reserve(connection)
    _list_changed(connection)
    for after, last in list(_pieces(connection)):
        _insert(connection, number, now, after, last)
    return number


def clear(connection: Connection) -> None:
    """Remove what was prepared, inside a transaction that holds the feed."""

    def same() -> AbstractContextManager[Connection]:
        return contextlib.nullcontext(connection)

    _remove(same, same)


def show(connection: Connection, number: int) -> None:
    """Let everybody see what was prepared; as late in the transaction as can be."""
    connection.execute(
        text("""
        UPDATE connectors SET version = r.version + 1, seq = :seq, owner = r.owner,
            private_projects = r.private_projects, created_at = r.created_at,
            last_modified_at = r.last_modified_at
        FROM import_changed r WHERE r.id = connectors.id"""),
        {"seq": number},
    )
    # By itself: an index that is told of what stays as it is takes as long as one that changes.
    connection.execute(
        text("""
        UPDATE connectors SET key = r.key FROM import_changed r
        WHERE r.id = connectors.id AND coalesce(r.key, '') <> coalesce(connectors.key, '')""")
    )
    feed.reach(connection, number)


def sweep(database: Database, ended: threading.Event) -> None:
    """Remove what was prepared and never shown, unless an import is just at it.

    Once `ended` is set, it stops, and leaves the rest to the next one.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    with database.read() as connection:
        if feed.reserved(connection) is None:
            return
    with database.session() as session, importing_alone(database, session, waits=False) as alone:
        if alone:
            sweep_alone(database, session, ended)


def sweep_alone(database: Database, session: Session, ended: threading.Event | None = None) -> None:
    """The same for one who keeps other imports away."""
    with session.aside() as connection:
        if feed.reserved(connection) is None:
            return

    def writing() -> AbstractContextManager[Connection]:
        if ended is not None and ended.is_set():
            raise _Ended
        return _giving_way(database, session.write())

    try:
        _remove(session.aside, writing)
    except _Ended:
        return
    with session.write() as connection:
        feed.give_up(connection)


def _list_changed(connection: Connection) -> None:
    """Put down, without the contents, what `show` needs: others wait while it reads that."""
    connection.execute(text("DROP TABLE IF EXISTS import_changed"))
    connection.execute(
        text("""
        CREATE TEMPORARY TABLE import_changed AS
        SELECT id, key, version, owner, private_projects, created_at, last_modified_at
        FROM import_resolved WHERE state = 'changed' ORDER BY id""")
    )


def _pieces(connection: Connection) -> Iterator[tuple[str, str]]:
    """Ranges of ids, each from the first to the second and without the first."""
    after = ""
    last = text("""
        SELECT max(id) FROM (SELECT id FROM import_resolved
        WHERE id > :after ORDER BY id LIMIT :batch) piece""")
    while found := connection.execute(last, {"after": after, "batch": _BATCH}).scalar_one():
        yield after, found
        after = found


def _insert(connection: Connection, number: int, now: int, after: str, last: str) -> None:
    values = {"seq": number, "now": now, "after": after, "last": last}
    connection.execute(
        text("""
        INSERT INTO connectors (id, key, version, seq, source, owner, private_projects,
            created_at, last_modified_at)
        SELECT id, key, 1, :seq, 'import', owner, private_projects, created_at, last_modified_at
        FROM import_resolved WHERE state = 'new' AND id > :after AND id <= :last ORDER BY id"""),
        values,
    )
    connection.execute(
        text("""
        INSERT INTO connector_versions (connector_id, version, content, published_at)
        SELECT id, version + 1, content, :now FROM import_resolved
        WHERE state <> 'unchanged' AND id > :after AND id <= :last ORDER BY id"""),
        values,
    )


def _remove(reading: _Transaction, writing: _Transaction) -> None:
    """Remove all that is prepared, some at a time; what is to go is looked for aside."""
    versions = connector_versions.c
    new = select(connectors.c.id).where(~feed.is_reached(connectors.c.seq)).limit(_BATCH)
    while ids := _found(reading, new):
        with writing() as connection:
            connection.execute(connector_versions.delete().where(versions.connector_id.in_(ids)))
            connection.execute(connectors.delete().where(connectors.c.id.in_(ids)))
    beyond = (
        select(versions.connector_id)
        .join_from(connectors, connector_versions)
        .where(versions.version > connectors.c.version)
        .order_by(versions.connector_id)
        .limit(_BATCH)
    )
    own = select(connectors.c.version).where(connectors.c.id == versions.connector_id)
    unseen = versions.version > own.scalar_subquery()
    after = ""
    while ids := _found(reading, beyond.where(versions.connector_id > after)):
        with writing() as connection:
            connection.execute(
                connector_versions.delete().where(versions.connector_id.in_(ids), unseen)
            )
        after = ids[-1]


def _found(reading: _Transaction, ids: Select[Any]) -> list[str]:
    with reading() as connection:
        return [row[0] for row in connection.execute(ids)]


@contextlib.contextmanager
def _giving_way(
    database: Database, transaction: AbstractContextManager[Connection]
) -> Iterator[Connection]:
    """A write transaction after which those who wait for SQLite's lock have their turn."""
    with transaction as connection:
        began = time.monotonic()
        yield connection
        took = time.monotonic() - began
    if database.is_sqlite:
        time.sleep(_PAUSES * took)
