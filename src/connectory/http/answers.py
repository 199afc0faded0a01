"""Answers: what goes back, encoded; errors in the contract's one body."""

import gzip
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from connectory.contract.errors import ApiError, ApiErrors, OAuthError

HeaderList = list[tuple[bytes, bytes]]

#: Below this a compressed answer is hardly smaller, and costs both sides time.
GZIP_MINIMUM_BYTES = 1_024
_GZIP_LEVEL = 5

_encoder = msgspec.json.Encoder()


_JSON = (b"content-type", b"application/json; charset=utf-8")
_VARY = (b"vary", b"accept-encoding")


class Response:
    """A status, a body, and headers: all but the ones that every answer gets.

    One that is kept and sent many times, such as an encoded Connector, keeps its compressed body.
    """

    __slots__ = ("_gzipped", "body", "etag", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes | None = None,
        etag: bytes | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.body = body
        #: A weak entity tag: the same for the plain and the compressed body.
        self.etag = etag
        #: Without `content-length`, which the server software adds where there is one.
        self.headers: HeaderList = [
            _JSON if content_type is None else (b"content-type", content_type),
            *headers,
        ]
        if etag is not None:
            self.headers += [(b"etag", etag), _VARY]
        self._gzipped: Response | None = None

    def gzipped(self) -> "Response":
        """This answer with its body compressed; itself where that is not worth it."""
        if len(self.body) < GZIP_MINIMUM_BYTES:
            return self
        if self._gzipped is None:
            body = gzip.compress(self.body, _GZIP_LEVEL, mtime=0)
            answer = Response(self.status, body)
            answer.headers = [*self.headers, (b"content-encoding", b"gzip")]
            self._gzipped = answer
        return self._gzipped


def tag_of(body: bytes) -> bytes:
    """A weak entity tag of a body's bytes."""
    return b'W/"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'


def of_json(
    value: Any, status: int = 200, *, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Response:
    """An answer whose body is `value`, spelled as the API spells it."""
    return Response(status, _encoder.encode(value), headers=headers)


def of_error(error: ApiError | ApiErrors, *, oauth: bool = False) -> Response:
    """The contract's one error body, `{statusCode, message, errors: [{code, message, …}]}`.

    OAuth errors, and with `oauth` all, have `error` (and `error_description`) beside it.
    """
    errors = error.errors if isinstance(error, ApiErrors) else (error,)
    first = errors[0]
    body: dict[str, Any] = {
        "statusCode": first.status,
        "message": first.message,
        "errors": [each.as_object() for each in errors],
    }
    if oauth or isinstance(first, OAuthError):
        body["error"] = _oauth_code(first)
        if first.message != body["error"]:
            body["error_description"] = first.message
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in first.headers]
    if first.status >= 400:  # noqa: PLR2004 - every one is; no cache may keep it
        headers.append((b"cache-control", b"no-store"))
    return Response(first.status, _encoder.encode(body), headers=headers)


def _oauth_code(error: ApiError) -> str:
    """The code of RFC 6749 (§4.1.2.1 and §5.2) that says the most of an error."""
    if isinstance(error, OAuthError):
        return error.error
    if error.status in (429, 503):
        return "temporarily_unavailable"
    return "server_error" if error.status == 500 else "invalid_request"  # noqa: PLR2004
