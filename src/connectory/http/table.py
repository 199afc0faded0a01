"""The endpoint table: each endpoint declared once.

From a declaration follow routing, authorization, decoding with the contract's errors, the OpenAPI
document, the reference page, and the tests that walk every endpoint with every scope.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from connectory.contract.errors import ApiError, InvalidPathParam, MethodNotAllowed, NoSuchPath
from connectory.contract.scopes import Permission
from connectory.http import proxies
from connectory.http.access import Grant
from connectory.http.answers import Response
from connectory.settings import Settings

Method = Literal["GET", "POST", "DELETE"]


@dataclass(slots=True)
class Request:
    """What a handler gets: everything decoded, checked and allowed."""

    endpoint: "Endpoint"
    #: Path parameters by name, each of its declared type.
    path: Mapping[str, str]
    #: An instance of the endpoint's `query`, or None.
    query: Any
    #: An instance of the endpoint's `body`, or None.
    body: Any
    #: None where the endpoint is open to anyone.
    grant: Grant | None
    #: Header fields, by name in lower case; of a repeated one the last.
    headers: Mapping[bytes, bytes]
    #: The connection, as ASGI describes it.
    scope: Mapping[str, Any]
    settings: Settings

    @property
    def allowed(self) -> Grant:
        """The grant of an endpoint that wants one."""
        if self.grant is None:
            raise TypeError(f"{self.endpoint.path} is open to anyone: it has no grant")
        return self.grant

    @property
    def client_address(self) -> str:
        """The client's address, as far as the trusted proxies tell."""
        return proxies.client_address(self.scope, self.settings.trusted_proxies)

    @property
    def origin(self) -> str:
        """`scheme://host` under which the client reached the server."""
        settings = self.settings
        return proxies.request_origin(
            self.scope, self.headers, settings.trusted_proxies, settings.public_url
        )


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method on one path."""

    method: Method
    #: `/connectors/key={key}`: a segment is literal text, then at most one parameter.
    path: str
    summary: str
    tag: str
    handler: Handler
    #: Any one of these suffices; None: open to anyone, without a token.
    permissions: frozenset[Permission] | None
    description: str = ""
    #: The type of each path parameter.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_type: Literal["application/json", "application/x-www-form-urlencoded"] = "application/json"
    #: The success status and the type of its body; None: the body is text of type `produces`.
    success: tuple[int, type[msgspec.Struct] | None] = (200, None)
    #: Errors of the endpoint itself; those of every endpoint are added where they can arise.
    errors: Sequence[type[ApiError]] = ()
    #: Whether every error has the OAuth fields beside the contract's (RFC 6749 §5.2).
    oauth_errors: bool = False
    produces: str = "application/json"
    #: A successful answer as the documentation shows it.
    example: Mapping[str, Any] | None = None
    #: Whether a successful answer has an entity tag, so that If-None-Match can turn it into 304.
    etag: bool = False
    #: Whether the published contract lacks this endpoint; the documentation says so.
    addition: bool = False


class Route:
    """A path template with the endpoints of its methods."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.endpoints: dict[str, Endpoint] = {}
        #: The names of the path parameters, in order.
        self.names = re.findall(r"{(\w+)}", template)

    @property
    def methods(self) -> list[str]:
        """What `Allow` says: HEAD works wherever GET does."""
        return sorted(set(self.endpoints) | ({"HEAD"} if "GET" in self.endpoints else set()))

    @property
    def pattern(self) -> str:
        """A regular expression for paths of this template, a group for each parameter."""
        parts = re.split(r"({\w+})", self.template)
        return "".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in parts)


class Router:
    """Finds the endpoint of a request."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        routes: dict[str, Route] = {}
        for endpoint in endpoints:
            route = routes.setdefault(endpoint.path, Route(endpoint.path))
            if endpoint.method in route.endpoints:
                raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice")
            route.endpoints[endpoint.method] = endpoint
        # The first alternative that fits wins, so literal text comes before parameters.
        self.routes = sorted(
            routes.values(), key=lambda route: (len(route.names), -len(route.pattern))
        )
        self._by_group: dict[int, Route] = {}
        group = 1
        for route in self.routes:
            self._by_group[group] = route
            group += 1 + len(route.names)
        self._match = re.compile("|".join(f"({route.pattern})" for route in self.routes)).fullmatch

    def find(self, method: str, raw_path: bytes) -> tuple[Route, Endpoint, dict[str, str]]:
        """The route, the endpoint and the unchecked path parameters of a request.

        Raises:
            NoSuchPath: no endpoint has this path.
            MethodNotAllowed: some have, for other methods.
            InvalidPathParam: the path is not UTF-8, or has U+0000 in it.
        """
        escaped = b"%" in raw_path
        path = _decoded(raw_path) if escaped else raw_path.decode("latin-1")
        found = self._match(path)
        if found is None:
            raise NoSuchPath(path.replace(_ESCAPED_SLASH, "/"))
        group = found.lastindex or 0
        route = self._by_group[group]
        endpoint = route.endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            raise MethodNotAllowed(method, path.replace(_ESCAPED_SLASH, "/"), route.methods)
        arguments = {name: found[group + place] for place, name in enumerate(route.names, start=1)}
        if escaped:
            arguments = {
                name: value.replace(_ESCAPED_SLASH, "/") for name, value in arguments.items()
            }
        return route, endpoint, arguments


def argument_checker(endpoint: Endpoint) -> Callable[[Mapping[str, str]], None]:
    """A function that makes sure that each path parameter is of its declared type.

    It raises InvalidPathParam, whose `detailedErrorMessage` names the parameter and its value.
    """
    checks = []
    for name, declared in endpoint.parameters.items():
        schema = msgspec.inspect.type_info(declared)
        if isinstance(schema, msgspec.inspect.Metadata):
            schema = schema.type
        if not isinstance(schema, msgspec.inspect.StrType) or schema.pattern is None:
            raise TypeError(f"{endpoint.path}: the type of {name} is not a text with a pattern")
        checks.append((name, re.compile(schema.pattern).search, schema.pattern))

    def check(arguments: Mapping[str, str]) -> None:
        for name, matches, pattern in checks:
            if not matches(arguments[name]):
                shown = pattern.replace(r"(?!\n)", "")
                raise InvalidPathParam(f"{name}: '{arguments[name]}' does not match {shown}")

    return check


#: Stands for an escaped slash while a path is matched: that slash is part of a parameter, not a
#: border between two. No decoded path has this character in it.
_ESCAPED_SLASH = "\0"


def _decoded(raw_path: bytes) -> str:
    try:
        pieces = [unquote_to_bytes(piece).decode() for piece in raw_path.split(b"/")]
    except UnicodeDecodeError:
        raise InvalidPathParam("the path is not UTF-8, percent-encoded") from None
    if any("\0" in piece for piece in pieces):
        raise InvalidPathParam("the path has the character U+0000 in it")
    return "/".join(piece.replace("/", _ESCAPED_SLASH) for piece in pieces)
