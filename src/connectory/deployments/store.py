"""The rows of Deployments and their releases."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from connectory.contract.deployments import DeploymentStatus
from connectory.contract.releases import ReleaseOutcome
from connectory.database.documents import Damaged, Documents, Read
from connectory.database.tables import deployments as table
from connectory.database.tables import releases
from connectory.deployments.model import Deployment, Release
from connectory.deployments.transitions import STATUS, DeploymentEvent

#: So many releases are read at a time where one that was deployed is looked for.
_LOOKED_AT = 10

_encoder = msgspec.json.Encoder()
_documents = Documents(Deployment, kind="deployment")
_release_documents = Documents(Release, kind="deployment")


def add(connection: Connection, subject: Deployment) -> None:
    """Write a new Deployment, whose key no other of the Project has (`id_of_key`)."""
    made = {"id": subject.id, "created_at": subject.created_at, **_values(subject)}
    connection.execute(table.insert().values(made))


def find(
    connection: Connection, project: str, *, id_: str | None = None, key: str | None = None
) -> Deployment | None:
    """A Deployment of a Project (`region:projectKey`) by its id or by its key.

    Raises:
        Damaged: it cannot be read.
    """
    query: Select[Any] = select(table.c.id, table.c.document).where(table.c.project == project)
    return _one(connection, query.where(table.c.key == key if id_ is None else table.c.id == id_))


def with_id(connection: Connection, id_: str) -> Deployment | None:
    """A Deployment of any Project.

    Raises:
        Damaged: it cannot be read.
    """
    return _one(connection, _of_id(id_))


def lock(connection: Connection, id_: str) -> Deployment | None:
    """A Deployment of any Project; nobody else changes it before this transaction ends.

    Raises:
        Damaged: it cannot be read; it is locked all the same.
    """
    return _one(connection, _of_id(id_).with_for_update())


def row_of(connection: Connection, id_: str) -> Row[Any]:
    """The row of a Deployment that is there, as it is kept."""
    return connection.execute(select(table).where(table.c.id == id_)).one()


def id_of(
    connection: Connection, project: str, *, id_: str | None = None, key: str | None = None
) -> str | None:
    """The id of a Deployment by its id or by its key, also of one that cannot be read."""
    query = select(table.c.id).where(table.c.project == project)
    query = query.where(table.c.key == key if id_ is None else table.c.id == id_)
    return connection.execute(query).scalar_one_or_none()


def id_of_key(connection: Connection, project: str, key: str) -> str | None:
    """The Deployment of a Project that has a key."""
    query = select(table.c.id).where(table.c.project == project, table.c.key == key)
    return connection.execute(query).scalar_one_or_none()


def save(connection: Connection, subject: Deployment) -> None:
    """Write a Deployment that was locked and changed."""
    connection.execute(table.update().where(table.c.id == subject.id).values(_values(subject)))


def mark_damaged(connection: Connection, id_: str, event: DeploymentEvent) -> None:
    """Write what has happened to a Deployment that cannot be read, so that nobody waits for it.

    Nothing is written where its status does not allow the event.
    """
    query = select(table.c.status).where(table.c.id == id_)
    status = DeploymentStatus(connection.execute(query).scalar_one())
    if STATUS.allows(status, event):
        after = STATUS.after(status, event)
        connection.execute(table.update().where(table.c.id == id_).values(status=after))


def remove(connection: Connection, id_: str) -> None:
    """Delete a Deployment with its releases."""
    connection.execute(releases.delete().where(releases.c.deployment_id == id_))
    connection.execute(table.delete().where(table.c.id == id_))


def of_project(connection: Connection, project: str) -> Read[Deployment]:
    """All Deployments of a Project, in the order of their ids."""
    query = select(table.c.id, table.c.document).where(table.c.project == project)
    rows = connection.execute(query.order_by(table.c.id))
    return _documents.read_all((tuple(row) for row in rows), "Deployment")


def ids(connection: Connection) -> set[str]:
    """The ids of all Deployments of all Projects."""
    return set(connection.execute(select(table.c.id)).scalars())


def mark(connection: Connection) -> tuple[int, ...]:
    """What is another where Deployments have changed, but for changes that cancel each other."""
    columns = (func.count(), func.sum(table.c.version), func.max(table.c.last_modified_at))
    return tuple(connection.execute(select(*columns).select_from(table)).one())


def versions(connection: Connection) -> dict[str, int]:
    """The versions of all Deployments of all Projects, by their ids."""
    return {row.id: row.version for row in connection.execute(select(table.c.id, table.c.version))}


def with_serving(connection: Connection, id_: str) -> tuple[Deployment | None, Release | None]:
    """A Deployment of any Project, and its release that serves.

    Raises:
        Damaged: one of them cannot be read.
    """
    deployment = with_id(connection, id_)
    if deployment is None:
        return None, None
    number = deployment.release
    return deployment, find_release(connection, id_, number) if number else None


def everything(connection: Connection) -> Iterator[tuple[str, Deployment | Damaged]]:
    """All Deployments of all Projects by their ids, and why where one cannot be read."""
    query = select(table.c.id, table.c.document).order_by(table.c.id)
    for id_, text in connection.execute(query):
        try:
            yield id_, _documents.read(text, id_, f"Deployment {id_}")
        except Damaged as damaged:
            yield id_, damaged


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
    """A release by its number.

    Raises:
        Damaged: it cannot be read.
    """
    query = select(releases.c.document).where(
        releases.c.deployment_id == deployment_id, releases.c.number == number
    )
    text = connection.execute(query).scalar_one_or_none()
    if text is None:
        return None
    what = f"release {number} of Deployment {deployment_id}"
    return _release_documents.read(text, deployment_id, what)


def releases_of(
    connection: Connection,
    deployment_id: str,
    *,
    below: int | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[Release]:
    """The releases of a Deployment that can be read, the newest first; numbers `below` one."""
    query = (
        select(releases.c.document)
        .where(releases.c.deployment_id == deployment_id)
        .order_by(releases.c.number.desc())
        .offset(offset)
        .limit(limit)
    )
    if below is not None:
        query = query.where(releases.c.number < below)
    found = []
    for text in connection.execute(query).scalars():
        with contextlib.suppress(Damaged):
            found.append(_release_documents.read(text, deployment_id, "a release"))
    return found


def deployed_before(connection: Connection, deployment_id: str, number: int) -> Release | None:
    """The latest release below a number that was deployed, as far as they can be read."""
    for below in range(number, 0, -_LOOKED_AT):
        found = releases_of(connection, deployment_id, below=below, limit=_LOOKED_AT)
        for release in found:
            if release.outcome == ReleaseOutcome.DEPLOYED:
                return release
    return None


def remove_releases(connection: Connection, deployment_id: str, numbers: Iterable[int]) -> None:
    """Delete releases by their numbers."""
    gone = [{"gone": number} for number in numbers]
    if gone:
        mine = releases.c.deployment_id == deployment_id
        query = releases.delete().where(mine, releases.c.number == bindparam("gone"))
        connection.execute(query, gone)


def count_releases(connection: Connection, deployment_id: str) -> int:
    """How many releases of a Deployment there are."""
    query = select(func.count()).where(releases.c.deployment_id == deployment_id)
    return int(connection.execute(query).scalar_one())


def _of_id(id_: str) -> Select[Any]:
    return select(table.c.id, table.c.document).where(table.c.id == id_)


def _one(connection: Connection, query: Select[Any]) -> Deployment | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _documents.read(row.document, row.id, f"Deployment {row.id}")


def _values(subject: Deployment) -> dict[str, object]:
    return {
        "key": subject.key,
        "project": subject.project,
        "version": subject.version,
        "status": subject.status,
        "document": _encoder.encode(subject).decode(),
        "last_modified_at": subject.last_modified_at,
    }
