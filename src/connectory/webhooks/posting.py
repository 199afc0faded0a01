"""One request to a receiver: to an address that was looked at, without redirects, and bounded."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

import httptools
from msgspec import Struct

from connectory import __version__
from connectory.webhooks.addresses import Target

#: So much of an answer is kept, and so much of it is read.
KEPT_BYTES: Final = 2_048
_READ_BYTES: Final = 65_536
_PIECE: Final = 8_192
_FIRST_FINAL: Final = 200
_REDIRECTS: Final = range(300, 400)


class Answer(Struct):
    """What became of a request.

    Attributes:
        status: The HTTP status; 0 where there was no answer.
        text: The first bytes of the answer's body; why there was none.
    """

    status: int = 0
    text: str = ""


class _Reading:
    """An answer while it comes in (what httptools calls)."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.kept = b""
        self.whole = False

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        self.status = status if status >= _FIRST_FINAL else 0

    def on_body(self, data: bytes) -> None:
        self.kept = (self.kept + data)[:KEPT_BYTES]

    def on_message_complete(self) -> None:
        self.whole = self.status != 0


async def post(
    target: Target,
    addresses: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
) -> Answer:
    """Make the request; what fails is an Answer too. Whoever calls it bounds the time.

    A status that has come counts also where the rest of the answer does not come.
    """
    reading = _Reading()
    why = ""
    try:
        reader, writer = await _connected(target, addresses, tls)
        try:
            writer.write(_head(target, headers, len(body)) + body)
            await writer.drain()
            why = await _read(reader, reading)
        finally:
            writer.transport.abort()
    except (OSError, EOFError, ValueError) as error:
        why = _reason(error)
    except asyncio.CancelledError:
        if not reading.status:
            raise
    if not reading.status:
        return Answer(text=why or "the receiver ended the connection without an answer")
    text = reading.kept.decode(errors="replace").replace("\0", "\ufffd")
    if reading.status in _REDIRECTS:
        text = "the receiver redirects, which is not followed: give the webhook its address"
    return Answer(status=reading.status, text=text)


async def _read(reader: asyncio.StreamReader, reading: _Reading) -> str:
    """Read an answer as far as it is wanted; what was amiss, or ""."""
    read = 0
    while read < _READ_BYTES and not reading.whole and len(reading.kept) < KEPT_BYTES:
        data = await reader.read(_PIECE)
        if not data:
            return ""
        read += len(data)
        try:
            reading.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return "the receiver's answer is not one of HTTP/1.1"
    return "" if reading.status else "the head of the receiver's answer has no end"


async def _connected(
    target: Target, addresses: Sequence[str], tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first of the addresses that takes one.

    Raises:
        OSError: none does, or the certificate is not the host's.
    """
    failure: OSError | None = None
    for each in addresses:
        try:
            return await asyncio.open_connection(
                each,
                target.port,
                ssl=tls if target.secure else None,
                server_hostname=target.host if target.secure else None,
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            failure = error
    raise failure or OSError("the host has no address")


def _head(target: Target, headers: Mapping[str, str], length: int) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: Connectory/{__version__}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "Accept: */*",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the receiver's certificate does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the receiver: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return "the receiver accepts no connection"
    return f"the receiver cannot be reached: {error}"
