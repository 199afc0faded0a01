"""The head of a request: read once, and written anew for the application."""

from collections.abc import Callable, Sequence

from connectory.gateway.faults import NO_CONNECT, Fault, malformed
from connectory.http.proxies import Network, client_address, is_trusted

Header = tuple[bytes, bytes]

#: Headers that concern one connection (RFC 9110 §7.6.1), and those that only we may set.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_FORWARDED = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    )
)
_READ = HOP_BY_HOP | _FORWARDED | {b"host", b"content-length", b"user-agent", b"x-correlation-id"}
_USUAL = frozenset((b"close", b"keep-alive", b"upgrade", b""))

_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_LENGTH = b"Content-Length: %b\r\n\r\n"

_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
#: A body of up to this many bytes is kept until the answer begins, to be sent again if need be.
KEPT_BYTES = 64 * 2**10


class Client:
    """Who is at the other end of a connection, and whose word is taken for it."""

    __slots__ = ("address", "trusted")

    def __init__(self, address: str, proxies: Sequence[Network]) -> None:
        self.address = address
        self.trusted: Sequence[Network] = (
            proxies if proxies and is_trusted(address, proxies) else ()
        )


class Request:
    """One request. Its body comes afterwards, in `pending` until somebody takes it."""

    __slots__ = ("began", "chunked", "complete", "correlation_id", "ended", "expects_body", "fault",
                 "forwarded", "headers", "host", "keep_alive", "kept", "length", "method",
                 "pending", "received", "remote_ip", "scheme", "target", "upgrade",
                 "user_agent", "version")  # fmt: skip

    def __init__(self, method: bytes, target: bytes, version: str, began: float) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.began = began
        self.fault: Fault | None = None
        #: Those that are passed on as they are.
        self.headers: list[bytes] = []
        self.forwarded = b""
        self.host = self.user_agent = self.correlation_id = b""
        self.scheme, self.remote_ip = b"http", ""
        self.length = b""
        self.chunked = self.expects_body = self.complete = self.ended = False
        self.keep_alive = True
        #: What the caller would switch to; empty where it would not.
        self.upgrade = b""
        self.pending: list[bytes] = []
        self.received = 0
        #: All of the body so far, while it may have to be sent again; None where it may not.
        self.kept: list[bytes] | None = [] if method in _IDEMPOTENT else None

    def read(
        self, headers: Sequence[Header], client: Client, choose: Callable[[bytes | None], bytes]
    ) -> None:
        """Take what the headers say; a fault that they have is in `fault`."""
        passed, forwarded, nominated = self.headers, [], b""
        hosts = 0
        sent_id: bytes | None = None
        for header in headers:
            name, value = header
            key = name.lower()
            if key not in _READ:
                passed.append(b"%b: %b\r\n" % header)
            elif key == b"host":
                hosts += 1
                self.host = value
            elif key == b"user-agent":
                self.user_agent = value
                passed.append(b"%b: %b\r\n" % header)
            elif key == b"content-length":
                self.length = value
            elif key == b"transfer-encoding":
                self.chunked = True
                if value.lower() != b"chunked":
                    self.fault = Fault(
                        501, "NotImplemented", "Only the transfer coding chunked is understood"
                    )
            elif key == b"connection":
                nominated += b"," + value.lower()
            elif key == b"upgrade":
                self.upgrade = value
            elif key == b"x-correlation-id":
                sent_id = value
            elif key in _FORWARDED and client.trusted:
                forwarded.append((key, value))
        self.correlation_id = choose(sent_id)
        self.expects_body = self.chunked or self.length not in (b"", b"0")
        if hosts != 1 and (self.version != "1.0" or hosts):
            self.fault = malformed("it needs one Host header")
        self._read_connection(nominated)
        self._read_target()
        self._read_forwarded(forwarded, client)

    def _read_connection(self, nominated: bytes) -> None:
        tokens = {token.strip() for token in nominated.split(b",")} if nominated else set()
        if b"upgrade" not in tokens or self.expects_body or self.upgrade.lower() == b"h2c":
            self.upgrade = b""  # as for one that knows no such protocol (RFC 9110 §7.8)
        extra = tokens - _USUAL
        if extra:
            self.headers = [
                line for line in self.headers if line.partition(b":")[0].lower() not in extra
            ]

    def _read_target(self) -> None:
        if self.version not in ("1.1", "1.0"):
            self.fault = malformed(f"HTTP/{self.version} is not spoken here")
        elif self.method == b"CONNECT":
            self.fault = NO_CONNECT
        elif not self.target.startswith(b"/") and self.target != b"*":
            scheme, separator, rest = self.target.partition(b"://")
            if separator and scheme.lower() in (b"http", b"https"):  # RFC 9112 §3.2.2
                authority, slash, path = rest.partition(b"/")
                self.host, self.target = authority, slash + path or b"/"
            else:
                self.fault = malformed("its target is neither a path nor an address")

    def _read_forwarded(self, forwarded: Sequence[Header], client: Client) -> None:
        """X-Forwarded-For, -Proto and -Host: the truth, or what a trusted proxy says it is."""
        self.remote_ip, host, chain = client.address, self.host, client.address.encode()
        if forwarded:
            said: dict[bytes, bytes] = {}
            for key, value in forwarded:
                said[key] = said[key] + b", " + value if key in said else value
            scope = {"client": (client.address,), "headers": list(said.items())}
            self.remote_ip = client_address(scope, client.trusted)
            if b"x-forwarded-for" in said:
                chain = said[b"x-forwarded-for"] + b", " + chain
            scheme = said.get(b"x-forwarded-proto", b"").rpartition(b",")[2].strip().lower()
            if scheme in (b"http", b"https"):
                self.scheme = scheme
            host = said.get(b"x-forwarded-host", b"").rpartition(b",")[2].strip() or host
        self.forwarded = (
            b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"
            % (chain, self.scheme, host)
        )

    def head(self) -> bytes:
        """The head as the application gets it."""
        framing = b"\r\n"
        if self.chunked:
            framing = _CHUNKED
        elif self.length:
            framing = _LENGTH % self.length
        if self.upgrade:
            framing = b"Connection: Upgrade\r\nUpgrade: %b\r\n%b" % (self.upgrade, framing)
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%bX-Correlation-ID: %b\r\n%b" % (
            self.method,
            self.target,
            self.host,
            b"".join(self.headers),
            self.forwarded,
            self.correlation_id,
            framing,
        )

    def framing(self) -> bytes:
        """A head that says no more than how the body is framed."""
        return b"POST / HTTP/1.1\r\n" + (_CHUNKED if self.chunked else _LENGTH % self.length)

    def add(self, data: bytes) -> None:
        """Take a piece of the body, until somebody takes it from `pending`."""
        self.received += len(data)
        self.pending.append(data)
        if self.kept is not None:
            if self.received > KEPT_BYTES:
                self.kept = None
            else:
                self.kept.append(data)

    def take(self) -> bytes:
        """What there is of the body and was not taken before, framed for the application."""
        data = b"".join(self.pending)
        self.pending.clear()
        if not self.chunked:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self.complete and not self.ended:
            self.ended = True
            framed += b"0\r\n\r\n"
        return framed

    def again(self) -> bool:
        """Have the body ready to be sent once more; whether that can be."""
        if self.kept is None:
            return False
        self.pending, self.ended = list(self.kept), False
        return True

    @property
    def url(self) -> str:
        """As the caller spelled it."""
        return (self.scheme + b"://" + self.host + self.target).decode("latin-1")
