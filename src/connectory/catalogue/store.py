"""The rows of Connectors and their versions."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from connectory.catalogue.model import Document
from connectory.contract.connectors import ConnectorContent
from connectory.contract.scalars import IntegrationType
from connectory.database import feed
from connectory.database.tables import connector_versions, connectors

#: (id of the Connector, version)
Version = tuple[str, int]


class _SearchedCreator(Struct, frozen=True, gc=False):
    company: str | UnsetType = UNSET


class _Searched(Struct, frozen=True, gc=False, rename="camel"):
    """What of a Connector's content is searched and filtered by."""

    name: str
    integration_types: tuple[IntegrationType, ...]
    creator: _SearchedCreator
    private: bool
    description: str | UnsetType = UNSET


_searched = msgspec.json.Decoder(_Searched)
_projects = msgspec.json.Decoder(tuple[str, ...])
_content = msgspec.json.Decoder(ConnectorContent)


def documents(
    connection: Connection, since: int, besides: tuple[int, str] | None = None
) -> list[Document]:
    """The current versions of the Connectors that changed after a number of the change feed.

    `besides` leaves out those that are marked with a number, up to an id.
    """
    query = _current().where(_changed(since))
    if besides is not None:
        mark, last = besides
        query = query.where((connectors.c.seq != mark) | (connectors.c.id > last))
    return [_document(row) for row in connection.execute(query)]


def prepared(connection: Connection, mark: int, *, after: str, limit: int) -> list[Document]:
    """New Connectors of an import that is not shown yet, with ids after one, in their order."""
    query = (
        _with_content()
        # Not by the index of the marks: that has all of them, and each piece would sort them.
        .where(connectors.c.seq + 0 == mark, connectors.c.id > after)
        .order_by(connectors.c.id)
        .limit(limit)
    )
    return [_document(row) for row in connection.execute(query)]


def count_marked(connection: Connection, mark: int, *, last: str) -> int:
    """How many Connectors up to an id are marked with a number of the change feed."""
    query = select(func.count()).select_from(connectors)
    query = query.where(connectors.c.seq == mark, connectors.c.id <= last)
    return int(connection.execute(query).scalar_one())


def everything(connection: Connection) -> Iterator[tuple[Document, str]]:
    """The current versions of all Connectors, each with what it says of itself (JSON)."""
    rows = connection.execution_options(yield_per=1_000).execute(_current())
    return ((_document(row), row.content) for row in rows)


def count_changed(connection: Connection, since: int) -> int:
    """How many Connectors changed after a number of the change feed."""
    query = select(func.count()).select_from(connectors)
    query = query.where(_changed(since), feed.is_reached(connectors.c.seq))
    return int(connection.execute(query).scalar_one())


def contents(connection: Connection, versions: Iterable[Version]) -> dict[Version, str]:
    """What versions of Connectors say of themselves: JSON objects without `id` and `version`."""
    wanted = list(versions)
    values: dict[str, str | int] = {}
    for place, (connector_id, version) in enumerate(wanted):
        values[f"id{place}"], values[f"version{place}"] = connector_id, version
    rows = connection.execute(_contents_of(len(wanted)), values)
    return {(connector_id, version): content for connector_id, version, content in rows}


def history(connection: Connection, connector_id: str) -> Iterator[Row[Any]]:
    """Every version of a Connector, in order: `version`, `content` (JSON), `published_at`."""
    query: Select[Any] = (
        select(
            connector_versions.c.version,
            connector_versions.c.content,
            connector_versions.c.published_at,
        )
        .join_from(connectors, connector_versions)
        .where(connectors.c.id == connector_id, _is_there())
        .order_by(connector_versions.c.version)
    )
    yield from connection.execute(query)


def exported(connection: Connection) -> Iterator[Row[Any]]:
    """Every listed Connector as it is now, in the order of their ids.

    Columns: `id`, `version`, `content` and `private_projects` (JSON), `owner`, `created_at`,
    `last_modified_at`.
    """
    query = _current().where(connectors.c.listed).order_by(connectors.c.id)
    yield from connection.execution_options(yield_per=1_000).execute(query)


