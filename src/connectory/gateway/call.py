"""One request that is passed on: to a process that is awake, and its answer back, as it comes."""

import asyncio
from typing import TYPE_CHECKING

from connectory.gateway import faults
from connectory.gateway.faults import Fault, status_line
from connectory.gateway.model import Route
from connectory.gateway.requests import HOP_BY_HOP, Header, Request
from connectory.gateway.upstream import Address, Upstream, idle_seconds
from connectory.runtime.model import StartFailed

if TYPE_CHECKING:
    from connectory.gateway.connection import Connection
    from connectory.gateway.server import Gateway

#: How much of a body waits for the application before the caller's connection is read no more.
_WAITING_BYTES = 256 * 2**10
_CLIENT_GONE = 499
#: Within this time a process that is dying has closed its port.
_DYING_SECONDS = 0.1
_RETRIES = 2
_SWITCHING, _NO_CONTENT = 101, 204
_BODILESS = frozenset((204, 304))
_SPECIAL = HOP_BY_HOP | {b"content-length", b"x-correlation-id"}
#: The pauses after which an instance is asked for again, where the one that was given accepts no
#: connection: it may have died this moment, which the runtime notices when it has ended.
_PAUSES = (0.02, 0.1, 0.3, 1.0)


class Call:
    """A request to an application under way. It tells `connection` when it is over."""

    __slots__ = ("_address", "_chunked", "_closed_by_end", "_connection", "_full", "_gateway",
                 "_over", "_retries", "_sent_head", "_task", "_tunnel", "_upstream", "headless",
                 "request", "response_bytes", "route", "status")  # fmt: skip

    def __init__(
        self, gateway: "Gateway", connection: "Connection", route: Route, request: Request
    ) -> None:
        self.request = request
        self.route = route
        self.status = 0
        self.response_bytes = 0
        self.headless = request.method == b"HEAD"
        self._gateway = gateway
        self._connection = connection
        self._address: Address | None = None
        self._upstream: Upstream | None = None
        self._retries = 0
        self._task: asyncio.Task[None] | None = None
        self._sent_head = self._chunked = self._closed_by_end = False
        self._tunnel = self._over = self._full = False

    # From the connection.

    def start(self) -> None:
        """Pass the request on: at once where the application is awake and connected."""
        address = self._gateway.runtime.ready(self.route.application_id)
        if address is not None:
            self._address = address
            upstream = self._gateway.pool.take(address)
            if upstream is not None:
                self._begin(upstream)
                return
        self._task = asyncio.get_running_loop().create_task(self._reach())

    def more(self) -> None:
        """There is more of the request's body, or it is whole."""
        if self._upstream is not None:
            self._upstream.write(self.request.take())
        elif sum(map(len, self.request.pending)) > _WAITING_BYTES:
            self._hold(full=True)

    def through(self, data: bytes) -> None:
        """Bytes for the tunnel."""
        self.request.received += len(data)
        if self._upstream is not None:
            self._upstream.write(data)

    def through_ended(self) -> None:
        """The caller will send no more through the tunnel."""
        if self._upstream is not None:
            self._upstream.end_of_writing()

    def pause(self) -> None:
        """The caller takes nothing for now."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        """The caller takes again."""
        if self._upstream is not None:
            self._upstream.resume()

    def abandon(self) -> None:
        """The caller has gone: nobody is to be answered."""
        if not self._over:
            self.status = self.status or _CLIENT_GONE
            self._end(keep=False)

    def expire(self, seconds: float) -> None:
        """The time for a request is over."""
        self.fail(faults.too_slow(seconds))

    # From the application's connection.

    def interim(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """100 Continue and its like are passed on to those who understand them."""
        if self.request.version == "1.0":
            return b""
        lines = [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in _SPECIAL]
        return status_line(status, reason) + b"".join(lines) + b"\r\n"

    def head(self, status: int, reason: bytes, headers: list[Header]) -> bytes:
        """The head of the answer, with the framing of this connection."""
        request = self.request
        if status == _SWITCHING and not request.upgrade:
            return b""  # `switched` says so
        self.status, self._sent_head = status, True
        lines: list[bytes] = [status_line(status, reason)]
        length = protocol = b""
        for header in headers:
            key = header[0].lower()
            if key not in _SPECIAL:
                lines.append(b"%b: %b\r\n" % header)
            elif key == b"content-length":
                length = header[1]
            elif key == b"upgrade":
                protocol = header[1]
            elif key == b"keep-alive" and self._upstream is not None:
                self._upstream.idle_seconds = idle_seconds(header[1])
        lines.append(b"X-Correlation-ID: %b\r\n" % request.correlation_id)
        if status == _SWITCHING:
            lines.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol)
        else:
            lines.append(self._framing(status, length))
        return b"".join(lines)

    def _framing(self, status: int, length: bytes) -> bytes:
        """How the body ends, and whether the connection does with it: the end of a head."""
        request = self.request
        bodiless = self.headless or status in _BODILESS
        framing = b""
        if length:
            framing = b"" if status == _NO_CONTENT else b"Content-Length: %b\r\n" % length
        elif request.version == "1.0":
            self._closed_by_end = not bodiless
            request.keep_alive = request.keep_alive and bodiless
        elif not bodiless:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        if not request.keep_alive:
            return framing + b"Connection: close\r\n\r\n"
        if request.version == "1.0":
            return framing + b"Connection: keep-alive\r\n\r\n"
        return framing + b"\r\n"

    def body(self, data: bytes) -> bytes:
        """A piece of the answer's body."""
        self.response_bytes += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def deliver(self, data: bytes) -> None:
        """Send to the caller."""
        if self._tunnel:
            self.response_bytes += len(data)
        self._connection.write(data)

    def answered(self) -> None:
        """The answer is whole."""
        if self._over:
            return
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self._end(keep=self.request.complete)

    def switched(self, rest: bytes) -> None:
        """The application speaks another protocol now, if the caller asked for it."""
        if not self.request.upgrade:
            self.fail(faults.failed("The application switched protocols, which nobody asked for"))
            return
        self._tunnel = True
        self._connection.tunnel()
        if rest:
            self.deliver(rest)

    def lost(self, why: str, *, unheard: bool = False, reused: bool = False) -> None:
        """The application's connection ended: try once more, or tell.

        An old connection may have ended before the request came. The new one may still reach a
        process that is dying, so after an old one two new ones are tried.
        """
        self._upstream = None
        if reused and not self._retries:
            self._retries = _RETRIES
        if unheard and self._retries and self.request.again():
            self._retries -= 1
            self._task = asyncio.get_running_loop().create_task(
                self._reach(0.0 if self._retries else _DYING_SECONDS)
            )
        else:
            self.fail(faults.failed(why))

    def upstream_full(self, *, full: bool) -> None:
        """The application takes nothing for now, or does again."""
        self._hold(full=full)

    # The rest.

    def fail(self, fault: Fault) -> None:
        """Answer with a fault; where an answer has begun, break it off so that it shows."""
        if self._over:
            return
        if self._sent_head:
            self._end(keep=False, broken=True)
            return
        self.status, self._sent_head = fault.status, True
        self.response_bytes = self._connection.answer(self.request, fault)
        self._end(keep=False)

    async def _reach(self, pause_before: float = 0.0) -> None:
        """Have the application awake and connected, and begin."""
        if pause_before:
            await asyncio.sleep(pause_before)
        application_id = self.route.application_id
        for pause in (*_PAUSES, None):
            try:
                if self._address is None:
                    self._address = await self._gateway.runtime.address(application_id)
                self._begin(await self._gateway.connect(self._address))
            except KeyError:
                self.fail(faults.NOT_YET)  # it has an address, and nothing runs yet
            except StartFailed as why:
                self.fail(faults.failed(f"The application did not start: {why.reason}"))
            except OSError:
                self._release()
                if pause is not None:
                    await asyncio.sleep(pause)
                    continue
                self.fail(faults.failed("The application does not accept connections"))
            return

    def _begin(self, upstream: Upstream) -> None:
        self._task = None
        if self._over:
            upstream.close()
            return
        self._upstream = upstream
        upstream.begin(self, self.request.head() + self.request.take())
        if self._connection.full:
            upstream.pause()
        self._hold(full=False)

    def _hold(self, *, full: bool) -> None:
        if full != self._full:
            self._full = full
            self._connection.hold(full=full)

    def _release(self) -> None:
        address, self._address = self._address, None
        if address is not None:
            self._gateway.runtime.released(self.route.application_id, address)

    def _end(self, *, keep: bool, broken: bool = False) -> None:
        self._over = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.let_go(keep=keep)
        self._release()
        self._hold(full=False)
        self._connection.over(self, broken=broken or self._tunnel, cut=self._closed_by_end)
