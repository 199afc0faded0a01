"""The rows of ConnectorStaged."""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select

from connectory.contract.staged import ConnectorStatus
from connectory.database.tables import connectors_staged as table
from connectory.staging.model import Staged

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Staged)


def add(connection: Connection, subject: Staged) -> None:
    """Write a new ConnectorStaged, whose key is nobody's (`id_of_key`)."""
    made = {"id": subject.id, "created_at": subject.created_at, **_values(subject)}
    connection.execute(table.insert().values(made))


def find(
    connection: Connection, *, id_: str | None = None, key: str | None = None
) -> Staged | None:
    """A ConnectorStaged by its id or by its key."""
    return _one(connection, _named(id_, key))


def lock(
    connection: Connection, *, id_: str | None = None, key: str | None = None
) -> Staged | None:
    """The same; nobody else changes it before this transaction ends."""
    return _one(connection, _named(id_, key).with_for_update())


def id_of_key(connection: Connection, key: str) -> str | None:
    """The ConnectorStaged that has a key."""
    return connection.execute(select(table.c.id).where(table.c.key == key)).scalar_one_or_none()


def save(connection: Connection, subject: Staged) -> None:
    """Write a ConnectorStaged that was locked and changed."""
    connection.execute(table.update().where(table.c.id == subject.id).values(_values(subject)))


def remove(connection: Connection, id_: str) -> None:
    """Delete a ConnectorStaged."""
    connection.execute(table.delete().where(table.c.id == id_))


def of_project(connection: Connection, project: str) -> list[Staged]:
    """All ConnectorStaged of a Project, given as `region:projectKey`, in the order of their ids."""
    query = select(table.c.document).where(table.c.project == project).order_by(table.c.id)
    return [_decoder.decode(text) for text in connection.execute(query).scalars()]


def count(connection: Connection, project: str) -> int:
    """How many ConnectorStaged a Project has."""
    query = select(func.count()).select_from(table).where(table.c.project == project)
    return int(connection.execute(query).scalar_one())


def with_status(connection: Connection, *statuses: ConnectorStatus) -> Iterator[Staged]:
    """All ConnectorStaged in one of these statuses, of any Project; changed longest ago first."""
    query = (
        select(table.c.document)
        .where(table.c.status.in_(statuses))
        .order_by(table.c.last_modified_at, table.c.id)
    )
    for text in connection.execute(query).scalars():
        yield _decoder.decode(text)


def _named(id_: str | None, key: str | None) -> Select[Any]:
    query: Select[Any] = select(table.c.document)
    return query.where(table.c.key == key if id_ is None else table.c.id == id_)


def _one(connection: Connection, query: Select[Any]) -> Staged | None:
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else _decoder.decode(text)


def _values(subject: Staged) -> dict[str, object]:
    return {
        "key": subject.key,
        "project": subject.project,
        "version": subject.version,
        "status": subject.status,
        "document": _encoder.encode(subject).decode(),
        "last_modified_at": subject.last_modified_at,
    }
