"""Tokens: issued, checked on every request, looked at and revoked.

Checks cost no database access when warm: grants are kept in memory under the hash of their token.
What is kept is believed only while the change feed is fresh; a node whose feed stalls asks the
database, so a revocation holds everywhere within a second.
"""

import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

import sqlalchemy

from connectory.contract.errors import AuthenticationError, InvalidScope, InvalidToken
from connectory.contract.scopes import Permission, ScopeError, parse_scope
from connectory.database.engine import Database
from connectory.database.feed import Freshness
from connectory.database.periodic import Periodic
from connectory.http.access import Grant, OperatorGrant
from connectory.identity import store
from connectory.identity.guessing import WrongSecrets
from connectory.identity.model import Client, Secret, allowed_by
from connectory.kernel import ids
from connectory.kernel.clock import DAY, SECOND, Clock

#: More tokens than a node sees in two days; beyond it, the oldest half is read again when needed.
CACHED_GRANTS = 100_000
#: Headers whose grant is remembered: those of clients that ask again and again.
_CACHED_HEADERS = 4_096
SWEEP_SECONDS = 600.0
#: Longer than any node goes without hearing the feed; its grants have then expired anyway.
_REVOCATIONS_KEPT = 60 * DAY

_NO_SECRET = ids.digest("")

log = logging.getLogger(__name__)


