"""The rows of the log."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, or_, select
from sqlalchemy import tuple_ as row_of

from connectory.contract.logs import DeploymentLogSeverity, DeploymentLogType
from connectory.database.tables import log_entries as table
from connectory.database.tables import log_volumes as volumes
from connectory.logs.model import RANKS, SEVERITIES, Entry

#: Held by who writes, on PostgreSQL, so that ids become visible in order.
_ADVISORY_LOCK = 7072
#: Ids in one statement.
_IDS = 500


class Filter(Struct, frozen=True, kw_only=True):
    """Which entries are wanted; different conditions hold together.

    Attributes:
        deployment_id: Whose.
        application: Of one application; None: of all.
        severity: Of this severity or a graver one.
        text: That have this in their message, or in their details as JSON; upper and lower case of
            ASCII letters are the same. "": any.
    """

    deployment_id: str
    application: str | None = None
    severity: DeploymentLogSeverity = DeploymentLogSeverity.DEFAULT
    text: str = ""


class Stored(Struct, frozen=True):
    """An entry and its id."""

    id: int
    entry: Entry


def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write entries; ids follow the order of the commits."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    written: Counter[str] = Counter()
    rows = []
    for entry in entries:
        size = entry.bytes
        written[entry.deployment_id] += size
        rows.append(
            {
                "deployment_id": entry.deployment_id,
                "application": entry.application,
                "type": entry.type,
                "severity": RANKS[entry.severity],
                "at": entry.at,
                "details": entry.details,
                "bytes": size,
            }
        )
    connection.execute(table.insert(), rows)
    for deployment_id, size in sorted(written.items()):
        _count(connection, deployment_id, size)


def between(
    connection: Connection,
    wanted: Filter,
    *,
    start: int,
    end: int,
    after: tuple[int, int] | None,
    limit: int,
) -> list[Stored]:
    """Entries from `start` to `end`, both included, the oldest first; after (instant, id)."""
    conditions = [*_conditions(wanted), table.c.at >= start, table.c.at <= end]
    if after is not None:
        conditions.append(row_of(table.c.at, table.c.id) > row_of(*after))
    query = select(table).where(*conditions).order_by(table.c.at, table.c.id).limit(limit)
    return _stored(connection, query)


def following(connection: Connection, wanted: Filter, after: int, limit: int) -> list[Stored]:
    """Entries with greater ids, the smallest first."""
    query = select(table).where(*_conditions(wanted), table.c.id > after).order_by(table.c.id)
    return _stored(connection, query.limit(limit))


def newest(connection: Connection, wanted: Filter, limit: int) -> list[Stored]:
    """The entries with the greatest ids, the smallest of them first."""
    query = select(table).where(*_conditions(wanted)).order_by(table.c.id.desc()).limit(limit)
    return _stored(connection, query)[::-1]


def last_id(connection: Connection, deployment_id: str) -> int:
    """The greatest id of a Deployment's entries; 0 where it has none."""
    query = select(func.max(table.c.id)).where(table.c.deployment_id == deployment_id)
    return connection.execute(query).scalar_one() or 0


def deployments(connection: Connection) -> set[str]:
    """The Deployments that have entries, by their ids."""
    return set(connection.execute(select(volumes.c.deployment_id)).scalars())


def size(connection: Connection) -> int:
    """What all entries count for, in bytes."""
    query = select(func.coalesce(func.sum(volumes.c.bytes), 0))
    return int(connection.execute(query).scalar_one())


def largest(connection: Connection, more_than: int) -> list[tuple[str, int]]:
    """The Deployments whose entries count for more than so many bytes, and for how many."""
    query = select(volumes.c.deployment_id, volumes.c.bytes).where(volumes.c.bytes > more_than)
    return [(row.deployment_id, row.bytes) for row in connection.execute(query)]


def remove_oldest(
    connection: Connection,
    *,
    most: int,
    deployment_id: str | None = None,
    before: int | None = None,
    enough: int | None = None,
) -> int:
    """Remove the oldest entries, of one Deployment or of all; the bytes that they counted for.

    At most `most` of them; with `before` only those that are older than this instant; with
    `enough` no more than what counts for so many bytes.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    query = select(table.c.id, table.c.deployment_id, table.c.at, table.c.bytes)
    if deployment_id is not None:
        query = query.where(table.c.deployment_id == deployment_id)
    removed: Counter[str] = Counter()
    ids = []
    freed = 0
    for row in connection.execute(query.order_by(table.c.id).limit(most)):
        if enough is not None and freed >= enough:
            break
        if before is not None and row.at >= before:
            continue
        ids.append(row.id)
        removed[row.deployment_id] += row.bytes
        freed += row.bytes
    if not ids:
        return 0
    _delete(connection, ids, deployment_id, consecutive=before is None)
    for each, count in sorted(removed.items()):
        _count(connection, each, -count)
    return freed


def _delete(
    connection: Connection, ids: Sequence[int], deployment_id: str | None, *, consecutive: bool
) -> None:
    """Delete entries by their ids, in one go where nothing of others lies between them."""
    if not consecutive:
        for first in range(0, len(ids), _IDS):
            connection.execute(delete(table).where(table.c.id.in_(ids[first : first + _IDS])))
        return
    query = delete(table).where(table.c.id <= ids[-1])
    if deployment_id is not None:
        query = query.where(table.c.deployment_id == deployment_id)
    connection.execute(query)


def _count(connection: Connection, deployment_id: str, change: int) -> None:
    """Keep account of what a Deployment's entries count for. Writers come one after the other."""
    mine = volumes.c.deployment_id == deployment_id
    changed = connection.execute(
        volumes.update().where(mine).values(bytes=volumes.c.bytes + change)
    )
    if not changed.rowcount and change > 0:
        connection.execute(volumes.insert().values(deployment_id=deployment_id, bytes=change))
    elif change < 0:
        connection.execute(delete(volumes).where(mine, volumes.c.bytes <= 0))


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions = [table.c.deployment_id == wanted.deployment_id]
    if wanted.application is not None:
        conditions.append(table.c.application == wanted.application)
    if rank := RANKS[wanted.severity]:
        conditions.append(table.c.severity >= rank)
    if wanted.text:
        conditions.append(_has(wanted.text))
    return conditions


def _has(text: str) -> ColumnElement[bool]:
    """Whether the details have a text: a message as it is, JSON as JSON spells it."""
    escaped = msgspec.json.encode(text).decode()[1:-1]
    plain = table.c.details.icontains(text, autoescape=True)
    if escaped == text:
        return plain
    is_text = table.c.type == DeploymentLogType.APPLICATION_TEXT
    return or_(
        and_(is_text, plain),
        and_(~is_text, table.c.details.icontains(escaped, autoescape=True)),
    )


def _stored(connection: Connection, query: Select[Any]) -> list[Stored]:
    return [Stored(row.id, _entry(row)) for row in connection.execute(query)]


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        type=DeploymentLogType(row.type),
        deployment_id=row.deployment_id,
        application=row.application,
        severity=SEVERITIES[row.severity],
        at=row.at,
        details=row.details,
    )
