"""The ASGI application: from the endpoint table to answers.

One request goes through here in the order of the code: limits, route, token, rate, scopes,
negotiation, parameters, body, handler, answer. Whatever is raised on the way becomes the
contract's error body.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from connectory.contract.errors import (
    ApiError,
    ApiErrors,
    AuthorizationError,
    General,
    NotAcceptable,
    RequestHeadersTooLarge,
    ServiceUnavailable,
    UriTooLong,
)
from connectory.database.documents import Damaged, Damages
from connectory.http import answers, bodies, events, proxies
from connectory.http.access import Authenticator, Grant, OperatorGrant
from connectory.http.answers import Response
from connectory.http.events import EventStream
from connectory.http.queries import query_decoder
from connectory.http.rates import Rates
from connectory.http.requestlog import Measures, correlation_id, correlation_ids
from connectory.http.table import Endpoint, Match, Request, Router
from connectory.settings import Settings

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("connectory.requests")

#: The route label of requests that no endpoint answers.
UNMATCHED = "(none)"
#: The place in a request's scope that tells that its body was read to the end.
_BODY_READ = "connectory.body_read"
#: Streams of events that a node has open at once: each asks the database again and again.
MAX_STREAMS = 200
#: What changes nothing, and is not logged where only writes are.
_READS = ("GET", "HEAD")
#: A larger body is compressed in a thread, so that the others do not wait for it.
_LARGE = 64 * 2**10


@dataclass(frozen=True, slots=True)
class _Decoders:
    query: Callable[[bytes], Any] | None
    body: Callable[[bytes], Any] | None


class Application:
    """Serves the endpoints of a table.

    `unavailable` are exceptions that mean "try again": they become 503, not 500. Answers without an
    end are ended when `stopping` is set. Rows that cannot be read are told to `damages`.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        authenticator: Authenticator,
        settings: Settings,
        measures: Measures,
        *,
        unavailable: tuple[type[Exception], ...] = (),
        stopping: asyncio.Event | None = None,
        damages: Damages | None = None,
    ) -> None:
        self._router = Router(endpoints)
        self._authenticator = authenticator
        self._settings = settings
        self._measures = measures
        self._unavailable = unavailable
        self._stopping = stopping or asyncio.Event()
        self._damages = damages or Damages()
        self._streams = 0
        rate = settings.project_requests_per_second
        self._rates = Rates(rate) if rate else None
        self._choose_correlation_id = correlation_ids()
        #: Methods whose answers are not logged, unless something failed.
        self._unlogged = frozenset(() if settings.access_log == "all" else _READS)
        # Keyed by identity: endpoints are frozen, but what they hold need not be hashable.
        self._decoders = {id(endpoint): _decoders(endpoint) for endpoint in endpoints}

    async def __call__(  # noqa: C901 - one step after the other, and each call of them costs
        self, scope: Scope, receive: bodies.Receive, send: Send
    ) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            await _refuse(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        given_id = self._choose_correlation_id(headers.get(b"x-correlation-id"))
        method: str = scope["method"]
        route = UNMATCHED
        oauth = False
        try:
            self._check_limits(scope)
            match = self._router.find(method, scope["raw_path"])
            route, oauth = match.route.template, match.endpoint.oauth_errors
            response = self._at_once(headers, match)
            if response is None:
                correlation_id.set(given_id.decode())
                response = await self._answer(scope, receive, headers, match)
        except (ApiError, ApiErrors) as error:
            response = answers.of_error(error, oauth=oauth)
        except bodies.ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the last line of defence: every fault is answered
            correlation_id.set(given_id.decode())
            response = answers.of_error(self._failure(error), oauth=oauth)
        if b"if-none-match" in headers or b"accept-encoding" in headers:
            response = await _negotiated(response, headers)
        streams = response.__class__ is EventStream and method != "HEAD"
        if streams and self._streams >= MAX_STREAMS:
            streams = False
            response = answers.of_error(
                ServiceUnavailable(f"{MAX_STREAMS} streams of events are open already", 10)
            )
        body = b"" if method == "HEAD" else response.body
        head = [*response.headers, (b"x-correlation-id", given_id)]
        if method == "HEAD" and response.body:
            # The server software adds the length of a body that is sent.
            head.append((b"content-length", b"%d" % len(response.body)))
        if _left_unread(scope, headers):
            # The server ends such a connection; a client that is not told would use it again.
            head.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        if streams:
            await self._stream(response, match.endpoint, headers, receive, send)
        else:
            await send({"type": "http.response.body", "body": body})
        seconds = time.perf_counter() - started
        self._measures.add(route, method, response.status, seconds)
        if method not in self._unlogged or response.status >= 500:  # noqa: PLR2004
            correlation_id.set(given_id.decode())
            self._log(scope, method, response.status, seconds)

    def _check_limits(self, scope: Scope) -> None:
        settings = self._settings
        if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_target_bytes:
            raise UriTooLong(
                f"Path and query have more than the {settings.max_target_bytes} bytes taken"
            )
        length = 0
        for name, value in scope["headers"]:  # joining them takes longer
            length += len(name) + len(value)
        if length > settings.max_header_bytes:
            raise RequestHeadersTooLarge(
                f"The headers have more than the {settings.max_header_bytes} bytes taken"
            )

    def _at_once(self, headers: Mapping[bytes, bytes], match: Match) -> Response | None:
        """What is at hand for a caller who is known and may have it; else None, which says nothing.

        The same as `_answer` would give, in a fraction of the time that it takes to wait for that.
        """
        endpoint = match.endpoint
        if endpoint.at_hand is None or endpoint.permissions is None or match.fault is not None:
            return None
        shown = headers.get(b"authorization")
        grant = None if shown is None else self._authenticator.known(shown)
        if grant is None or endpoint.permissions.isdisjoint(grant.permissions):
            return None
        accept = headers.get(b"accept")
        if accept is not None and accept != b"*/*" and not _accepts(accept, endpoint.produces):
            return None
        found = endpoint.at_hand(match.arguments)
        if found is not None and self._rates is not None:
            self._rates.take(grant.project)
        return found

    async def _answer(
        self,
        scope: Scope,
        receive: bodies.Receive,
        headers: Mapping[bytes, bytes],
        match: Match,
    ) -> Response:
        endpoint = match.endpoint
        grant: Grant | OperatorGrant | None = None
        if endpoint.permissions is not None:
            shown = headers.get(b"authorization")
            grant = None if shown is None else self._authenticator.known(shown)
            if grant is None and endpoint.door is not None and shown is not None:
                grant = await endpoint.door(match.arguments, shown)
            if grant is None:
                grant = await self._authenticator.authenticate(shown)
            if self._rates is not None:
                self._rates.take(grant.project)
            if endpoint.permissions.isdisjoint(grant.permissions):
                raise AuthorizationError
        elif endpoint.operators:
            grant = await self._authenticator.authenticate_operator(headers.get(b"authorization"))
        accept = headers.get(b"accept")
        if accept is not None and accept != b"*/*" and not _accepts(accept, endpoint.produces):
            raise NotAcceptable(f"This endpoint answers with {endpoint.produces}")
        if match.fault is not None:
            raise match.fault
        return await self._handled(scope, receive, headers, match, grant)

    async def _handled(
        self,
        scope: Scope,
        receive: bodies.Receive,
        headers: Mapping[bytes, bytes],
        match: Match,
        grant: Grant | OperatorGrant | None,
    ) -> Response:
        """What the handler answers, once everything that it wants is decoded."""
        endpoint = match.endpoint
        decoders = self._decoders[id(endpoint)]
        query = decoders.query(scope["query_string"]) if decoders.query is not None else None
        body = None
        if decoders.body is not None:
            bodies.check_content_type(headers, endpoint.body_type)
            text = await bodies.read_body(
                receive,
                headers,
                max_bytes=self._settings.max_body_bytes,
                seconds=self._settings.read_timeout,
            )
            scope[_BODY_READ] = True
            body = decoders.body(text)
        return await endpoint.handler(
            Request(endpoint, match.arguments, query, body, grant, headers, scope, self._settings)
        )

    async def _stream(
        self,
        stream: Response,
        endpoint: Endpoint,
        headers: Mapping[bytes, bytes],
        receive: bodies.Receive,
        send: Send,
    ) -> None:
        """Send the body of an answer that ends when its token does, among other reasons."""
        shown = headers.get(b"authorization")

        async def allowed() -> None:
            if endpoint.permissions is not None:
                await self._authenticator.authenticate(shown)
            elif endpoint.operators:
                await self._authenticator.authenticate_operator(shown)

        self._streams += 1
        try:
            await events.run(
                cast("EventStream", stream),
                receive,
                send,
                stopping=self._stopping,
                allowed=allowed,
            )
        except Exception as error:  # noqa: BLE001 - the head was sent: all that is left is to end
            self._failure(error)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._streams -= 1

    def _failure(self, error: Exception) -> ApiError:
        if isinstance(error, self._unavailable):
            log.error("unavailable: %s", error)
            return ServiceUnavailable("The database cannot be reached; try again in a moment")
        if isinstance(error, Damaged):
            self._damages.asked_for(error)
            return General()
        log.error("a request failed", exc_info=error)
        return General()

    def _log(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        if self._settings.access_log == "off":
            return
        log.info(
            "%s %s %d",
            method,
            scope["path"],
            status,
            extra={
                "method": method,
                "path": scope["path"],
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
                "client": proxies.client_address(scope, self._settings.trusted_proxies),
            },
        )


def with_correlation_id(application: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    """Give a correlation id to answers that a middleware makes without asking the application."""
    choose = correlation_ids()

    async def wrapped(scope: Scope, receive: bodies.Receive, send: Send) -> None:
        async def sending(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                if b"x-correlation-id" not in names:
                    sent = dict(scope["headers"]).get(b"x-correlation-id")
                    message["headers"] = [
                        *message["headers"],
                        (b"x-correlation-id", choose(sent)),
                    ]
            await send(message)

        await application(scope, receive, sending)

    return wrapped


def _left_unread(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request has a body that nobody read, because it was refused before, or not asked.

    RFC 9112 §9.6: a server that will close the connection says so.
    """
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return False
    return _BODY_READ not in scope


def _decoders(endpoint: Endpoint) -> _Decoders:
    query = query_decoder(endpoint.query) if endpoint.query is not None else None
    body = None
    if endpoint.body_type == bodies.FORM:
        (struct,) = endpoint.bodies
        body = bodies.form_decoder(struct)
    elif endpoint.body is not None:
        body = bodies.json_decoder(endpoint.body)
    return _Decoders(query, body)


async def _negotiated(response: Response, headers: Mapping[bytes, bytes]) -> Response:
    """The answer that the request's conditions ask for; HEAD gets the headers that GET would."""
    if response.etag is not None and _matches(headers.get(b"if-none-match"), response.etag):
        unchanged = Response(304, b"")
        unchanged.headers = [
            (name, value)
            for name, value in response.headers
            if name in (b"etag", b"vary", b"cache-control")
        ]
        return unchanged
    if _accepts_gzip(headers.get(b"accept-encoding")):
        if len(response.body) < _LARGE:
            return response.gzipped()
        return await asyncio.to_thread(response.gzipped)
    return response


def _matches(if_none_match: bytes | None, etag: bytes) -> bool:
    """Whether a conditional read finds what the client has (RFC 9110 §13.1.2, weak comparison)."""
    if if_none_match is None:
        return False
    opaque = etag.removeprefix(b"W/")
    tags = (tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b","))
    return any(tag in (b"*", opaque) for tag in tags)


def _accepts_gzip(accept_encoding: bytes | None) -> bool:
    if accept_encoding is None:
        return False
    weights = _weights(accept_encoding)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _accepts(accept: bytes, produces: str) -> bool:
    """Whether an Accept header takes a media type (RFC 9110 §12.5.1)."""
    weights = _weights(accept)
    kind = produces.partition("/")[0]
    for media in (produces, f"{kind}/*", "*/*"):
        if media in weights:
            return weights[media] > 0
    return not weights


def _weights(header: bytes) -> dict[str, float]:
    weights: dict[str, float] = {}
    for element in header.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if name:
            weights[name] = max(weight, weights.get(name, 0.0))
    return weights


async def _refuse(scope: Scope, receive: bodies.Receive, send: Send) -> None:
    """Turn away what is not HTTP: there are no websockets here."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
