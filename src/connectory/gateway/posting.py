"""Requests of our own to applications: messages to events, and the calls of jobs.

They go through the gateway's connections and wake what sleeps, like the requests of callers, and
stand in the application's log like those.
"""

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from connectory.gateway.model import Exchange, Route
from connectory.gateway.requests import Header
from connectory.gateway.upstream import Address, Upstream, idle_seconds
from connectory.runtime.model import StartFailed

if TYPE_CHECKING:
    from connectory.gateway.server import Gateway

#: So much of an answer is kept.
KEPT_BYTES = 2_048
#: Pauses before a connection is tried again that was not accepted: the process may have died
#: this moment, which the runtime notices when it has ended.
_PAUSES = (0.02, 0.1, 0.3)
_RETRIES = 3
#: A connection is used again after so long: an application that answers twice must not have its
#: second answer taken for that to another message, which would never be delivered.
_RESTED_SECONDS = 0.02
_PROCESSING = 102
_NO_ANSWER = 0


class Post(Struct, frozen=True, kw_only=True):
    """A POST to an application.

    Attributes:
        route: To whom.
        path: Path, with a slash in front.
        body: JSON.
        headers: More headers, each a line with its end.
        correlation_id: Sent, and logged.
        agent: The User-Agent.
        seconds: How long the answer may take once the application is awake.
        request_seconds: How long the application may go on with it when nobody waits any more.
        processing: Whether a 102 (Processing) is an answer.
    """

    route: Route
    path: str
    body: bytes
    headers: bytes = b""
    correlation_id: str
    agent: str
    seconds: float
    request_seconds: float = 0.0
    processing: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """What became of a POST.

    Attributes:
        status: The HTTP status; 0 where there was no answer.
        text: The first bytes of the answer's body; why there was none.
        seconds: How long it took, its waiting for the application to wake included.
    """

    status: int
    text: str
    seconds: float


async def post(gateway: "Gateway", asked: Post) -> Answer:
    """Make a request; what fails is an Answer too.

    One that may have reached an application is never made twice, but for one on a connection that
    was open before and ended without a byte, as HTTP has it.

    Raises:
        KeyError: there is no such application.
    """
    began = gateway.clock()
    status, data, why = await _Posting(gateway, asked).made()
    seconds = gateway.clock() - began
    gateway.tell(
        Exchange(
            route=asked.route,
            method="POST",
            url=asked.path,
            status=status,
            user_agent=asked.agent,
            seconds=seconds,
            request_bytes=len(asked.body),
            response_bytes=len(data),
            correlation_id=asked.correlation_id,
            remote_ip="",
        )
    )
    text = why or data[:KEPT_BYTES].decode(errors="replace").replace("\0", "\ufffd")
    return Answer(status=status, text=text, seconds=seconds)


class _Posting:
    """A request under way (`upstream.Answered`)."""

    __slots__ = ("_address", "_asked", "_done", "_gateway", "_goes_on", "_kept", "_left",
                 "_status", "_upstream", "headless")  # fmt: skip

    def __init__(self, gateway: "Gateway", asked: Post) -> None:
        self.headless = False
        self._gateway = gateway
        self._asked = asked
        self._upstream: Upstream | None = None
        self._address: Address = ("", 0)
        #: Ends a request that the application goes on with after nobody waits any more.
        self._goes_on: asyncio.TimerHandle | None = None
        self._left = False
        self._status = _NO_ANSWER
        self._kept = b""
        #: "" when the answer is whole, what was amiss, or None: it is to be tried once more.
        self._done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def made(self) -> tuple[int, bytes, str]:
        """The status, the first bytes of the body, and what was amiss."""
        runtime, id_ = self._gateway.runtime, self._asked.route.application_id
        for _ in range(_RETRIES):
            address = runtime.ready(id_)
            try:
                if address is None:
                    address = await runtime.address(id_)
            except StartFailed as why:
                return _NO_ANSWER, b"", f"the application did not start: {why.reason}"
            try:
                why_not = await self._sent(address)
            finally:
                if not self._left:
                    self._let_go(address)
            if why_not is not None:
                return self._status, self._kept, why_not
        return _NO_ANSWER, b"", "the application accepts no connection, or ends it at once"

    async def _sent(self, address: Address) -> str | None:
        """Send it, and wait; "" when the answer is whole, None: it is to be tried again."""
        upstream = self._gateway.pool.take(address, rested=_RESTED_SECONDS)
        try:
            if upstream is None:
                upstream = await self._connected(address)
        except OSError:
            return None
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        self._upstream = upstream
        self._address = address
        timer = loop.call_later(
            self._asked.seconds, self._leave, f"no answer within {self._asked.seconds:g} s"
        )
        try:
            upstream.begin(self, self._head() + self._asked.body)
            return await self._done
        finally:
            timer.cancel()

    async def _connected(self, address: Address) -> Upstream:
        for pause in _PAUSES:
            try:
                return await self._gateway.connect(address)
            except OSError:
                await asyncio.sleep(pause)
        return await self._gateway.connect(address)

    def _head(self) -> bytes:
        asked = self._asked
        return (
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\nAccept: */*\r\n"
            b"X-Correlation-ID: %b\r\n%b\r\n"
        ) % (
            asked.path.encode(),
            asked.agent.encode(),
            len(asked.body),
            asked.correlation_id.encode(),
            asked.headers,
        )

    def _end(self, why: str | None) -> None:
        if not self._done.done():
            self._done.set_result(why)

    def _leave(self, why: str) -> None:
        """Wait for the answer no more; the application may go on with the request for a while."""
        rest = self._asked.request_seconds - self._asked.seconds
        if rest > 0 and not self._done.done():
            self._left = True
            self._goes_on = asyncio.get_running_loop().call_later(rest, self._finish)
        self._end(why)

    def _finish(self) -> None:
        """The application went on with it, and has come to the end of that."""
        timer, self._goes_on = self._goes_on, None
        if timer is not None:
            timer.cancel()
            self._let_go(self._address)

    def _let_go(self, address: Address) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            done = self._done
            whole = done.done() and not done.cancelled() and done.result() == ""
            upstream.let_go(keep=whole)
        self._gateway.runtime.released(self._asked.route.application_id, address)

    # What the connection calls.

    def interim(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """A status of 1xx."""
        del reason, headers
        if status == _PROCESSING and self._asked.processing:
            self._status = status
            self._leave("the application goes on with it")
        return b""

    def head(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """The head."""
        del reason
        if self._left:
            return b""
        self._status = status
        if self._upstream is not None:
            for name, value in headers:
                if name.lower() == b"keep-alive":
                    self._upstream.idle_seconds = idle_seconds(value)
        return b""

    def body(self, data: bytes) -> bytes:
        """A piece of the body."""
        if len(self._kept) < KEPT_BYTES and not self._left:
            self._kept += data[:KEPT_BYTES]
        return b""

    def deliver(self, data: bytes) -> None:
        """Nobody reads on."""

    def answered(self) -> None:
        """The answer is whole."""
        self._end("")
        self._finish()

    def switched(self, rest: bytes) -> None:
        """Nobody asked for another protocol."""
        del rest
        self._end("the application switched protocols, which nobody asked for")

    def lost(self, why: str, *, unheard: bool = False, reused: bool = False) -> None:
        """The connection ended before the answer did."""
        self._upstream = None
        if unheard and reused:
            self._end(None)
        elif not self._left:
            self._status = _NO_ANSWER
            self._end(why)
        self._finish()

    def upstream_full(self, *, full: bool) -> None:
        """The body is small enough to wait in the transport."""
