"""The endpoint table: each endpoint declared once.

From a declaration follow routing, authorization, decoding with the contract's errors, the OpenAPI
document, the reference page, and the tests that walk every endpoint with every scope.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import unquote_to_bytes

import msgspec

from connectory.contract.errors import (
    ApiError,
    AuthorizationError,
    InvalidPathParam,
    MethodNotAllowed,
    NoSuchPath,
)
from connectory.contract.scopes import Permission
from connectory.http import proxies
from connectory.http.access import Grant, OperatorGrant
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
    grant: Grant | OperatorGrant | None
    #: Header fields, by name in lower case; of a repeated one the last.
    headers: Mapping[bytes, bytes]
    #: The connection, as ASGI describes it.
    scope: Mapping[str, Any]
    settings: Settings

    @property
    def allowed(self) -> Grant:
        """The grant of an endpoint that wants a Project's token."""
        if not isinstance(self.grant, Grant):
            raise TypeError(f"{self.endpoint.path} does not take the token of a Project")
        return self.grant

    @property
    def own(self) -> Grant:
        """The grant of a request about the Project that its path names.

        Raises:
            AuthorizationError: the token is on another Project.
        """
        grant = self.allowed
        if self.path["projectKey"] != grant.project_key:
            raise AuthorizationError
        return grant

    @property
    def operator(self) -> OperatorGrant:
        """The grant of an endpoint that wants an operator's token."""
        if not isinstance(self.grant, OperatorGrant):
            raise TypeError(f"{self.endpoint.path} does not take the token of an operator")
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

AtHand = Callable[[Mapping[str, str]], Response | None]

Door = Callable[[Mapping[str, str], bytes], Awaitable[Grant | None]]

#: The type of a body: a struct, or a union of structs that a tag field tells apart.
BodyType = type[msgspec.Struct] | UnionType


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method on one path."""

    method: Method
    #: `/connectors/key={key}`: a segment is literal text with at most one parameter in it.
    path: str
    summary: str
    tag: str
    handler: Handler
    #: Any one of these suffices; None: no Project's token is asked for.
    permissions: frozenset[Permission] | None
    #: What the handler would answer to all who may ask, by the path's parameters, where that takes
    #: no wait. It is asked first, and spares what a handler needs; None: that is to be asked.
    at_hand: AtHand | None = None
    #: Another way in beside a Project's token: the grant of an Authorization header on this path,
    #: by the path's parameters; None where it is none of its kind.
    door: Door | None = None
    #: Whether an operator's token is asked for, and no other opens it. Without that, and without
    #: `permissions`, it is open to anyone.
    operators: bool = False
    description: str = ""
    #: The type of each path parameter.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    body: BodyType | None = None
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

    def __post_init__(self) -> None:
        """Refuse a declaration that leaves open whose token it takes."""
        if self.operators and self.permissions is not None:
            raise ValueError(f"{self.method} {self.path} is a Project's or an operator's, not both")
        if self.at_hand is not None and (self.permissions is None or self.query or self.body):
            raise ValueError(f"{self.path}: what is at hand is told by the path alone")

    @property
    def guarded(self) -> bool:
        """Whether a bearer token is asked for."""
        return self.operators or self.permissions is not None

    @property
    def bodies(self) -> tuple[type[msgspec.Struct], ...]:
        """The structs that the body can be."""
        if self.body is None:
            return ()
        return get_args(self.body) or (self.body,)


class Route:
    """A path template with the endpoints of its methods."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.endpoints: dict[str, Endpoint] = {}

    @property
    def methods(self) -> list[str]:
        """What `Allow` says: HEAD works wherever GET does."""
        return sorted(set(self.endpoints) | ({"HEAD"} if "GET" in self.endpoints else set()))


class Match(NamedTuple):
    """What a path and a method lead to."""

    route: Route
    endpoint: Endpoint
    #: The path's parameters by name.
    arguments: Mapping[str, str]
    #: What is wrong with an argument. It is told once the caller is known and allowed, not before.
    fault: InvalidPathParam | None


#: Matches that are kept: more than the Connectors that a node is asked for again and again.
_KEPT_MATCHES = 4_096
#: A longer path is not kept, so that the matches kept have a bounded size.
_KEPT_PATH_BYTES = 128


