"""The rows of Deployments and their releases."""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select

from connectory.contract.deployments import DeploymentStatus
from connectory.database.tables import deployments as table
from connectory.database.tables import releases
from connectory.deployments.model import Deployment, Release

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Deployment)
_release_decoder = msgspec.json.Decoder(Release)


def add(connection: Connection, subject: Deployment) -> None:
    """Write a new Deployment, whose key no other of the Project has (`id_of_key`)."""
    made = {"id": subject.id, "created_at": subject.created_at, **_values(subject)}
    connection.execute(table.insert().values(made))


def find(
    connection: Connection, project: str, *, id_: str | None = None, key: str | None = None
) -> Deployment | None:
    """A Deployment of a Project (`region:projectKey`) by its id or by its key."""
    query: Select[Any] = select(table.c.document).where(table.c.project == project)
    return _one(connection, query.where(table.c.key == key if id_ is None else table.c.id == id_))


def with_id(connection: Connection, id_: str) -> Deployment | None:
    """A Deployment of any Project."""
    return _one(connection, select(table.c.document).where(table.c.id == id_))


def lock(connection: Connection, id_: str) -> Deployment | None:
    """A Deployment of any Project; nobody else changes it before this transaction ends."""
    return _one(connection, select(table.c.document).where(table.c.id == id_).with_for_update())


def id_of_key(connection: Connection, project: str, key: str) -> str | None:
    """The Deployment of a Project that has a key."""
    query = select(table.c.id).where(table.c.project == project, table.c.key == key)
    return connection.execute(query).scalar_one_or_none()


def save(connection: Connection, subject: Deployment) -> None:
    """Write a Deployment that was locked and changed."""
    connection.execute(table.update().where(table.c.id == subject.id).values(_values(subject)))


def remove(connection: Connection, id_: str) -> None:
    """Delete a Deployment with its releases."""
    connection.execute(releases.delete().where(releases.c.deployment_id == id_))
    connection.execute(table.delete().where(table.c.id == id_))


def of_project(connection: Connection, project: str) -> list[Deployment]:
    """All Deployments of a Project, in the order of their ids."""
    query = select(table.c.document).where(table.c.project == project).order_by(table.c.id)
    return [_decoder.decode(text) for text in connection.execute(query).scalars()]


def everything(connection: Connection) -> Iterator[Deployment]:
    """All Deployments of all Projects, in the order of their ids."""
    query = select(table.c.document).order_by(table.c.id)
    for text in connection.execute(query).scalars():
        yield _decoder.decode(text)


def count(connection: Connection, project: str, *statuses: DeploymentStatus) -> int:
    """How many Deployments a Project has, in these statuses, or in all."""
    query = select(func.count()).select_from(table).where(table.c.project == project)
    if statuses:
        query = query.where(table.c.status.in_(statuses))
    return int(connection.execute(query).scalar_one())


def first_queued(connection: Connection, project: str) -> str | None:
    """The id of the Deployment of a Project whose deploy has waited for longest."""
    query = (
        select(table.c.id)
        .where(table.c.project == project, table.c.status == DeploymentStatus.QUEUED)
        .order_by(table.c.last_modified_at, table.c.id)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def put_release(connection: Connection, release: Release) -> None:
    """Write a release, or what has become of it."""
    text = _encoder.encode(release).decode()
    place = (releases.c.deployment_id == release.deployment_id) & (
        releases.c.number == release.number
    )
    changed = connection.execute(releases.update().where(place).values(document=text))
    if not changed.rowcount:
        connection.execute(
            releases.insert().values(
                deployment_id=release.deployment_id, number=release.number, document=text
            )
        )


def find_release(connection: Connection, deployment_id: str, number: int) -> Release | None:
    """A release by its number."""
    query = select(releases.c.document).where(
        releases.c.deployment_id == deployment_id, releases.c.number == number
    )
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else _release_decoder.decode(text)


def releases_of(connection: Connection, deployment_id: str) -> list[Release]:
    """The releases of a Deployment, the newest first."""
    query = (
        select(releases.c.document)
        .where(releases.c.deployment_id == deployment_id)
        .order_by(releases.c.number.desc())
    )
    return [_release_decoder.decode(text) for text in connection.execute(query).scalars()]


def _one(connection: Connection, query: Select[Any]) -> Deployment | None:
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else _decoder.decode(text)


def _values(subject: Deployment) -> dict[str, object]:
    return {
        "key": subject.key,
        "project": subject.project,
        "version": subject.version,
        "status": subject.status,
        "document": _encoder.encode(subject).decode(),
        "last_modified_at": subject.last_modified_at,
    }
