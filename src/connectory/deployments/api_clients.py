"""The API Clients that Deployments have made for themselves.

A new one is made where the scopes have changed. The one before goes on until nothing runs with it
any more: a deploy that fails leaves the release before serving, credentials included.
"""

import contextlib

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.database.secrets import KeyRing
from connectory.deployments import store
from connectory.deployments.model import Deployment, GeneratedClient
from connectory.identity.administration import Administration
from connectory.identity.model import IdentityError

_ACTOR = "deployments"


def with_client(connection: Connection, before: Deployment, ring: KeyRing, now: int) -> Deployment:
    """A Deployment with the API Client that its Connector wants; itself where it has that."""
    client = before.client
    if (client.scopes if client else None) == before.scopes:
        return before
    if before.scopes is None:
        return replace(before, client=None)
    by = Administration(connection, actor=_ACTOR, now=now)
    made = by.create_generated_client(before.project.partition(":")[2], before.scopes)
    sealed = ring.seal(made.client_secret.encode(), before.secret_owner)
    return replace(
        before,
        client=GeneratedClient(id=made.client_id, scopes=before.scopes, secret=sealed),
    )


def revoke_others(connection: Connection, deployment: Deployment, now: int) -> None:
    """End the API Clients of all releases of a Deployment but the one that it has."""
    kept = deployment.client.id if deployment.client else None
    releases = store.releases_of(connection, deployment.id)
    _revoke(connection, {each.client.id for each in releases if each.client} - {kept}, now)


def revoke_all(connection: Connection, deployment: Deployment, now: int) -> None:
    """End all API Clients of a Deployment."""
    revoke_others(connection, deployment, now)
    if deployment.client is not None:
        _revoke(connection, {deployment.client.id}, now)


def _revoke(connection: Connection, ids: set[str], now: int) -> None:
    by = Administration(connection, actor=_ACTOR, now=now)
    for id_ in sorted(ids):
        with contextlib.suppress(IdentityError):  # it was revoked before, by whomever
            by.revoke_client(id_)
