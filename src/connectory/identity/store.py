"""The rows of Projects, API Clients, secrets, tokens, revocations and operators."""

from typing import Any

import sqlalchemy
from sqlalchemy import Connection, select

from connectory.contract.scopes import format_scope, parse_scope
from connectory.database import feed
from connectory.database.tables import (
    client_secrets,
    clients,
    operators,
    projects,
    revocations,
    tokens,
)
from connectory.http.access import Grant, OperatorGrant
from connectory.identity.model import Client, Operator, Project, Secret


def add_project(connection: Connection, project: Project) -> bool:
    """Write a Project; False where one of this key is there already."""
    if find_project(connection, project.key) is not None:
        return False
    connection.execute(
        projects.insert().values(
            key=project.key,
            region=project.region,
            production=project.production,
            created_at=project.created_at,
        )
    )
    return True


def find_project(connection: Connection, key: str) -> Project | None:
    """A Project by its key."""
    row = connection.execute(select(projects).where(projects.c.key == key)).one_or_none()
    return _project(row) if row is not None else None


def lock_project(connection: Connection, key: str) -> None:
    """Wait until nobody else has a Project locked, and lock it until this transaction ends.

    Rows that refer to it can be written meanwhile.
    """
    query = select(projects.c.key).where(projects.c.key == key)
    connection.execute(query.with_for_update(key_share=True))


def list_projects(connection: Connection) -> list[Project]:
    """All Projects, by key."""
    rows = connection.execute(select(projects).order_by(projects.c.key))
    return [_project(row) for row in rows]


def add_client(connection: Connection, client: Client, secret: Secret) -> None:
    """Write an API Client with its first secret."""
    connection.execute(
        clients.insert().values(
            id=client.id,
            project_key=client.project_key,
            scope=format_scope(client.permissions, client.project_key),
            created_at=client.created_at,
        )
    )
    _add_secret(connection, client.id, secret, client.created_at)


def find_client(connection: Connection, client_id: str) -> Client | None:
    """An API Client by its id, revoked or not."""
    row = connection.execute(select(clients).where(clients.c.id == client_id)).one_or_none()
    return _client(row) if row is not None else None


def list_clients(connection: Connection, project_key: str | None = None) -> list[Client]:
    """The API Clients of a Project, or all, oldest first."""
    query = select(clients).order_by(clients.c.created_at, clients.c.id)
    if project_key is not None:
        query = query.where(clients.c.project_key == project_key)
    return [_client(row) for row in connection.execute(query)]


def valid_secrets(connection: Connection, client_id: str, now: int) -> list[Secret]:
    """The secrets that hold for a client just now; none for one that is unknown or revoked."""
    rows = connection.execute(
        select(client_secrets.c.digest, client_secrets.c.expires_at)
        .join(clients, clients.c.id == client_secrets.c.client_id)
        .where(
            client_secrets.c.client_id == client_id,
            clients.c.revoked_at.is_(None),
            sqlalchemy.or_(
                client_secrets.c.expires_at.is_(None), client_secrets.c.expires_at > now
            ),
        )
    )
    return [Secret(digest=row.digest, expires_at=row.expires_at) for row in rows]


def replace_secret(
    connection: Connection, client_id: str, secret: Secret, *, now: int, old_until: int
) -> None:
    """Give a client a new secret; those it has end at `old_until`, or sooner where they would."""
    connection.execute(
        client_secrets.delete().where(
            client_secrets.c.client_id == client_id, client_secrets.c.expires_at <= now
        )
    )
    connection.execute(
        client_secrets.update()
        .where(
            client_secrets.c.client_id == client_id,
            sqlalchemy.or_(
                client_secrets.c.expires_at.is_(None), client_secrets.c.expires_at > old_until
            ),
        )
        .values(expires_at=old_until)
    )
    _add_secret(connection, client_id, secret, now)


def add_token(connection: Connection, digest: str, grant: Grant) -> None:
    """Write a token under its hash."""
    connection.execute(
        tokens.insert().values(
            digest=digest,
            client_id=grant.client_id,
            scope=format_scope(grant.permissions, grant.project_key),
            issued_at=grant.issued_at,
            expires_at=grant.expires_at,
        )
    )