class Deployable(Struct, frozen=True, kw_only=True):
    """A version of a Connector, and who may deploy it.

    Attributes:
        id: Of the Connector.
        version: Which one.
        content: What it says of itself.
        commit: What its tag was when it was checked; none of one that was imported.
        owner: Whose it is, as `region:projectKey`.
        projects: Whom it is assigned to, likewise.
        listed: Whether it can be deployed anew.
    """

    id: str
    version: int
    content: ConnectorContent
    commit: str | None
    owner: str | None
    projects: tuple[str, ...]
    listed: bool

    def exists_for(self, project: str) -> bool:
        """Whether a Project may see it."""
        return not self.content.private or project == self.owner or project in self.projects


def deployable(
    connection: Connection, *, id_: str | None, key: str | None, version: int | None
) -> Deployable | None:
    """A version of a Connector by its id or key; the latest where none is asked for."""
    query = select(
        connectors.c.id,
        connectors.c.owner,
        connectors.c.private_projects,
        connectors.c.listed,
        connector_versions.c.version,
        connector_versions.c.content,
        connector_versions.c.commit,
    ).join_from(connectors, connector_versions)
    query = query.where(connectors.c.key == key if id_ is None else connectors.c.id == id_)
    query = query.where(
        connector_versions.c.version == (connectors.c.version if version is None else version),
        _is_there(),
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Deployable(
        id=row.id,
        version=row.version,
        content=_content.decode(row.content),
        commit=row.commit,
        owner=row.owner,
        projects=_projects.decode(row.private_projects),
        listed=row.listed,
    )


@functools.lru_cache(maxsize=512)
def _contents_of(count: int) -> sqlalchemy.TextClause:
    """A query for so many versions, by `id0`, `version0` and so on.

    It joins a list of them: for `(connector_id, version) IN (…)` SQLite reads the whole table.
    """
    wanted = ", ".join(f"(:id{place}, :version{place})" for place in range(count))
    return sqlalchemy.text(
        f"WITH wanted (id, version) AS (VALUES {wanted})"  # noqa: S608 - names of parameters
        " SELECT v.connector_id, v.version, v.content FROM wanted w"
        " JOIN connector_versions v ON v.connector_id = w.id AND v.version = w.version"
    )


def _current() -> Select[Any]:
    return _with_content().where(feed.is_reached(connectors.c.seq))


def _with_content() -> Select[Any]:
    """Connectors with their versions, also those that are only prepared."""
    return select(
        connectors.c.id,
        connectors.c.key,
        connectors.c.version,
        connectors.c.owner,
        connectors.c.private_projects,
        connectors.c.listed,
        connectors.c.created_at,
        connectors.c.last_modified_at,
        connector_versions.c.content,
    ).join_from(
        connectors,
        connector_versions,
        sqlalchemy.and_(
            connector_versions.c.connector_id == connectors.c.id,
            connector_versions.c.version == connectors.c.version,
        ),
    )


def _is_there() -> ColumnElement[bool]:
    """Neither the Connector nor the version is only prepared by an import."""
    return sqlalchemy.and_(
        feed.is_reached(connectors.c.seq), connector_versions.c.version <= connectors.c.version
    )


def _changed(since: int) -> ColumnElement[bool]:
    return connectors.c.seq > since


def _document(row: Row[Any]) -> Document:
    searched = _searched.decode(row.content)
    projects = _projects.decode(row.private_projects)
    if row.owner is not None and row.owner not in projects:
        projects = (row.owner, *projects)
    return Document(
        id=row.id,
        version=row.version,
        key=row.key,
        name=searched.name,
        description=None if searched.description is UNSET else searched.description,
        company=None if searched.creator.company is UNSET else searched.creator.company,
        integration_types=searched.integration_types,
        private=searched.private,
        projects=projects,
        listed=row.listed,
        created_at=row.created_at,
        last_modified_at=row.last_modified_at,
    )