class Identity:
    """Authenticates requests; follows the change feed to forget what was revoked."""

    def __init__(
        self, database: Database, freshness: Freshness, clock: Clock, token_seconds: int
    ) -> None:
        self._database = database
        self._freshness = freshness
        self._clock = clock
        self._token_lifetime = token_seconds * SECOND
        self._grants: dict[str, Grant] = {}
        self._older_grants: dict[str, Grant] = {}
        #: The same by the Authorization headers that had them; all forgotten with every revocation.
        self._by_header: dict[bytes, Grant] = {}
        #: Grows with every revocation heard: what was read before it is not kept.
        self._revocations_heard = 0
        self._wrong_secrets = WrongSecrets(clock)

    def known(self, authorization: bytes) -> Grant | None:
        """The grant of a bearer token that is warm (see `http.access.Authenticator`)."""
        grant = self._by_header.get(authorization)
        if grant is None or not self._freshness.is_fresh() or grant.expires_at <= self._clock():
            return None
        return grant

    async def authenticate(self, authorization: bytes | None) -> Grant:
        """The grant of a bearer token (see `http.access.Authenticator`)."""
        digest = _digest(authorization)
        grant = self._grants.get(digest)
        if grant is None or not self._freshness.is_fresh():
            grant = await self._look_up(digest)
        if grant.expires_at <= self._clock():
            raise InvalidToken
        if authorization is not None and digest in self._grants:
            if len(self._by_header) >= _CACHED_HEADERS:
                self._by_header.clear()
            self._by_header[authorization] = grant
        return grant

    async def authenticate_operator(self, authorization: bytes | None) -> OperatorGrant:
        """The grant of an operator's token (see `http.access.Authenticator`).

        Always as the database has it: operators are few and ask rarely, and a revocation holds
        everywhere at once.
        """
        digest = _digest(authorization)
        grant = await self._database.reading_promptly(store.find_operator_grant, digest)
        if grant is None:
            raise InvalidToken
        return grant

    async def issue(self, client: Client, scope: str | None) -> tuple[str, Grant]:
        """Make a token of a client: all its permissions, or the fewer that `scope` asks for.

        Raises:
            InvalidScope: the scope is malformed or wider than the client's.
            DatabaseUnavailable: nothing was issued.
        """
        permissions = _narrowed(client, scope)
        project = await self._database.reading_promptly(store.find_project, client.project_key)
        if project is None:
            raise AuthenticationError
        now = self._clock()
        grant = Grant(
            client_id=client.id,
            project_key=client.project_key,
            project=project.identifier,
            permissions=permissions,
            issued_at=now,
            expires_at=now + self._token_lifetime,
        )
        token = ids.new_token()
        await self._database.writing(store.add_token, ids.digest(token), grant)
        return token, grant

    async def check_secret(self, client_id: str, secret: str, address: str) -> Client:
        """The client that a secret belongs to.

        Raises:
            AuthenticationError: there is none, after a wait that grows with every wrong secret.
            TooManyRequests: it is wrong, and too many wrong ones are waiting.
        """
        client, secrets = await self._database.reading_promptly(
            _client_and_secrets, client_id, self._clock()
        )
        given = ids.digest(secret)
        right = hmac.compare_digest(given, _NO_SECRET)  # the same work where there is no client
        for valid in secrets:
            right = hmac.compare_digest(given, valid.digest) or right
        if client is None or not secrets or not right or not secret:
            await self._wrong_secrets.failed(client_id, address)
            raise AuthenticationError
        self._wrong_secrets.succeeded(client_id, address)
        return client

    async def introspect(self, token: str, project_key: str) -> Grant | None:
        """The grant of a token of this Project, or None; always as the database has it."""
        digest = ids.digest(token)
        grant = await self._database.reading_promptly(store.find_grant, digest, self._clock())
        return grant if grant is not None and grant.project_key == project_key else None

    async def revoke(self, token: str, client_id: str) -> None:
        """End a client's token; nothing happens where it is not one of its own (RFC 7009 §2.2)."""
        digest = ids.digest(token)
        if await self._database.writing(store.revoke_token, digest, client_id, self._clock()):
            self._forget([("token", digest)])

    def read(self, connection: sqlalchemy.Connection, since: int | None) -> list[tuple[str, str]]:
        """What was revoked since (see `database.feed.Subscriber`)."""
        return [] if since is None else store.revocations_since(connection, since)

    async def apply(self, changes: Any, *, anew: bool) -> None:
        """Forget what was revoked (see `database.feed.Subscriber`)."""
        if anew:
            self._revocations_heard += 1
            self._grants, self._older_grants, self._by_header = {}, {}, {}
        elif changes:
            self._forget(changes)

    @contextlib.asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Remove what expired, from time to time, while the block runs."""
        sweeping = Periodic(
            self._sweep, every=SWEEP_SECONDS, failure="expired tokens were not swept"
        )
        async with sweeping.going_on():
            yield

    async def _sweep(self) -> None:
        await self._database.writing(
            store.sweep,
            now=self._clock(),
            revoked_before=self._clock() - max(_REVOCATIONS_KEPT, 2 * self._token_lifetime),
        )

    async def _look_up(self, digest: str) -> Grant:
        """A grant that is not warm, or that a stalled feed does not vouch for."""
        older = self._older_grants.get(digest)
        if older is not None and self._freshness.is_fresh():
            self._keep(digest, older)
            return older
        heard = self._revocations_heard
        grant = await self._database.reading_promptly(store.find_grant, digest, self._clock())
        if grant is None:
            raise InvalidToken
        if heard == self._revocations_heard:
            self._keep(digest, grant)
        return grant

    def _keep(self, digest: str, grant: Grant) -> None:
        if len(self._grants) >= CACHED_GRANTS // 2:
            self._older_grants, self._grants = self._grants, {}
        self._grants[digest] = grant

    def _forget(self, revoked: Iterable[tuple[str, str]]) -> None:
        self._revocations_heard += 1
        self._by_header.clear()
        tokens = {subject for kind, subject in revoked if kind == "token"}
        clients = {subject for kind, subject in revoked if kind == "client"}
        for grants in (self._grants, self._older_grants):
            for digest in [
                digest
                for digest, grant in grants.items()
                if digest in tokens or grant.client_id in clients
            ]:
                del grants[digest]


def _digest(authorization: bytes | None) -> str:
    """The digest of the bearer token in a header, which may be absent."""
    scheme, _, token = (authorization or b"").partition(b" ")
    if scheme.lower() != b"bearer":
        raise InvalidToken
    return hashlib.sha256(token.strip()).hexdigest()


def _narrowed(client: Client, scope: str | None) -> frozenset[Permission]:
    if scope is None or not scope.strip():
        return client.permissions
    try:
        wanted = parse_scope(scope, client.project_key)
    except ScopeError as error:
        raise InvalidScope(str(error)) from None
    if missing := wanted - allowed_by(client.permissions):
        raise InvalidScope(f"This client does not hold {', '.join(sorted(missing))}")
    return wanted


def _client_and_secrets(
    connection: sqlalchemy.Connection, client_id: str, now: int
) -> tuple[Client | None, list[Secret]]:
    return (
        store.find_client(connection, client_id),
        store.valid_secrets(connection, client_id, now),
    )
