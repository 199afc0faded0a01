"""What the commands share that speak HTTP: to this server or to any other of the contract.

The address and the API Client come from `CONNECTORY_API_URL`, `CONNECTORY_CLIENT_ID` and
`CONNECTORY_CLIENT_SECRET`. A secret has no option, so that it stands in no list of processes.
"""

import functools
import os
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, urlencode

import click
import msgspec
from msgspec import Struct

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "http://127.0.0.1:7070"
#: How long an answer may take, and how long a stream may be silent: it has a heartbeat.
ANSWER_SECONDS = 60.0
#: How long a stream that broke off is asked for again before it is given up.
RETRY_SECONDS = 60.0
_LARGEST_ERROR = 64 * 2**10
_LONGEST_LINE = 16 * 2**20
_UNAUTHORIZED = 401
_FIRST_ERROR = 400

Query = Mapping[str, str | int | Sequence[str] | None]


class ApiFault(Exception):
    """A server did not do what it was asked; the message is for people.

    Attributes:
        status: The HTTP status; 0: there was no answer.
        code: The first error's code, "" where the answer had none.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Event(Struct, frozen=True, kw_only=True):
    """A server-sent event: its name, its data (JSON, decoded), and its id or ""."""

    name: str
    data: Any
    id: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none: it would hand the token on to whatever host it is sent to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Api:
    """One server of the contract, as one API Client. It logs in when it is asked first."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, project_key: str | None = None
    ) -> None:
        """Take `http(s)://host[:port][/path]`, the credentials, and the Project.

        Without `project_key` it is the Project that the token's scope is on.
        """
        self._url = url.rstrip("/")
        self._credentials = (client_id, client_secret)
        self._project_key = project_key
        self._token: str | None = None
        self._opener = urllib.request.build_opener(_NoRedirect)

    @property
    def project_key(self) -> str:
        """The key of the Project that requests are about.

        Raises:
            ApiFault: the login failed, or its scope names no Project.
        """
        if self._project_key is None:
            self._login()
        if self._project_key is None:
            raise ApiFault("the token's scope names no Project: give one with --project")
        return self._project_key

    def path(self, *segments: str) -> str:
        """A path below the Project, as `/{projectKey}/deployments/key={key}`.

        A segment's `=` stays as it is, all else that a path cannot have is escaped.
        """
        return "/" + "/".join(quote(each, safe="=") for each in (self.project_key, *segments))

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON that a path answers with.

        Raises:
            ApiFault: the server cannot be reached, or answers with an error.
        """
        return self._json("GET", path, query, None)

    def post(self, path: str, body: Any) -> Any:
        """The same of a POST with a JSON body (see `get`)."""
        return self._json("POST", path, None, msgspec.json.encode(body))

    def delete(self, path: str, query: Query | None = None) -> Any:
        """The same of a DELETE (see `get`); None where the answer has no body."""
        return self._json("DELETE", path, query, None)

    def events(self, path: str, query: Query | None = None) -> Iterator[Event]:
        """The events of a stream, for as long as it lasts; one that breaks off is taken up again.

        Raises:
            ApiFault: the server refuses, or cannot be reached for `RETRY_SECONDS`.
        """
        last_id = ""
        silent_since: float | None = None
        while True:
            try:
                headers = {"Accept": "text/event-stream"}
                if last_id:
                    headers["Last-Event-ID"] = last_id
                with self._request("GET", path, query, None, headers) as answer:
                    for event in _events(answer):
                        silent_since = None
                        last_id = event.id or last_id
                        yield event
            except ApiFault as fault:
                if fault.status and fault.status < 500:  # noqa: PLR2004 - it would refuse again
                    raise
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > RETRY_SECONDS:
                    raise
            except (OSError, HTTPException, ValueError):
                silent_since = silent_since or time.monotonic()
            time.sleep(1)

    def _json(self, method: str, path: str, query: Query | None, body: bytes | None) -> Any:
        with self._request(method, path, query, body, {"Accept": "application/json"}) as answer:
            try:
                text = answer.read()
                return msgspec.json.decode(text) if text else None
            except (OSError, HTTPException, ValueError) as error:
                raise ApiFault(f"{self._url} gave an answer that cannot be read: {error}") from None

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> HTTPResponse:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self._url}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        sent = dict(headers) | ({"Content-Type": "application/json"} if body is not None else {})
        for last in (False, True):
            if self._token is None:
                self._login()
            sent["Authorization"] = f"Bearer {self._token}"
            try:
                return self._send(urllib.request.Request(target, body, sent, method=method))  # noqa: S310
            except ApiFault as fault:
                if last or fault.status != _UNAUTHORIZED:
                    raise
                self._token = None  # it has expired meanwhile
        raise AssertionError  # pragma: no cover - the second turn returns or raises

    def _login(self) -> None:
        """Get a token by client credentials; the id and the secret are form-encoded (RFC 6749)."""
        pair = ":".join(quote_plus(each) for each in self._credentials)
        request = urllib.request.Request(  # noqa: S310 - `_address` takes http and https
            f"{self._url}/oauth/token",
            b"grant_type=client_credentials",
            {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"},
        )
        with self._send(request) as answer:
            try:
                given = msgspec.json.decode(answer.read())
                self._token = str(given["access_token"])
                words = str(given.get("scope", "")).split()
            except (OSError, HTTPException, ValueError, TypeError, LookupError):
                raise ApiFault(f"{self._url} gave no token: is it a server of Connect?") from None
        if self._project_key is None:
            keys = {key for _, colon, key in (word.partition(":") for word in words) if colon}
            self._project_key = keys.pop() if len(keys) == 1 else None

    def _send(self, request: urllib.request.Request) -> HTTPResponse:
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _fault(error) from None
        except urllib.error.URLError as error:
            raise ApiFault(f"{self._url} cannot be reached: {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise ApiFault(f"{self._url} cannot be reached: {error}") from None
        return answer


def with_api(command: F) -> F:
    """Give a command `api`, from the environment, `--api-url` and `--project`."""

    @click.option("--api-url", help="Address of the server.  [env: CONNECTORY_API_URL]")
    @click.option(
        "--project",
        metavar="KEY",
        help="The Project; without it, the credentials'.  [env: CONNECTORY_PROJECT_KEY]",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, api_url: str | None, project: str | None, **kwargs: Any) -> Any:
        return command(*args, api=_from_environment(api_url, project), **kwargs)

    return wrapped  # type: ignore[return-value]


def _from_environment(api_url: str | None, project: str | None) -> Api:
    url = api_url or os.environ.get("CONNECTORY_API_URL") or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(
            f"the address of a server begins with http:// or https://, not {url!r}"
        )
    missing = [
        name
        for name in ("CONNECTORY_CLIENT_ID", "CONNECTORY_CLIENT_SECRET")
        if not os.environ.get(name)
    ]
    if missing:
        raise click.UsageError(
            f"{' and '.join(missing)} must be set to those of an API Client;"
            " `connectory client create` makes one"
        )
    return Api(
        url,
        os.environ["CONNECTORY_CLIENT_ID"],
        os.environ["CONNECTORY_CLIENT_SECRET"],
        project or os.environ.get("CONNECTORY_PROJECT_KEY") or None,
    )


def _fault(answer: urllib.error.HTTPError) -> ApiFault:
    """What an error answer says, in one sentence."""
    status = answer.code
    try:
        body = msgspec.json.decode(answer.read(_LARGEST_ERROR))
        errors = [each for each in body["errors"] if isinstance(each, dict)]
        said = "; ".join(map(_said, errors)) or str(body["message"])
        code = str(errors[0].get("code", "")) if errors else ""
    except (OSError, HTTPException, ValueError, TypeError, LookupError):
        return ApiFault(f"the server answered {status} {answer.reason}", status)
    return ApiFault(said, status, code)


def _said(error: Mapping[str, Any]) -> str:
    detailed = error.get("detailedErrorMessage")
    message = f"{error.get('code', 'error')}: {error.get('message', '')}"
    return f"{message} ({detailed})" if detailed else message


def _events(answer: HTTPResponse) -> Iterator[Event]:
    """The events of an answer (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    if answer.headers.get_content_type() != "text/event-stream":
        raise ApiFault("the server does not stream this: it is not Connectory", _FIRST_ERROR)
    name, identity, data = "", "", list[str]()
    while line := answer.readline(_LONGEST_LINE):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            identity = value
        elif field == "data":
            data.append(value)
        elif not text:
            if data:
                decoded = msgspec.json.decode("\n".join(data))
                yield Event(name=name or "message", data=decoded, id=identity)
            name, data = "", []
