"""Binds a port and serves an ASGI application until told to stop.

granian runs inside our own event loop: one process, one event loop for requests and for what goes
on beside them. Only HTTP/1.1 is spoken; a proxy in front may speak more
(docs/decisions/0007-one-process-one-event-loop.md).
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketSpec  # type: ignore[attr-defined]
from granian.server.embed import Server

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

#: The server's own limit on a request head lies above every setting of ours, so that it is our
#: answer that a client gets.
HEAD_BUFFER_BYTES = 512 * 2**10


class AddressInUse(Exception):
    """Nothing can listen on this address; the message says why and how to mend it."""


def check_address(host: str, port: int) -> None:
    """Make sure that a port is free.

    Raises:
        AddressInUse: it is not, or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise AddressInUse(
            f"cannot listen on {host}:{port}: {error}; choose another with --host and --port"
        ) from None


async def serve(
    application: Asgi,
    *,
    host: str,
    port: int,
    read_timeout: float,
    write_timeout: float,
    drain_seconds: float,
    listening: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set, then finish the requests that were accepted.

    `listening` is called when the first connection would succeed. A request that takes longer than
    `drain_seconds` after the stop is cut off.
    """
    server = _Server(
        application,
        write_timeout=write_timeout,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=2_048,
        log_enabled=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(read_timeout * 1000), max_buffer_size=HEAD_BUFFER_BYTES
        ),
    )
    serving = asyncio.create_task(server.serve(), name="server")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await _accepts(host, port, serving)
        listening()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.stop()  # type: ignore[no-untyped-call]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(serving, drain_seconds)


class _Server(Server):
    """granian's server, whose connections end when their client takes nothing for too long.

    Neither granian nor hyper below it has a limit of that kind, and the system has one, which
    connections inherit from the socket that they are accepted from. (On Linux; others have none.)
    """

    def __init__(self, application: Asgi, *, write_timeout: float, **options: Any) -> None:
        super().__init__(application, **options)
        self._write_timeout = write_timeout

    def _init_shared_socket(self) -> None:
        """Make the socket here, as granian does for several processes, and not in its thread."""
        holder = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._shd = holder  # type: ignore[assignment]  # it says None of what is None at first
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            with socket.fromfd(holder.get_fd(), socket.AF_INET, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.IPPROTO_TCP, option, int(self._write_timeout * 1000))


async def _accepts(host: str, port: int, serving: "asyncio.Task[None]") -> None:
    """Wait until the server accepts connections."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    while True:
        if serving.done():
            await serving
            raise AddressInUse(f"cannot listen on {host}:{port}")
        try:
            _, writer = await asyncio.open_connection(reachable, port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
