"""The OAuth endpoints: tokens by client credentials, introspection, revocation.

Source: RAML `security-schemes/oauth2.raml`; RFC 6749 §4.4, RFC 7662, RFC 7009. Errors have the
OAuth fields beside the contract's.
"""

import base64
import binascii
from typing import Annotated
from urllib.parse import unquote_plus

from msgspec import UNSET, Meta, Struct, UnsetType

from connectory.contract.errors import (
    AuthenticationError,
    InvalidRequest,
    InvalidScope,
    TooManyRequests,
    UnsupportedGrantType,
)
from connectory.contract.scopes import format_scope
from connectory.http.answers import Response, of_json
from connectory.http.bodies import FORM
from connectory.http.table import Endpoint, Request
from connectory.identity.model import Client
from connectory.identity.service import Identity
from connectory.kernel.clock import SECOND

_NOT_KEPT = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))


class TokenRequest(Struct, frozen=True, kw_only=True):
    """A request for a token; the client's id and secret in the form or by Basic authentication.

    Attributes:
        grant_type: How the client shows who it is.
        scope: The scopes wanted, with blanks between them, each with or without `:{projectKey}`;
            left out, all that the client has.
        client_id: The client's id, if not in the Authorization header.
        client_secret: The client's secret, if not in the Authorization header.
    """

    grant_type: Annotated[str, Meta(extra_json_schema={"enum": ["client_credentials"]})]
    scope: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    client_secret: str | UnsetType = UNSET


class TokenQuestion(Struct, frozen=True, kw_only=True):
    """A token to look at or to revoke.

    Attributes:
        token: The access token.
        token_type_hint: Makes no difference: there are only access tokens.
        client_id: The client's id, if not in the Authorization header.
        client_secret: The client's secret, if not in the Authorization header.
    """

    token: Annotated[str, Meta(min_length=1)]
    token_type_hint: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    client_secret: str | UnsetType = UNSET


class Token(Struct, frozen=True, kw_only=True):
    """An access token.

    Attributes:
        access_token: The token, to be sent in the Authorization header.
        token_type: Always `Bearer`.
        expires_in: For how many seconds it is good.
        scope: The scopes that it has, with blanks between them.
    """

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class Introspection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token is good for; of one that is good for nothing, `active` alone is told.

    Attributes:
        active: Whether it is good.
        scope: The scopes that it has, with blanks between them.
        client_id: The client that it was issued to.
        token_type: Always `Bearer`.
        exp: When it expires, in seconds since 1970.
        iat: When it was issued, in seconds since 1970.
    """

    active: bool
    scope: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    token_type: str | UnsetType = UNSET
    exp: int | UnsetType = UNSET
    iat: int | UnsetType = UNSET


class Revoked(Struct, frozen=True):
    """Nothing: the token is not good for anything any more, if it ever was."""


def endpoints(identity: Identity) -> list[Endpoint]:
    """The endpoints of this slice."""

    async def issue(request: Request) -> Response:
        form: TokenRequest = request.body
        if form.grant_type != "client_credentials":
            raise UnsupportedGrantType(
                f"The grant type '{form.grant_type}' is not supported; use client_credentials"
            )
        client = await _authenticated(request, form.client_id, form.client_secret)
        scope = None if form.scope is UNSET else form.scope
        token, grant = await identity.issue(client, scope)
        answer = Token(
            access_token=token,
            token_type="Bearer",  # noqa: S106 - the scheme, not a secret
            expires_in=(grant.expires_at - grant.issued_at) // SECOND,
            scope=format_scope(grant.permissions, grant.project_key),
        )
        return of_json(answer, headers=_NOT_KEPT)

    async def introspect(request: Request) -> Response:
        form: TokenQuestion = request.body
        client = await _authenticated(request, form.client_id, form.client_secret)
        grant = await identity.introspect(form.token, client.project_key)
        if grant is None:
            return of_json(Introspection(active=False), headers=_NOT_KEPT)
        answer = Introspection(
            active=True,
            scope=format_scope(grant.permissions, grant.project_key),
            client_id=grant.client_id,
            token_type="Bearer",  # noqa: S106 - the scheme, not a secret
            exp=grant.expires_at // SECOND,
            iat=grant.issued_at // SECOND,
        )
        return of_json(answer, headers=_NOT_KEPT)

    async def revoke(request: Request) -> Response:
        form: TokenQuestion = request.body
        client = await _authenticated(request, form.client_id, form.client_secret)
        await identity.revoke(form.token, client.id)
        return of_json(Revoked(), headers=_NOT_KEPT)

    async def _authenticated(
        request: Request, form_id: str | UnsetType, form_secret: str | UnsetType
    ) -> Client:
        client_id, secret = _credentials(
            request.headers.get(b"authorization"), form_id, form_secret
        )
        return await identity.check_secret(client_id, secret, request.client_address)

    return [
        Endpoint(
            method="POST",
            path="/oauth/token",
            summary="Get an access token",
            description="OAuth 2.0 client credentials, by Basic authentication or in the form.",
            tag="OAuth 2.0",
            addition=True,
            permissions=None,
            body=TokenRequest,
            body_type=FORM,
            oauth_errors=True,
            success=(200, Token),
            errors=(
                AuthenticationError,
                InvalidRequest,
                InvalidScope,
                TooManyRequests,
                UnsupportedGrantType,
            ),
            example={
                "access_token": "nDHB9oQ2pMu6yJVaM2kqQfLbyZ3x8S1tW5vE7cRgK0U",
                "token_type": "Bearer",
                "expires_in": 172_800,
                "scope": "view_connectors:my-project",
            },
            handler=issue,
        ),
        Endpoint(
            method="POST",
            path="/oauth/introspect",
            summary="Look at an access token",
            description="RFC 7662. A client sees the tokens of its own Project.",
            tag="OAuth 2.0",
            addition=True,
            permissions=None,
            body=TokenQuestion,
            body_type=FORM,
            oauth_errors=True,
            success=(200, Introspection),
            example={
                "active": True,
                "scope": "view_connectors:my-project",
                "client_id": "pK3vTb8WqLz5NfYc7HxRd2Ms",
                "token_type": "Bearer",
                "exp": 1_795_680_000,
                "iat": 1_795_507_200,
            },
            errors=(AuthenticationError, InvalidRequest, TooManyRequests),
            handler=introspect,
        ),
        Endpoint(
            method="POST",
            path="/oauth/token/revoke",
            summary="Revoke an access token",
            description="RFC 7009. A client revokes its own tokens; any other is left alone.",
            tag="OAuth 2.0",
            addition=True,
            permissions=None,
            body=TokenQuestion,
            body_type=FORM,
            oauth_errors=True,
            success=(200, Revoked),
            example={},
            errors=(AuthenticationError, InvalidRequest, TooManyRequests),
            handler=revoke,
        ),
    ]


def _credentials(
    authorization: bytes | None, form_id: str | UnsetType, form_secret: str | UnsetType
) -> tuple[str, str]:
    """The client's id and secret: by Basic authentication, or in the form, not both (RFC 6749)."""
    if authorization is None:
        if form_id is UNSET or form_secret is UNSET:
            raise AuthenticationError
        return form_id, form_secret
    if form_secret is not UNSET:
        raise InvalidRequest("Send the client's secret by Basic authentication or in the form")
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        raise AuthenticationError
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise AuthenticationError from None
    client_id, _, secret = (unquote_plus(part) for part in text.partition(":"))
    if "\0" in client_id:
        raise AuthenticationError
    return client_id, secret
