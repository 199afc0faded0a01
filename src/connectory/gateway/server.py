"""The gateway: where callers reach applications, on origins of their own."""

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence

from connectory.gateway.addresses import Addresses, label_of
from connectory.gateway.connection import Connection
from connectory.gateway.model import Exchange, Route
from connectory.gateway.upstream import Address, Pool, Upstream
from connectory.http.proxies import Network
from connectory.http.requestlog import correlation_ids
from connectory.runtime.model import Runtime

#: How long a request may take, its waiting for the application to wake included (contract).
REQUEST_SECONDS = 300.0
#: Requests of one application that may be under way at once.
REQUESTS_OF_ONE = 1_000

_BACKLOG = 1_024
_CONNECT_SECONDS = 5.0
_SWEEP_SECONDS = 0.5
_LISTEN_AGAIN_SECONDS = 5.0

log = logging.getLogger("connectory.gateway")


class Gateway:
    """Passes requests on to applications, and serves the files of static ones."""

    def __init__(
        self,
        runtime: Runtime,
        addresses: Addresses,
        *,
        answered: Callable[[Exchange], None],
        trusted_proxies: Sequence[Network] = (),
        request_seconds: float = REQUEST_SECONDS,
        head_bytes: int = 32 * 2**10,
        head_seconds: float = 30.0,
        idle_seconds: float = 75.0,
        requests_of_one: int = REQUESTS_OF_ONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answered` hears of each request that was answered; it must not block."""
        self.runtime = runtime
        self.trusted_proxies = trusted_proxies
        self.request_seconds = request_seconds
        self.head_bytes = head_bytes
        self.head_seconds = head_seconds
        self.idle_seconds = idle_seconds
        self.requests_of_one = requests_of_one
        self.clock = clock
        self.choose = correlation_ids()
        self.connections: set[Connection] = set()
        self.closing = False
        self.pool = Pool(clock)
        self._addresses = addresses
        self._answered = answered
        self._by_id: dict[str, Route] = {}
        self._by_label: dict[bytes, Route] = {}
        self._under_way: Counter[str] = Counter()
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    def url_of(self, route: Route) -> str:
        """The address at which an application answers, without a slash at its end.

        Raises:
            NoPortFree: it needs a port, and there is none.
        """
        return self._addresses.url_of(route)

    def set_route(self, route: Route) -> None:
        """Let an application be reached from now on, or otherwise than before.

        Raises:
            NoPortFree: it needs a port, and there is none.
        """
        self._by_id[route.application_id] = route
        self._by_label[label_of(route).encode()] = route
        if self._server is not None and not self.closing:
            self._listen(route)

    def drop_route(self, application_id: str) -> None:
        """Let an application be reached no more; its address may become another's."""
        route = self._by_id.pop(application_id, None)
        if route is None:
            return
        self._by_label.pop(label_of(route).encode(), None)
        listening = self._listening.pop(application_id, None)
        if listening is not None:
            listening.cancel()
        self._addresses.forget(route)

    async def serve(self, host: str, port: int) -> None:
        """Accept connections from now on, until `close`.

        Raises:
            OSError: nothing can listen there.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), host, port, backlog=_BACKLOG
        )
        for route in list(self._by_id.values()):
            self._listen(route)
        self._sweeping = loop.create_task(self._sweep(), name="gateway")

    def retire(self) -> None:
        """Accept no more from callers; `close` is to follow."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for listening in self._listening.values():
            listening.cancel()
        for connection in list(self.connections):
            connection.close()

    async def close(self, seconds: float = 20.0) -> None:
        """Accept no more, and end when the requests under way have, after `seconds` at most."""
        self.retire()
        until = self.clock() + seconds
        while self.connections and self.clock() < until:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.pool.close()
        await asyncio.sleep(0)

    # For connections.

    def find(self, application_id: str, host: bytes) -> Route | None:
        """The application of a connection, or else of a host name."""
        if application_id:
            return self._by_id.get(application_id)
        return self._by_label.get(host.partition(b".")[0].lower())

    def is_busy(self, route: Route) -> bool:
        """Whether an application has as many requests as it may."""
        return self._under_way[route.application_id] >= self.requests_of_one

    def began(self, route: Route) -> None:
        """A request to an application began."""
        self._under_way[route.application_id] += 1

    def ended(self, route: Route) -> None:
        """It has ended."""
        left = self._under_way[route.application_id] - 1
        if left > 0:
            self._under_way[route.application_id] = left
        else:
            del self._under_way[route.application_id]

    def tell(self, exchange: Exchange) -> None:
        """Tell of a request that was answered."""
        try:
            self._answered(exchange)
        except Exception:  # a log that fails must not fail a request
            log.exception("a request could not be noted")

    async def connect(self, address: Address) -> Upstream:
        """A new connection to an application.

        Raises:
            OSError: it accepts none.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, upstream = await loop.create_connection(
                    lambda: Upstream(self.pool, address), *address
                )
        except TimeoutError as error:
            raise ConnectionRefusedError from error
        return upstream

    # The rest.

    def _listen(self, route: Route) -> None:
        address = self._addresses.listened_on(route)
        if address is None or route.application_id in self._listening:
            return
        try:
            bound = _bound(address)
        except OSError:
            bound = None
        task = asyncio.get_running_loop().create_task(
            self._listen_on(address, route.application_id, bound), name=f"listen {address[1]}"
        )
        if bound is not None:  # one that is cancelled at once has not begun
            task.add_done_callback(lambda _: bound.close())
        self._listening[route.application_id] = task

    async def _listen_on(
        self, address: Address, application_id: str, bound: socket.socket | None
    ) -> None:
        """Accept connections for one application; where its port is taken, try again and again."""
        loop, told = asyncio.get_running_loop(), False
        while True:
            try:
                server = await loop.create_server(
                    lambda: Connection(self, application_id),
                    sock=bound or _bound(address),
                    backlog=_BACKLOG,
                )
            except OSError as error:
                bound = None
                if not told:
                    log.warning("cannot listen on %s:%d: %s", *address, error)
                    told = True
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
                continue
            try:
                await asyncio.Event().wait()
            finally:
                server.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self.clock()
            self.pool.sweep()
            for connection in list(self.connections):
                with contextlib.suppress(Exception):
                    connection.sweep(now)


def _bound(address: Address) -> socket.socket:
    """A socket to which one can connect from now on, whenever that is accepted.

    Raises:
        OSError: nothing can listen there.
    """
    made = socket.socket()
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made
