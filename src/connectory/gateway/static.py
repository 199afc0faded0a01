"""A request for a file of a static application."""

import asyncio
from typing import TYPE_CHECKING, BinaryIO

from connectory.gateway import faults
from connectory.gateway.faults import Fault, status_line
from connectory.gateway.files import Conditions, Found, look_up
from connectory.gateway.model import Route
from connectory.gateway.requests import Request

if TYPE_CHECKING:
    from connectory.gateway.connection import Connection
    from connectory.gateway.server import Gateway

_PIECE_BYTES = 256 * 2**10
_CLIENT_GONE = 499
_NOT_MODIFIED = 304
_NOT_FOUND = 404
_NAMES = {
    b"accept": "accept",
    b"accept-encoding": "accept_encoding",
    b"if-none-match": "if_none_match",
    b"if-modified-since": "if_modified_since",
    b"if-range": "if_range",
    b"range": "range",
}


class Serving:
    """Answers with a file; reads it in threads, as fast as the caller takes it."""

    def __init__(
        self, gateway: "Gateway", connection: "Connection", route: Route, request: Request
    ) -> None:
        self.route = route
        self.request = request
        self.status = 0
        self.response_bytes = 0
        self._gateway = gateway
        self._connection = connection
        self._task: asyncio.Task[None] | None = None
        self._taken = asyncio.Event()
        self._over = self._sent_head = False

    def start(self) -> None:
        """Answer."""
        if self.request.method not in (b"GET", b"HEAD"):
            self.fail(Fault(405, "MethodNotAllowed", "Files are read by GET and HEAD only"))
            return
        if not self._connection.full:
            self._taken.set()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def more(self) -> None:
        """What a GET has for a body is left."""
        self.request.pending.clear()

    def pause(self) -> None:
        """The caller takes nothing for now."""
        self._taken.clear()

    def resume(self) -> None:
        """The caller takes again."""
        self._taken.set()

    def abandon(self) -> None:
        """The caller has gone."""
        if not self._over:
            self.status = self.status or _CLIENT_GONE
            self._end(broken=True)

    def expire(self, seconds: float) -> None:
        """The time for a request is over."""
        self.fail(faults.too_slow(seconds))

    def fail(self, fault: Fault) -> None:
        """Answer with a fault, or break off."""
        if self._over:
            return
        if self._sent_head:
            self._end(broken=True)
            return
        self.status = fault.status
        self.response_bytes = self._connection.answer(self.request, fault)
        self._end(broken=False)

    async def _serve(self) -> None:
        folder = self.route.static
        if folder is None:
            return
        found = await asyncio.to_thread(look_up, folder, self.request.target, self._conditions())
        if self._over:
            return
        if found.status == _NOT_FOUND:
            self.fail(Fault(404, "ResourceNotFound", "There is no such file"))
            return
        self.status, self._sent_head = found.status, True
        self._connection.write(self._head(found))
        if self.request.method == b"GET":
            self._connection.write(found.body)
            self.response_bytes = len(found.body)
            if not await self._send_file(found):
                self._end(broken=True)
                return
        self._end(broken=False)

    async def _send_file(self, found: Found) -> bool:
        """Send the part of a file that is due; whether all of it could be read."""
        if found.file is None or not found.length:
            return True
        left = found.length
        try:
            file: BinaryIO = await asyncio.to_thread(found.file.open, "rb")
        except OSError:
            return False
        with file:
            file.seek(found.start)
            while left and not self._over:
                data = await asyncio.to_thread(file.read, min(left, _PIECE_BYTES))
                if not data:
                    return False
                left -= len(data)
                self.response_bytes += len(data)
                self._connection.write(data)
                await self._taken.wait()
        return not left

    def _head(self, found: Found) -> bytes:
        request = self.request
        length = len(found.body) or found.length
        lines = [b"%b: %b\r\n" % header for header in found.headers]
        if found.status != _NOT_MODIFIED:
            lines.append(b"Content-Length: %d\r\n" % length)
        if not request.complete:
            request.keep_alive = False
        if not request.keep_alive:
            lines.append(b"Connection: close\r\n")
        elif request.version == "1.0":
            lines.append(b"Connection: keep-alive\r\n")
        lines.append(b"X-Correlation-ID: %b\r\n\r\n" % request.correlation_id)
        return status_line(found.status) + b"".join(lines)

    def _conditions(self) -> Conditions:
        values: dict[str, str] = {}
        for line in self.request.headers:
            name, _, value = line.partition(b":")
            known = _NAMES.get(name.lower())
            if known is not None:
                values[known] = value.strip().decode("latin-1")
        return Conditions(**values)

    def _end(self, *, broken: bool) -> None:
        if self._over:
            return
        self._over = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._connection.over(self, broken=broken, cut=False)
