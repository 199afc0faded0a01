"""Request bodies: read within limits of size and time, then decoded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import inspect

from connectory.contract.decoding import DecodingError, decode_json
from connectory.contract.errors import (
    ApiErrors,
    InvalidJsonInput,
    InvalidRequest,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

FORM: Final = "application/x-www-form-urlencoded"


class ClientGone(Exception):
    """The client closed the connection before its body was whole; nobody waits for an answer."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, max_bytes: int, seconds: float
) -> bytes:
    """The request's body.

    Raises:
        PayloadTooLarge: it is longer than `max_bytes`.
        RequestTimeout: it did not arrive within `seconds`.
        UnsupportedMediaType: it is compressed.
        ClientGone: the client left.
    """
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding != b"identity":
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise PayloadTooLarge(f"The body has {int(length)} bytes; {max_bytes} are taken")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > max_bytes:
                    raise PayloadTooLarge(f"The body has more than the {max_bytes} bytes taken")
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {seconds:g} seconds") from None
    return b"".join(chunks)


def check_content_type(headers: Mapping[bytes, bytes], expected: str) -> None:
    """Refuse a body that says it is of another type; one that says nothing is taken.

    Raises:
        UnsupportedMediaType: Content-Type is not `expected`, or has a charset other than UTF-8.
    """
    given = headers.get(b"content-type")
    if given is None:
        return
    media, _, parameters = given.decode("latin-1").lower().partition(";")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(' "')
    if media.strip() != expected or charset not in ("", "utf-8", "us-ascii"):
        raise UnsupportedMediaType(f"Send the body as {expected} in UTF-8")


def json_decoder(kind: Any) -> Callable[[bytes], Any]:
    """A function that decodes a JSON body: a struct, or a union of structs.

    It raises InvalidJsonInput with the fault's path.
    """
    decoder = msgspec.json.Decoder(kind)

    def decode(body: bytes) -> Any:
        try:
            return decode_json(body, decoder)
        except DecodingError as fault:
            raise InvalidJsonInput(str(fault)) from None

    return decode


def form_decoder(struct: type[msgspec.Struct]) -> Callable[[bytes], msgspec.Struct]:
    """A function that decodes a form of an OAuth endpoint into a struct of texts.

    It raises InvalidRequest for every parameter that is repeated, missing or not UTF-8 (RFC 6749
    §3.2); an empty one counts as left out, and unknown ones are ignored.
    """
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is not a struct")
    names = {field.encode_name: field.name for field in info.fields}
    required = [field.encode_name for field in info.fields if field.required]

    def decode(body: bytes) -> msgspec.Struct:
        faults: list[str] = []
        values: dict[str, str] = {}
        for piece in filter(None, body.split(b"&")):
            name, _, raw = piece.replace(b"+", b" ").partition(b"=")
            try:
                parameter, value = unquote_to_bytes(name).decode(), unquote_to_bytes(raw).decode()
            except UnicodeDecodeError:
                faults.append("The form is not UTF-8, percent-encoded")
                continue
            if parameter not in names or not value:
                continue
            if names[parameter] in values:
                faults.append(f"The parameter {parameter} is given more than once")
            elif "\0" in value:
                faults.append(f"The parameter {parameter} has the character U+0000 in it")
            values[names[parameter]] = value
        faults += [
            f"The parameter {name} is missing" for name in required if names[name] not in values
        ]
        if faults:
            raise ApiErrors([InvalidRequest(fault) for fault in faults])
        return struct(**values)

    return decode
