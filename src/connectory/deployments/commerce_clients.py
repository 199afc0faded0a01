"""API Clients of a commerce project, by the HTTP API of the commerce platform.

Source: https://docs.commercetools.com/api/projects/api-clients (create, query, delete) and
https://docs.commercetools.com/api/authorization (client credentials). The addresses are the
operator's, so any network may be asked. No redirect is followed: it would take the secret along.
"""

import contextlib
import http.client
import time
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import ClassVar, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from connectory.database import audit
from connectory.database.audit import Act
from connectory.deployments.api_clients import ApiClientError, Made, actor_for
from connectory.deployments.clients import CommerceAccess, GeneratedClient
from connectory.deployments.commerce import CommerceProject
from connectory.deployments.environment import scope_on
from connectory.deployments.model import Deployment

T = TypeVar("T")

#: How long the server may be silent, and how long an answer may take to be read; together they
#: are shorter than `api_clients.SETTLED`.
_SILENT_SECONDS = 8.0
_READ_SECONDS = 15.0
_LARGEST_ANSWER = 2**20
_LONGEST_MESSAGE = 500
#: The most that the API lists at once.
_LISTED_AT_ONCE = 500

_OK, _CREATED, _NOT_FOUND = 200, 201, 404
_FIRST_OF_SERVER = 500
_TOO_LONG = 408
#: What was not done, and may go well later: it came too early, or there were too many.
_LATER = (425, 429)


class _Token(Struct, frozen=True):
    access_token: str


class _Created(Struct, frozen=True):
    id: str
    secret: str
    scope: str


class _Listed(Struct, frozen=True):
    id: str


class _Listing(Struct, frozen=True):
    results: tuple[_Listed, ...]


class _Fault(Struct, frozen=True):
    """What an error of the API says, or of OAuth."""

    message: str = ""
    error_description: str = ""


_token: Final = msgspec.json.Decoder(_Token)
_created: Final = msgspec.json.Decoder(_Created)
_listing: Final = msgspec.json.Decoder(_Listing)
_fault: Final = msgspec.json.Decoder(_Fault)


class CommerceClients:
    """Makes and ends the API Clients of one commerce project (`api_clients.ApiClients`)."""

    asks: ClassVar[bool] = True

    def __init__(self, project: CommerceProject) -> None:
        self._project = project

    def has(self, client: GeneratedClient) -> bool:
        """Whether a client is one of this project's."""
        return client.commerce is not None and client.commerce.api_url == self._project.api_url

    def make(self, project: str, scopes: tuple[str, ...], name: str) -> Made:
        """Make one; the API lets several have one name, so that the name has to be new.

        Raises:
            ApiClientError: it cannot be made, or it is not known whether it was.
        """
        key = project.partition(":")[2]
        body = msgspec.json.encode({"name": name, "scope": scope_on(scopes, key)})
        answer = self._api("POST", _path(key), body, good=(_OK, _CREATED))
        created = _decoded(_created, answer)
        access = CommerceAccess(
            api_url=self._project.api_url, auth_url=self._project.auth_url, scope=created.scope
        )
        return Made(id=created.id, scopes=scopes, secret=created.secret, commerce=access)

    def keep(self, connection: Connection, subject: Deployment, made: Made, now: int) -> None:
        """Tell of it; it is there."""
        scope = made.commerce.scope if made.commerce else ""
        self._record(connection, subject, "create", made.id, now, scope=scope)

    def end(self, project: str, id_: str) -> None:
        """Delete one; one that is not there has ended.

        Raises:
            ApiClientError: it may be there still.
        """
        self._delete(project.partition(":")[2], id_)

    def end_named(self, project: str, name: str) -> list[str]:
        """Delete those that are called so; their ids.

        Raises:
            ApiClientError: they may be there still.
        """
        key = project.partition(":")[2]
        query = urlencode({"where": f'name="{name}"', "limit": _LISTED_AT_ONCE})
        listing = _decoded(_listing, self._api("GET", f"{_path(key)}?{query}"))
        for each in listing.results:
            self._delete(key, each.id)
        return [each.id for each in listing.results]

    def forget(self, connection: Connection, subject: Deployment, id_: str, now: int) -> None:
        """Tell of it; it has ended."""
        self._record(connection, subject, "revoke", id_, now)

    def _record(
        self,
        connection: Connection,
        subject: Deployment,
        verb: str,
        id_: str,
        now: int,
        **details: object,
    ) -> None:
        details |= {
            "project": subject.project.partition(":")[2],
            "deployment": subject.id,
            "api": self._project.api_url,
        }
        act = Act(
            at=now,
            actor=actor_for(subject),
            action=f"deployments:client:{verb}",
            subject=id_,
            details=details,
        )
        audit.record(connection, act)

    def _delete(self, key: str, id_: str) -> None:
        self._api("DELETE", f"{_path(key)}/{quote(id_, safe='')}", good=(_OK, _NOT_FOUND))

    def _api(
        self, method: str, path: str, body: bytes | None = None, *, good: Collection[int] = (_OK,)
    ) -> bytes:
        """What the API answers."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self._project.api_url}{path}"
        return self._ask(method, url, headers, body, good, acts=True)

    def _token(self) -> str:
        pair = f"{self._project.client_id}:{self._project.client_secret}"
        headers = {
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = f"{self._project.auth_url}/oauth/token"
        answer = self._ask("POST", url, headers, b"grant_type=client_credentials", (_OK,))
        return _decoded(_token, answer).access_token

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        good: Collection[int],
        *,
        acts: bool = False,
    ) -> bytes:
        """What a server answers; `acts` says whether it may have done something anyhow."""
        try:
            status, answer = _exchange(method, url, headers, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            where = urlsplit(url).netloc
            why = str(error) or type(error).__name__
            raise ApiClientError(
                f"{method} at {where} got no answer: {why}", transient=True, unsure=acts
            ) from None
        if status in good:
            return answer
        said = _said(answer).replace(self._project.client_secret, "****")
        broken = status == _TOO_LONG or status >= _FIRST_OF_SERVER
        raise ApiClientError(
            f"{method} {url.partition('?')[0]} was answered with {status}{said and ': '}{said}",
            transient=broken or status in _LATER,
            unsure=broken and acts,
        )


def _path(key: str) -> str:
    return f"/{quote(key, safe='')}/api-clients"


def _exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> tuple[int, bytes]:
    """Status and body of an answer.

    Raises:
        OSError, HTTPException, ValueError: there is none, or none that can be read.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SILENT_SECONDS)
    target = f"{parts.path or '/'}{parts.query and '?'}{parts.query}"
    try:
        connection.request(method, target, body, {**headers, "Accept": "application/json"})
        with connection.getresponse() as answer:
            return answer.status, _body(answer)
    finally:
        with contextlib.suppress(OSError):
            connection.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    deadline = time.monotonic() + _READ_SECONDS
    found = b""
    while part := answer.read1(2**16):
        found += part
        if len(found) > _LARGEST_ANSWER:
            raise ValueError(f"its answer has more than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"its answer took longer than {_READ_SECONDS:g} seconds")
    return found


def _decoded(decoder: "msgspec.json.Decoder[T]", answer: bytes) -> T:
    try:
        return decoder.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiClientError(
            "the commerce project's answer is not one of its API: look at api_url and auth_url",
            transient=True,
            unsure=True,
        ) from None


def _said(answer: bytes) -> str:
    """What an error says, as one short line; "" where it says nothing that can be read."""
    try:
        fault = _fault.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return " ".join((fault.message or fault.error_description).split())[:_LONGEST_MESSAGE]
