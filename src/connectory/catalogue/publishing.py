"""How Connectors come from ConnectorStaged: published, unlisted, assigned to Projects.

Each function writes in the caller's transaction, so that a ConnectorStaged and its Connector never
disagree. It takes a number of the change feed: call it as late in the transaction as can be.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select

from connectory.contract.connectors import ConnectorContent
from connectory.database import feed
from connectory.database.tables import connector_versions, connectors

_encoder = msgspec.json.Encoder()


def id_of_key(connection: Connection, key: str) -> str | None:
    """The Connector that has a key, whether listed or not."""
    query = select(connectors.c.id).where(
        connectors.c.key == key, feed.is_reached(connectors.c.seq)
    )
    return connection.execute(query).scalar_one_or_none()


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a Connector, and for whom it exists.

    Attributes:
        id: Of the Connector and its ConnectorStaged.
        version: From 1, without a gap.
        content: What the Connector says of itself.
        commit: What it was published from, in hexadecimal.
        owner: The Project that it belongs to, as `region:projectKey`.
        private_projects: The Projects that it is assigned to.
        now: Microseconds since 1970.
    """

    id: str
    version: int
    content: ConnectorContent
    commit: str
    owner: str
    private_projects: Sequence[str]
    now: int


def publish(connection: Connection, publication: Publication) -> None:
    """Publish a version of a Connector; the first one makes the Connector."""
    number = feed.advance(connection)
    key = None if publication.content.key is msgspec.UNSET else publication.content.key
    if key is not None:
        _make_way(connection, key)
    values = {
        "key": key,
        "version": publication.version,
        "source": "staged",
        "owner": publication.owner,
        "private_projects": _projects(publication.private_projects),
        "listed": True,
        "last_modified_at": publication.now,
        "seq": number,
    }
    if publication.version == 1:
        made = {"id": publication.id, "created_at": publication.now, **values}
        connection.execute(connectors.insert().values(made))
    else:
        _change(connection, publication.id, values)
    connection.execute(
        connector_versions.insert().values(
            connector_id=publication.id,
            version=publication.version,
            content=_encoder.encode(publication.content).decode(),
            commit=publication.commit,
            published_at=publication.now,
        )
    )


def unlist(connection: Connection, id_: str) -> None:
    """Take a Connector out of search and of new Deployments; its versions stay."""
    _change(connection, id_, {"listed": False, "seq": feed.advance(connection)})


def release_key(connection: Connection, id_: str) -> None:
    """Unlist a Connector for good and leave its key to others; its versions stay."""
    _change(connection, id_, {"listed": False, "key": None, "seq": feed.advance(connection)})


def assign(connection: Connection, id_: str, private_projects: Sequence[str]) -> None:
    """Say for which Projects a Connector exists while it is private."""
    projects = _projects(private_projects)
    _change(connection, id_, {"private_projects": projects, "seq": feed.advance(connection)})


def _make_way(connection: Connection, key: str) -> None:
    """Remove the Connector with a key that an import has prepared; the import hears of it."""
    query = select(connectors.c.id).where(
        connectors.c.key == key, ~feed.is_reached(connectors.c.seq)
    )
    id_ = connection.execute(query).scalar_one_or_none()
    if id_ is not None:
        versions = connector_versions.delete().where(connector_versions.c.connector_id == id_)
        connection.execute(versions)
        connection.execute(connectors.delete().where(connectors.c.id == id_))
        feed.disturb(connection)


def _change(connection: Connection, id_: str, values: Mapping[str, object]) -> None:
    connection.execute(connectors.update().where(connectors.c.id == id_).values(values))


def _projects(projects: Sequence[str]) -> str:
    return _encoder.encode(sorted(set(projects))).decode()
