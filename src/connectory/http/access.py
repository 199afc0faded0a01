"""Who is asking: the grant behind a bearer token, and the door that tells it."""

from typing import Protocol

from msgspec import Struct

from connectory.contract.scopes import Permission


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """What a token allows: some permissions on one Project, until it expires."""

    client_id: str
    project_key: str
    #: The Project as `region:projectKey`, which is how Connectors name it.
    project: str
    permissions: frozenset[Permission]
    #: Microseconds since 1970.
    issued_at: int
    #: Microseconds since 1970.
    expires_at: int


class Authenticator(Protocol):
    """Turns an Authorization header into a grant."""

    async def authenticate(self, authorization: bytes | None) -> Grant:
        """The grant of a bearer token.

        Raises:
            InvalidToken: there is no token, or it is unknown, expired or revoked.
            ServiceUnavailable: that cannot be told just now.
        """
