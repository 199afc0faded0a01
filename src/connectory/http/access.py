"""Who is asking: the grant behind a bearer token, and the doors that tell it."""

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


class OperatorGrant(Struct, frozen=True, kw_only=True, gc=False):
    """What an operator's token allows: everything under /operator/, and nothing else.

    It names the operator; it belongs to no Project and has no end but its revocation.
    """

    name: str

    @property
    def actor(self) -> str:
        """The operator as the audit log and comments name them."""
        return f"operator:{self.name}"


class Authenticator(Protocol):
    """Turns an Authorization header into a grant; each kind of token has a door of its own."""

    def known(self, authorization: bytes) -> Grant | None:
        """The grant of a bearer token where it can be told at once; the same as `authenticate`'s.

        None says nothing: `authenticate` is to be asked.
        """

    async def authenticate(self, authorization: bytes | None) -> Grant:
        """The grant of a bearer token.

        Raises:
            InvalidToken: there is no token, or it is unknown, expired or revoked.
            ServiceUnavailable: that cannot be told just now.
        """

    async def authenticate_operator(self, authorization: bytes | None) -> OperatorGrant:
        """The grant of an operator's bearer token; a Project's token is unknown here.

        Raises:
            InvalidToken: there is no token, or it is unknown or revoked.
            ServiceUnavailable: that cannot be told just now.
        """
