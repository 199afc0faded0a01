"""A caller's connection: reads requests, has them answered one after the other, in their order."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from connectory.gateway import faults
from connectory.gateway.call import Call
from connectory.gateway.faults import Fault, body_of, status_line
from connectory.gateway.model import Exchange
from connectory.gateway.refusal import NOBODY, Answering, Refusal
from connectory.gateway.requests import Client, Header, Request
from connectory.gateway.static import Serving

if TYPE_CHECKING:
    from connectory.gateway.server import Gateway

#: Requests that wait on a connection for those before them; more are not read.
_PIPELINED = 16
_LINGER_SECONDS = 2.0


class Connection(asyncio.Protocol):
    """One connection of a caller; `application_id` where only one application answers on it."""

    def __init__(self, gateway: "Gateway", application_id: str = "") -> None:
        self.transport: asyncio.Transport | None = None
        #: Whether the caller takes nothing for now.
        self.full = False
        self._gateway = gateway
        self._application_id = application_id
        self._client = Client("", ())
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        #: What came after a request that asks for another protocol.
        self._held: list[bytes] = []
        self._target = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._reading: Request | None = None  #: The request whose body is being read.
        self._waiting: deque[Request] = deque()
        self._answering: Answering | None = None
        self._tunnel: Call | None = None
        self._fault: Fault | None = None
        self._begun = False  #: Whether a head has begun and has not ended.
        self._priming = False  #: Whether a parser is told of a body whose head another has read.
        self._advancing = self._last = self._paused = self._held_back = False
        self._since = 0.0  #: When it became idle, or the head of a request began.
        self._lingers_until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        peer = cast("asyncio.Transport", transport).get_extra_info("peername")
        self._client = Client(str(peer[0]) if peer else "", self._gateway.trusted_proxies)
        self._since = self._gateway.clock()
        self._gateway.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The caller has gone."""
        self.transport = None
        self._gateway.connections.discard(self)
        self._waiting.clear()
        self._last = True
        if self._answering is not None:
            self._answering.abandon()

    def data_received(self, data: bytes) -> None:
        """Read requests, or pass bytes through a tunnel."""
        if self._tunnel is not None:
            self._tunnel.through(data)
        elif self._lingers_until:
            return
        elif self._parser is None:
            self._held.append(data)
            self._pause_or_resume()
        else:
            self._feed(self._parser, data)
            self._advance()

    def eof_received(self) -> bool:
        """The caller has gone: who sends no more is taken to read no more, as by other proxies.

        A tunnel may be closed on one side only.
        """
        if self._tunnel is not None:
            self._tunnel.through_ended()
            return True
        if self._answering is not None:
            self._answering.abandon()
        return False

    def pause_writing(self) -> None:
        """The caller takes nothing for now."""
        self.full = True
        if self._answering is not None:
            self._answering.pause()

    def resume_writing(self) -> None:
        """The caller takes again."""
        self.full = False
        if self._answering is not None:
            self._answering.resume()

    # For what answers.

    def write(self, data: bytes) -> None:
        """Send to the caller, if it is there."""
        if self.transport is not None and data:
            self.transport.write(data)

    def answer(self, request: Request, fault: Fault) -> int:
        """Answer with a fault; the bytes of the body."""
        body = body_of(fault, request.correlation_id)
        if not request.complete:
            request.keep_alive = False
        self.write(
            b"%bContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
            b"X-Correlation-ID: %b\r\n%b%b\r\n%b"
            % (
                status_line(fault.status),
                len(body),
                request.correlation_id,
                b"Retry-After: 1\r\n" if fault.status == 503 else b"",  # noqa: PLR2004
                b"" if request.keep_alive else b"Connection: close\r\n",
                b"" if request.method == b"HEAD" else body,
            )
        )
        return len(body)

    def hold(self, *, full: bool) -> None:
        """Read nothing of the caller for now, or read again."""
        self._held_back = full
        self._pause_or_resume()

    def tunnel(self) -> None:
        """Pass on raw bytes from now on, both ways."""
        if isinstance(self._answering, Call):
            self._tunnel = self._answering
            for data in self._held:
                self._tunnel.through(data)
            self._held.clear()
            self._pause_or_resume()

    def over(self, answering: Answering, *, broken: bool, cut: bool) -> None:
        """A request was answered, as far as it was.

        `broken`: nothing can follow on this connection. `cut`: only the connection's end would
        tell the caller that the answer is whole.
        """
        self._answering, request = None, answering.request
        now = self._since = self._gateway.clock()
        self._tell(answering, now)
        if self.transport is None:
            return
        if broken and cut:
            self.transport.abort()
        elif broken:
            self._last = True
            self.transport.close()
        elif not request.complete:
            self._linger(now)
        elif not request.keep_alive or self._gateway.closing or (self._last and not self._waiting):
            self._last = True
            self.transport.close()
        else:
            self._read_on()
            self._advance()

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        gateway = self._gateway
        if self._lingers_until:
            if now >= self._lingers_until and self.transport is not None:
                self.transport.abort()
        elif self._answering is not None:
            if now - self._answering.request.began >= gateway.request_seconds:
                self._answering.expire(gateway.request_seconds)
        elif self._head_bytes:
            if now - self._since >= gateway.head_seconds:
                self._refuse(faults.HEAD_TOO_SLOW)
                self._advance()
        elif now - self._since >= gateway.idle_seconds:
            self.close()

    def close(self) -> None:
        """End it where nothing is under way; otherwise with the answer that is."""
        self._last = True
        if self._answering is None and self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    # What goes on inside.

    def _feed(self, parser: httptools.HttpRequestParser, data: bytes) -> None:
        if not self._head_bytes and self._reading is None and self._answering is None:
            self._since = self._gateway.clock()
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stop_reading(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__ or error
            self._refuse(self._fault or faults.malformed(str(cause) or type(cause).__name__))
        else:
            in_head = self._reading is None or self._reading.complete
            self._head_bytes = self._head_bytes + len(data) if in_head and self._begun else 0
            if self._head_bytes > self._gateway.head_bytes:
                self._refuse(faults.HEAD_TOO_LARGE)
        if self._answering is not None and self._answering.request is self._reading:
            self._answering.more()

    def _stop_reading(self, rest: bytes) -> None:
        """Another protocol may follow; what follows is kept until the answer says so."""
        request = self._reading
        self._parser = None
        if rest:
            self._held.append(rest)
        if request is not None and not request.upgrade and request.fault is None:
            self._parser = httptools.HttpRequestParser(self)
            if request.expects_body:  # which the first parser took for the other protocol
                request.complete, self._priming = False, True
                self._parser.feed_data(request.framing())
                self._priming = False
            self._feed_held(self._parser)
        self._pause_or_resume()

    def _read_on(self) -> None:
        """Read what was kept as requests, where no other protocol came of it."""
        if self._parser is None and not self._last:
            self._parser = httptools.HttpRequestParser(self)
            self._feed_held(self._parser)
        self._pause_or_resume()

    def _feed_held(self, parser: httptools.HttpRequestParser) -> None:
        held, self._held = b"".join(self._held), []
        if held:
            self._feed(parser, held)

    def _refuse(self, fault: Fault) -> None:
        """Read no more; answer with a fault, after the answers that are due before."""
        self._last, self._head_bytes, self._parser = True, 0, None
        reading, self._begun = self._reading, False
        if reading is not None and not reading.complete:
            reading.fault, reading.keep_alive = fault, False
            if self._answering is not None and self._answering.request is reading:
                self._answering.fail(fault)
            return
        request = Request(b"?", b"", "1.1", self._gateway.clock())
        request.correlation_id = self._gateway.choose(None)
        request.fault, request.keep_alive = fault, False
        self._waiting.append(request)

    def _advance(self) -> None:
        """Answer the next requests, as far as they can be answered at once."""
        if self._advancing:
            return
        self._advancing = True
        while self._answering is None and self._waiting and self.transport is not None:
            if self.transport.is_closing():
                break
            request = self._waiting.popleft()
            if request.fault is None:
                self._start(request)
            else:
                request.keep_alive = False
                self.answer(request, request.fault)
                self._linger(self._gateway.clock())
        self._advancing = False
        self._pause_or_resume()

    def _start(self, request: Request) -> None:
        route = self._gateway.find(self._application_id, request.host)
        answering: Answering
        if route is None or self._gateway.closing or self._gateway.is_busy(route):
            fault = faults.NO_APPLICATION
            if route is not None:
                fault = faults.STOPPING if self._gateway.closing else faults.BUSY
            answering = Refusal(self, route or NOBODY, request, fault)
        elif route.static is None:
            answering = Call(self._gateway, self, route, request)
        else:
            answering = Serving(self._gateway, self, route, request)
        self._answering = answering
        self._gateway.began(answering.route)
        answering.start()

    def _tell(self, answering: Answering, now: float) -> None:
        request, route = answering.request, answering.route
        self._gateway.ended(route)
        if route is NOBODY:
            return
        self._gateway.tell(
            Exchange(
                route=route,
                method=request.method.decode(),
                url=request.url,
                status=answering.status,
                user_agent=request.user_agent.decode("latin-1"),
                seconds=now - request.began,
                request_bytes=request.received,
                response_bytes=answering.response_bytes,
                correlation_id=request.correlation_id.decode(),
                remote_ip=request.remote_ip,
            )
        )

    def _linger(self, now: float) -> None:
        """Let the caller read the answer while it still sends, then end."""
        self._last, self._parser = True, None
        self._waiting.clear()
        if self.transport is not None and not self.transport.is_closing():
            self._lingers_until = now + _LINGER_SECONDS
            self._held_back = False
            self._pause_or_resume()
            if self.transport.can_write_eof():
                self.transport.write_eof()

    def _pause_or_resume(self) -> None:
        pause = not self._lingers_until and (
            self._held_back
            or len(self._waiting) > _PIPELINED
            or (bool(self._held) and self._tunnel is None)
        )
        transport = self.transport
        if pause != self._paused and transport is not None and not transport.is_closing():
            self._paused = pause
            if pause:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._priming:
            self._target, self._headers, self._begun = b"", [], True

    def on_url(self, target: bytes) -> None:
        """The target; in pieces, perhaps."""
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is left out (RFC 9110 §6.5.1)."""
        if self._begun:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = self._parser
        if parser is None or self._priming:
            return
        self._begun = False
        gateway = self._gateway
        request = Request(
            parser.get_method(), self._target, parser.get_http_version(), gateway.clock()
        )
        request.read(self._headers, self._client, gateway.choose)
        request.keep_alive = parser.should_keep_alive()
        size = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
        if size > gateway.head_bytes:  # it came at once
            request.fault = faults.HEAD_TOO_LARGE
        if request.version == "1.0" and not request.keep_alive:
            self._last = True
        self._reading = request
        self._waiting.append(request)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._reading is not None:
            self._reading.add(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._reading is not None:
            self._reading.complete = True
