"""What is done to Projects, API Clients and operators by command; each act is in the audit log."""

from collections.abc import Callable, Iterable

from msgspec import Struct
from sqlalchemy import Connection

from connectory.contract.scopes import Permission, ScopeError, format_scope, parse_scope
from connectory.database import audit
from connectory.database.audit import Act
from connectory.identity import store
from connectory.identity.model import (
    ROTATION_OVERLAP,
    Client,
    IdentityError,
    Project,
    Secret,
    check_operator,
    check_project,
)
from connectory.kernel import ids
from connectory.kernel.clock import to_rfc3339


class Credentials(Struct, frozen=True, kw_only=True, rename="camel"):
    """A client's id and secret, shown once; nothing keeps the secret itself."""

    client_id: str
    client_secret: str
    scope: str


class OperatorToken(Struct, frozen=True, kw_only=True):
    """An operator's token, shown once; nothing keeps the token itself."""

    name: str
    token: str


class Administration:
    """Changes Projects and clients in the caller's transaction, on behalf of an actor."""

    def __init__(self, connection: Connection, *, actor: str, now: int) -> None:
        self._connection = connection
        self._actor = actor
        self._now = now

    def create_project(self, key: str, region: str, *, production: bool) -> Project:
        """Make a Project.

        Raises:
            IdentityError: the key cannot be one or is taken, or the region is unknown.
        """
        check_project(key, region)
        project = Project(key=key, region=region, production=production, created_at=self._now)
        if not store.add_project(self._connection, project):
            raise IdentityError(f"the Project '{key}' is there already")
        self._record("project:create", key, region=region, production=production)
        return project

    def create_client(
        self,
        project_key: str,
        scope: str,
        *,
        new_id: Callable[[], str] = ids.new_client_id,
        new_secret: Callable[[], str] = ids.new_client_secret,
    ) -> Credentials:
        """Make an API Client of a Project; `scope` may leave `:{projectKey}` out.

        Raises:
            IdentityError: the Project is unknown, or the scope is not one on it, or empty.
        """
        self._project(project_key)
        permissions = _permissions(scope, project_key)
        client = Client(
            id=new_id(), project_key=project_key, permissions=permissions, created_at=self._now
        )
        secret = new_secret()
        store.add_client(
            self._connection, client, Secret(digest=ids.digest(secret), expires_at=None)
        )
        self._record("client:create", client.id, project=project_key, scope=scope)
        return _credentials(client, secret)

    def create_generated_client(
        self, project_key: str, scopes: Iterable[str], *, id_: str, secret: str
    ) -> None:
        """Make the API Client of a Deployment, which may do what it can of what it asks for.

        A Connector asks for scopes of the whole commerce platform (`manage_orders`); those that
        are not scopes of Connect allow nothing here.

        Raises:
            IdentityError: the Project is unknown.
        """
        self._project(project_key)
        names = {each.partition(":")[0] for each in scopes}
        client = Client(
            id=id_,
            project_key=project_key,
            permissions=frozenset(each for each in Permission if each in names),
            created_at=self._now,
        )
        store.add_client(
            self._connection, client, Secret(digest=ids.digest(secret), expires_at=None)
        )
        self._record("client:create", client.id, project=project_key, scope=" ".join(sorted(names)))

    def rotate_client(self, client_id: str, *, overlap: int = ROTATION_OVERLAP) -> Credentials:
        """Give a client a second secret; the first holds for `overlap` microseconds more.

        Raises:
            IdentityError: the client is unknown or revoked.
        """
        client = self._client(client_id)
        secret = ids.new_client_secret()
        until = self._now + overlap
        store.replace_secret(
            self._connection,
            client_id,
            Secret(digest=ids.digest(secret), expires_at=None),
            now=self._now,
            old_until=until,
        )
        self._record("client:rotate", client_id, oldSecretHoldsUntil=to_rfc3339(until))
        return _credentials(client, secret)

    def revoke_client(self, client_id: str) -> None:
        """End a client and all its tokens.

        Raises:
            IdentityError: the client is unknown or revoked already.
        """
        self._client(client_id)
        store.revoke_client(self._connection, client_id, self._now)
        self._record("client:revoke", client_id)

    def create_operator(self, name: str) -> OperatorToken:
        """Make an operator, or give one that was revoked a new token.

        Raises:
            IdentityError: the name cannot be one, or its operator holds a token.
        """
        check_operator(name)
        token = ids.new_token()
        if not store.add_operator(self._connection, name, ids.digest(token), self._now):
            raise IdentityError(
                f"the operator '{name}' is there already; `connectory operator revoke {name}`"
                " ends its token"
            )
        self._record("operator:create", name)
        return OperatorToken(name=name, token=token)

    def revoke_operator(self, name: str) -> None:
        """End an operator's token.

        Raises:
            IdentityError: the operator is unknown or revoked already.
        """
        known = store.find_operator(self._connection, name)
        if known is None:
            raise IdentityError(
                f"there is no operator '{name}'; `connectory operator list` shows those there are"
            )
        if known.revoked_at is not None:
            raise IdentityError(f"the operator '{name}' is revoked")
        store.revoke_operator(self._connection, name, self._now)
        self._record("operator:revoke", name)

    def _project(self, key: str) -> Project:
        project = store.find_project(self._connection, key)
        if project is None:
            known = ", ".join(each.key for each in store.list_projects(self._connection))
            raise IdentityError(
                f"there is no Project '{key}'; there are: {known or 'none'}"
                " (`connectory project create` makes one)"
            )
        return project

    def _client(self, client_id: str) -> Client:
        client = store.find_client(self._connection, client_id)
        if client is None:
            raise IdentityError(
                f"there is no client '{client_id}'; `connectory client list` shows those there are"
            )
        if client.revoked_at is not None:
            raise IdentityError(f"the client '{client_id}' is revoked")
        return client

    def _record(self, verb: str, subject: str, **details: object) -> None:
        act = Act(
            at=self._now,
            actor=self._actor,
            action=f"identity:{verb}",
            subject=subject,
            details=details,
        )
        audit.record(self._connection, act)


def _permissions(scope: str, project_key: str) -> frozenset[Permission]:
    try:
        permissions = parse_scope(scope, project_key)
    except ScopeError as error:
        raise IdentityError(str(error)) from None
    if not permissions:
        raise IdentityError(f"a client needs a scope; the scopes are {', '.join(Permission)}")
    return permissions


def _credentials(client: Client, secret: str) -> Credentials:
    return Credentials(
        client_id=client.id,
        client_secret=secret,
        scope=format_scope(client.permissions, client.project_key),
    )