class _Place:
    """Where a path has got to, segment by segment."""

    __slots__ = ("literals", "parameters", "route")

    def __init__(self) -> None:
        self.literals: dict[str, _Place] = {}
        #: (what the segment begins with, name of the parameter, what it ends with, where it leads),
        #: longest first.
        self.parameters: list[tuple[str, str, str, _Place]] = []
        self.route: Route | None = None

    def following(self, segment: str) -> "_Place":
        """The place after a segment of a template, made where it is not there yet."""
        prefix, _, rest = segment.partition("{")
        name, _, suffix = rest.partition("}")
        if not name:
            return self.literals.setdefault(segment, _Place())
        for *known, place in self.parameters:
            if known == [prefix, name, suffix]:
                return place
        place = _Place()
        self.parameters.append((prefix, name, suffix, place))
        self.parameters.sort(key=lambda each: -len(each[0]) - len(each[2]))
        return place


class Router:
    """Finds the endpoint of a request.

    Paths are compared segment by segment: literal text comes before a parameter. What it takes
    does not grow with the number of endpoints. Paths that are asked for again and again are kept.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._root = _Place()
        self._checks = {id(endpoint): _argument_check(endpoint) for endpoint in endpoints}
        self._kept: dict[tuple[str, bytes], Match] = {}
        for endpoint in endpoints:
            place = self._root
            for segment in endpoint.path.split("/"):
                place = place.following(segment)
            if place.route is None:
                place.route = Route(endpoint.path)
            if endpoint.method in place.route.endpoints:
                raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice")
            place.route.endpoints[endpoint.method] = endpoint

    def find(self, method: str, raw_path: bytes) -> Match:
        """What answers a request.

        Raises:
            NoSuchPath: no endpoint has this path.
            MethodNotAllowed: some have, for other methods.
            InvalidPathParam: the path is not UTF-8, or has U+0000 in it.
        """
        kept = self._kept.get((method, raw_path))
        if kept is not None:
            return kept
        route, endpoint, arguments = self._walk(method, raw_path)
        match = Match(route, endpoint, arguments, self._checks[id(endpoint)](arguments))
        if match.fault is None and len(raw_path) <= _KEPT_PATH_BYTES:
            if len(self._kept) >= _KEPT_MATCHES:
                self._kept.clear()
            self._kept[method, raw_path] = match
        return match

    def _walk(self, method: str, raw_path: bytes) -> tuple[Route, Endpoint, dict[str, str]]:
        segments = _decoded(raw_path) if b"%" in raw_path else raw_path.decode("latin-1").split("/")
        arguments: dict[str, str] = {}
        place = self._root
        for segment in segments:
            following = place.literals.get(segment)
            if following is None:
                for prefix, name, suffix, behind in place.parameters:
                    if (
                        segment.startswith(prefix)
                        and segment.endswith(suffix)
                        and len(segment) > len(prefix) + len(suffix)
                    ):
                        arguments[name] = segment[len(prefix) : len(segment) - len(suffix)]
                        following = behind
                        break
                else:
                    raise NoSuchPath("/".join(segments))
            place = following
        route = place.route
        if route is None:
            raise NoSuchPath("/".join(segments))
        endpoint = route.endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            raise MethodNotAllowed(method, "/".join(segments), route.methods)
        return route, endpoint, arguments


def _argument_check(
    endpoint: Endpoint,
) -> Callable[[Mapping[str, str]], InvalidPathParam | None]:
    """A function that tells whether each path parameter is of its declared type.

    Its InvalidPathParam has a `detailedErrorMessage` that names the parameter and its value.
    """
    checks = []
    for name, declared in endpoint.parameters.items():
        schema = msgspec.inspect.type_info(declared)
        if isinstance(schema, msgspec.inspect.Metadata):
            schema = schema.type
        if not isinstance(schema, msgspec.inspect.StrType) or schema.pattern is None:
            raise TypeError(f"{endpoint.path}: the type of {name} is not a text with a pattern")
        checks.append((name, re.compile(schema.pattern).search, schema.pattern))

    def check(arguments: Mapping[str, str]) -> InvalidPathParam | None:
        for name, matches, pattern in checks:
            if not matches(arguments[name]):
                shown = pattern.replace(r"(?!\n)", "")
                return InvalidPathParam(f"{name}: '{arguments[name]}' does not match {shown}")
        return None

    return check


def _decoded(raw_path: bytes) -> list[str]:
    """The segments of a path; an escaped slash is part of one, not a border between two."""
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in raw_path.split(b"/")]
    except UnicodeDecodeError:
        raise InvalidPathParam("the path is not UTF-8, percent-encoded") from None
    if any("\0" in segment for segment in segments):
        raise InvalidPathParam("the path has the character U+0000 in it")
    return segments
