"""What the gateway answers itself: the body of every error of the API, for other reasons."""

from dataclasses import dataclass

import msgspec

_REASONS = {
    200: b"OK",
    206: b"Partial Content",
    301: b"Moved Permanently",
    304: b"Not Modified",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    416: b"Range Not Satisfiable",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


@dataclass(frozen=True)
class Fault:
    """An answer of the gateway's own."""

    status: int
    code: str
    message: str


def malformed(why: str) -> Fault:
    """The request is not one of HTTP/1.1, or could be read in two ways."""
    return Fault(400, "InvalidRequest", f"The request is not valid HTTP: {why}")


HEAD_TOO_LARGE = Fault(431, "RequestHeadersTooLarge", "The head of the request is too large")
HEAD_TOO_SLOW = Fault(408, "RequestTimeout", "The head of the request took too long")
NO_CONNECT = Fault(501, "NotImplemented", "CONNECT is not supported")
NO_APPLICATION = Fault(404, "ResourceNotFound", "There is no application at this address")
NOT_YET = Fault(503, "ServiceUnavailable", "The application is not ready here yet; try again")
STOPPING = Fault(503, "ServiceUnavailable", "The server is shutting down; try again")
BUSY = Fault(503, "ServiceUnavailable", "The application has as many requests as it may; try again")


def failed(message: str) -> Fault:
    """The application did not answer, or not with HTTP."""
    return Fault(502, "BadGateway", message)


def too_slow(seconds: float) -> Fault:
    """The application did not answer in time."""
    return Fault(
        504, "GatewayTimeout", f"The application did not answer within {seconds:g} seconds"
    )


def body_of(fault: Fault, correlation_id: bytes) -> bytes:
    """The contract's error body, with the correlation id."""
    return msgspec.json.encode(
        {
            "statusCode": fault.status,
            "message": fault.message,
            "errors": [
                {
                    "code": fault.code,
                    "message": fault.message,
                    "correlationId": correlation_id.decode(),
                }
            ],
        }
    )


def status_line(status: int, reason: bytes = b"") -> bytes:
    """The first line of an answer."""
    return b"HTTP/1.1 %d %b\r\n" % (status, reason or _REASONS.get(status, b""))
