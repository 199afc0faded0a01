"""The rows of ConnectorStaged."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select

from connectory.contract.staged import ConnectorStatus
from connectory.database.documents import Documents, Read
from connectory.database.tables import connectors_staged as table
from connectory.staging.model import Staged

_encoder = msgspec.json.Encoder()
_documents = Documents(Staged, kind="connector_staged")
_WHAT = "ConnectorStaged"


def add(connection: Connection, subject: Staged) -> None:
    """Write a new ConnectorStaged, whose key is nobody's (`id_of_key`)."""
    made = {"id": subject.id, "created_at": subject.created_at, **_values(subject)}
    connection.execute(table.insert().values(made))


def find(
    connection: Connection, *, id_: str | None = None, key: str | None = None
) -> Staged | None:
    """A ConnectorStaged by its id or by its key.

    Raises:
        Damaged: it cannot be read.
    """
    return _one(connection, _named(id_, key))


def lock(
    connection: Connection, *, id_: str | None = None, key: str | None = None
) -> Staged | None:
    """The same; nobody else changes it before this transaction ends.

    Raises:
        Damaged: it cannot be read.
    """
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


def of_project(connection: Connection, project: str) -> Read[Staged]:
    """All ConnectorStaged of a Project, given as `region:projectKey`, in the order of their ids."""
    return _all(connection, _row().where(table.c.project == project).order_by(table.c.id))


def count(connection: Connection, project: str) -> int:
    """How many ConnectorStaged a Project has."""
    query = select(func.count()).select_from(table).where(table.c.project == project)
    return int(connection.execute(query).scalar_one())


def with_status(connection: Connection, *statuses: ConnectorStatus) -> Read[Staged]:
    """All ConnectorStaged in one of these statuses, of any Project; changed longest ago first."""
    query = _row().where(table.c.status.in_(statuses))
    return _all(connection, query.order_by(table.c.last_modified_at, table.c.id))


def _row() -> Select[Any]:
    return select(table.c.id, table.c.document)


def _named(id_: str | None, key: str | None) -> Select[Any]:
    return _row().where(table.c.key == key if id_ is None else table.c.id == id_)


def _all(connection: Connection, query: Select[Any]) -> Read[Staged]:
    return _documents.read_all((tuple(row) for row in connection.execute(query)), _WHAT)


def _one(connection: Connection, query: Select[Any]) -> Staged | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _documents.read(row.document, row.id, f"{_WHAT} {row.id}")


def _values(subject: Staged) -> dict[str, object]:
    return {
        "key": subject.key,
        "project": subject.project,
        "version": subject.version,
        "status": subject.status,
        "document": _encoder.encode(subject).decode(),
        "last_modified_at": subject.last_modified_at,
    }
