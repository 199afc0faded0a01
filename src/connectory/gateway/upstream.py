"""Connections to applications: kept open between requests, one request at a time on each."""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from connectory.gateway.requests import Header

Address = tuple[str, int]

#: How long a connection that is not used stays open where the application does not say. Node ends
#: its side after 5 seconds.
IDLE_SECONDS = 4.0
_MOST_IDLE_SECONDS = 60.0
#: The largest head of an answer.
HEAD_BYTES = 256 * 2**10
_SWITCHING = 101
_SUCCESS = 200


class Answered(Protocol):
    """Who hears of the answer to a request."""

    #: Whether the answer has no body, whatever its head says.
    headless: bool

    def interim(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """A status of 1xx; the bytes that are passed on."""

    def head(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """The head; the bytes that are passed on."""

    def body(self, data: bytes) -> bytes:
        """A piece of the body; the bytes that are passed on."""

    def deliver(self, data: bytes) -> None:
        """Pass bytes on."""

    def answered(self) -> None:
        """The answer is whole."""

    def switched(self, rest: bytes) -> None:
        """The head was one of status 101; from now on `deliver` gets raw bytes."""

    def lost(self, why: str, *, unheard: bool = False, reused: bool = False) -> None:
        """The connection ended before the answer did.

        `unheard`: not a byte of it came. `reused`: the connection had been used before.
        """

    def upstream_full(self, *, full: bool) -> None:
        """The application takes nothing for now, or does again."""


class Upstream(asyncio.Protocol):
    """One connection to an application."""

    def __init__(self, pool: "Pool", address: Address) -> None:
        self.address = address
        self.used_at = 0.0
        self.idle_seconds = IDLE_SECONDS
        self.transport: asyncio.Transport | None = None
        self._pool = pool
        self._for: Answered | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._out: list[bytes] = []
        self._headers: list[Header] = []
        self._reason = b""
        self._head_bytes = 0
        self._reused = self._heard = self._complete = self._unsound = False
        self._interim = self._in_head = self._to_the_end = self._tunnel = self._keeps = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast("asyncio.Transport", transport)

    def begin(self, answered: Answered, data: bytes) -> None:
        """Send the head of a request, and what there is of its body."""
        self._for = answered
        self._complete = self._heard = self._to_the_end = False
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send more."""
        if self.transport is not None and data:
            self.transport.write(data)

    def end_of_writing(self) -> None:
        """Nothing more will be sent through a tunnel."""
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return (
            self._keeps
            and not self._unsound
            and self.transport is not None
            and not self.transport.is_closing()
        )

    def let_go(self, *, keep: bool) -> None:
        """The request is over: into the pool with it, or closed."""
        self._for = None
        self.resume()
        if keep and self.usable:
            self._reused = True
            self._pool.put(self)
        else:
            self.close()

    def close(self) -> None:
        """End it."""
        self._for = None
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        """Read nothing for now."""
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The application is slower than what is sent to it."""
        if self._for is not None:
            self._for.upstream_full(full=True)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._for is not None:
            self._for.upstream_full(full=False)

    def data_received(self, data: bytes) -> None:
        """Read an answer, and pass it on as it comes."""
        answered = self._for
        if answered is None:
            self._unsound = True  # nobody asked
            self._pool.drop(self)
            self.close()
            return
        if self._tunnel:
            answered.deliver(data)
            return
        self._heard = True
        switched: bytes | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            switched = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._unsound = True
            if not self._complete:
                self._flush(answered)
                self._fail(f"The application's answer is not valid HTTP: {_cause(error)}")
                return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._fail("The head of the application's answer is too large")
                return
        self._flush(answered)
        if switched is not None:
            self._tunnel, self._keeps = True, False
            answered.switched(switched)
        elif self._complete and self._for is answered:
            answered.answered()

    def eof_received(self) -> bool:
        """An answer without a length ends here; a tunnel does, too."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits for an answer."""
        self.transport = None
        self._pool.drop(self)
        answered, self._for = self._for, None
        if answered is None:
            return
        if self._to_the_end and error is None:
            self._keeps = False
            answered.answered()
        elif self._tunnel:
            answered.answered()
        elif self._heard:
            answered.lost("The application ended the connection in the midst of its answer")
        else:
            answered.lost(
                "The application ended the connection without an answer",
                unheard=True,
                reused=self._reused,
            )

    def _flush(self, answered: Answered) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            answered.deliver(data)

    def _fail(self, why: str) -> None:
        answered = self._for
        self.close()
        if answered is not None:
            answered.lost(why)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._complete:
            self._unsound = True  # nobody asked for another
        self._headers, self._reason = [], b""
        self._in_head, self._head_bytes = True, 0

    def on_status(self, reason: bytes) -> None:
        """The words of the status; in pieces, perhaps."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self._in_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        answered = self._for
        if self._unsound or answered is None:
            return
        status = self._parser.get_status_code()
        self._interim = status < _SUCCESS and status != _SWITCHING
        if self._interim:
            self._out.append(answered.interim(status, self._reason, self._headers))
            return
        self._keeps = self._parser.should_keep_alive()
        self._out.append(answered.head(status, self._reason, self._headers))
        if answered.headless:
            self._complete = self._keeps = True
            self._keeps = b"close" not in _connection(self._headers)
            # The parser would wait for the body that the head speaks of.
            self._parser = httptools.HttpResponseParser(self)
        else:
            self._to_the_end = not self._keeps and not _is_framed(self._headers)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._complete or self._for is None:
            self._unsound = True
            return
        self._out.append(self._for.body(data))

    def on_message_complete(self) -> None:
        """The answer is whole, or an interim one is."""
        if not self._interim and not self._in_head:
            self._complete = True


class Pool:
    """Open connections that no request uses, newest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._idle: dict[Address, deque[Upstream]] = {}

    def take(self, address: Address, *, rested: float = 0.0) -> Upstream | None:
        """A connection to an address that is open and was used not long ago.

        One that has `rested` for so many seconds has shown that its last answer was the only one.
        """
        idle = self._idle.get(address)
        now = self._clock()
        if rested:
            while idle and now - idle[0].used_at >= rested:
                upstream = idle.popleft()
                if upstream.usable and now - upstream.used_at < upstream.idle_seconds:
                    return upstream
                upstream.close()
            return None
        while idle:
            upstream = idle.pop()
            if upstream.usable and now - upstream.used_at < upstream.idle_seconds:
                return upstream
            upstream.close()
        return None

    def put(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        upstream.used_at = self._clock()
        idle = self._idle.get(upstream.address)
        if idle is None:
            idle = self._idle[upstream.address] = deque()
        idle.append(upstream)

    def drop(self, upstream: Upstream) -> None:
        """Forget a connection that has ended."""
        idle = self._idle.get(upstream.address)
        if idle is not None and upstream in idle:
            idle.remove(upstream)

    def sweep(self) -> None:
        """Close what was not used for long."""
        now = self._clock()
        for address, idle in list(self._idle.items()):
            while idle and now - idle[0].used_at >= idle[0].idle_seconds:
                idle.popleft().close()
            if not idle:
                del self._idle[address]

    def close(self) -> None:
        """Close all."""
        for idle in self._idle.values():
            for upstream in list(idle):
                upstream.close()
        self._idle.clear()


@functools.lru_cache(256)
def idle_seconds(value: bytes) -> float:
    """How long a connection may be idle, by an answer's Keep-Alive header; a second less."""
    for part in value.split(b","):
        name, _, number = part.partition(b"=")
        if name.strip().lower() == b"timeout" and number.strip().isdigit():
            return max(min(float(number) - 1, _MOST_IDLE_SECONDS), 0.5)
    return IDLE_SECONDS


def _is_framed(headers: list[Header]) -> bool:
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)


def _connection(headers: list[Header]) -> bytes:
    return b",".join(value.lower() for name, value in headers if name.lower() == b"connection")


def _cause(error: BaseException) -> str:
    cause = error.__context__ or error
    return str(cause) or type(cause).__name__