def find_grant(connection: Connection, digest: str, now: int) -> Grant | None:
    """The grant of a token by its hash; None where it is unknown, expired or revoked."""
    row = connection.execute(
        select(tokens, clients.c.project_key, projects.c.region)
        .join(clients, clients.c.id == tokens.c.client_id)
        .join(projects, projects.c.key == clients.c.project_key)
        .where(
            tokens.c.digest == digest,
            tokens.c.expires_at > now,
            clients.c.revoked_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    return Grant(
        client_id=row.client_id,
        project_key=row.project_key,
        project=f"{row.region}:{row.project_key}",
        permissions=parse_scope(row.scope, row.project_key),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
    )


def revoke_token(connection: Connection, digest: str, client_id: str, now: int) -> bool:
    """End a client's token on every node; False where it has none of this hash."""
    gone = connection.execute(
        tokens.delete().where(tokens.c.digest == digest, tokens.c.client_id == client_id)
    )
    if gone.rowcount:
        _announce(connection, "token", digest, now)
    return bool(gone.rowcount)


def revoke_client(connection: Connection, client_id: str, now: int) -> bool:
    """End a client and all its tokens on every node; False where it is not there or ended."""
    ended = connection.execute(
        clients.update()
        .where(clients.c.id == client_id, clients.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if ended.rowcount:
        connection.execute(tokens.delete().where(tokens.c.client_id == client_id))
        _announce(connection, "client", client_id, now)
    return bool(ended.rowcount)


def revocations_since(connection: Connection, number: int) -> list[tuple[str, str]]:
    """What was revoked after a number of the change feed: `(kind, subject)`."""
    rows = connection.execute(
        select(revocations.c.kind, revocations.c.subject).where(revocations.c.seq > number)
    )
    return [(row.kind, row.subject) for row in rows]


def add_operator(connection: Connection, name: str, digest: str, now: int) -> bool:
    """Write an operator with the hash of a token; False where one of this name holds one.

    A name whose operator was revoked can be given a new token.
    """
    connection.execute(
        operators.delete().where(operators.c.name == name, operators.c.revoked_at.is_not(None))
    )
    known = select(operators.c.name).where(operators.c.name == name)
    if connection.execute(known).one_or_none() is not None:
        return False
    connection.execute(operators.insert().values(name=name, digest=digest, created_at=now))
    return True


def find_operator(connection: Connection, name: str) -> Operator | None:
    """An operator by name, revoked or not."""
    row = connection.execute(select(operators).where(operators.c.name == name)).one_or_none()
    return _operator(row) if row is not None else None


def list_operators(connection: Connection) -> list[Operator]:
    """All operators, oldest first."""
    rows = connection.execute(select(operators).order_by(operators.c.created_at, operators.c.name))
    return [_operator(row) for row in rows]


def find_operator_grant(connection: Connection, digest: str) -> OperatorGrant | None:
    """The grant of an operator's token by its hash; None where it is unknown or revoked."""
    query = select(operators.c.name).where(
        operators.c.digest == digest, operators.c.revoked_at.is_(None)
    )
    name = connection.execute(query).scalar_one_or_none()
    return OperatorGrant(name=name) if name is not None else None


def revoke_operator(connection: Connection, name: str, now: int) -> None:
    """End an operator's token; every request asks this table, so it holds at once everywhere."""
    connection.execute(
        operators.update()
        .where(operators.c.name == name, operators.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def sweep(connection: Connection, *, now: int, revoked_before: int) -> int:
    """Remove expired tokens, expired secrets and old revocations; how many tokens went."""
    gone = connection.execute(tokens.delete().where(tokens.c.expires_at <= now))
    connection.execute(client_secrets.delete().where(client_secrets.c.expires_at <= now))
    connection.execute(revocations.delete().where(revocations.c.revoked_at < revoked_before))
    return int(gone.rowcount)


def _add_secret(connection: Connection, client_id: str, secret: Secret, now: int) -> None:
    connection.execute(
        client_secrets.insert().values(
            digest=secret.digest, client_id=client_id, created_at=now, expires_at=secret.expires_at
        )
    )


def _announce(connection: Connection, kind: str, subject: str, now: int) -> None:
    connection.execute(
        revocations.insert().values(
            seq=feed.advance(connection), kind=kind, subject=subject, revoked_at=now
        )
    )


def _project(row: sqlalchemy.Row[Any]) -> Project:
    return Project(
        key=row.key, region=row.region, production=row.production, created_at=row.created_at
    )


def _client(row: sqlalchemy.Row[Any]) -> Client:
    return Client(
        id=row.id,
        project_key=row.project_key,
        permissions=parse_scope(row.scope, row.project_key),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _operator(row: sqlalchemy.Row[Any]) -> Operator:
    return Operator(name=row.name, created_at=row.created_at, revoked_at=row.revoked_at)
