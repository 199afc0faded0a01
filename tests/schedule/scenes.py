"""Firing on a clock that moves when it is told to, at an application that answers as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectory.contract.jobs import JobRunState
from connectory.database.engine import Database
from connectory.database.shards import SHARDS
from connectory.gateway.addresses import Addresses
from connectory.gateway.server import Gateway
from connectory.kernel.clock import from_datetime
from connectory.runtime.model import StartFailed
from connectory.schedule import store
from connectory.schedule.firing import Firing
from connectory.schedule.model import Job, Run


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def id_of(number: int) -> str:
    return f"{number:04x}0000-0000-4000-8000-000000000000"


class Connection(asyncio.Protocol):
    """A connection to the application; a request comes in one piece, with a body of two bytes."""

    def __init__(self, application: "Application") -> None:
        self.application = application
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.application.connections.add(transport)

    def data_received(self, data: bytes) -> None:
        assert data.endswith(b"\r\n\r\n{}")
        self.application.called(data.split(b" ")[1].decode(), self)

    def answer(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")


class Application:
    """One HTTP server that stands for all job applications, and the runtime that leads there."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.connections: set[asyncio.Transport] = set()
        self.most_at_once = 0
        #: Whether it answers at once; otherwise `answer` does.
        self.quick = True
        self.starts = True
        #: The applications that this node does not host, by their ids.
        self.elsewhere: set[str] = set()
        self._under_way: list[tuple[str, Connection]] = []
        self._address = ("127.0.0.1", 0)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=4096)
        self._address = server.sockets[0].getsockname()
        try:
            yield
        finally:
            server.close()
            for each in self.connections:
                each.close()
            await asyncio.sleep(0)  # they are closed in the next turn of the loop

    def called(self, name: str, connection: Connection) -> None:
        self.calls.append(name)
        self._under_way.append((name, connection))
        self.most_at_once = max(
            self.most_at_once, sum(name == other for other, _ in self._under_way)
        )
        if self.quick:
            self._under_way.remove((name, connection))
            connection.answer()

    def answer(self) -> None:
        for _, connection in self._under_way:
            connection.answer()
        self._under_way.clear()

    # The runtime, as far as calls need it.

    def ready(self, application_id: str) -> tuple[str, int] | None:
        here = application_id not in self.elsewhere
        return self._address if self.starts and here else None

    def serving(self, application_id: str) -> int | None:
        return None if application_id in self.elsewhere else 1

    async def address(self, application_id: str) -> tuple[str, int]:
        if application_id in self.elsewhere:
            raise KeyError(application_id)
        raise StartFailed(f"{application_id} died")

    def released(self, application_id: str, address: tuple[str, int]) -> None:
        """Nothing is counted here."""


class Scene:
    """A database with jobs, and servers that fire them."""

    def __init__(self, database: Database, folder: Path, now: str) -> None:
        self.database, self.folder = database, folder
        self.now = at(now)
        self.application = Application()
        self.servers: list[Firing] = []

    def clock(self) -> int:
        return self.now

    @contextlib.asynccontextmanager
    async def server(
        self, held: Callable[[Firing], Collection[int]] = lambda _: range(SHARDS)
    ) -> AsyncIterator[Firing]:
        """A server that holds these shards: all of them."""
        addresses = Addresses(self.folder / "ports.json", url="https://apps.example.com")
        runtime: Any = self.application
        gateway = Gateway(runtime, addresses, answered=lambda _: None)
        firing: Firing = Firing(self.database, self.clock, gateway, shards=lambda: held(firing))
        firing.start()
        self.servers.append(firing)
        try:
            yield firing
        finally:
            self.servers.remove(firing)
            await firing.stop(0.1)
            await gateway.close(0.1)

    def add(self, schedule: str, *numbers: int) -> None:
        with self.database.write() as connection:
            for number in numbers or (0,):
                store.put(connection, job(schedule, number), self.now)

    def move(self, now: str) -> None:
        """Let it be another time."""
        self.now = at(now)
        for server in self.servers:
            server.look()

    def runs(self, number: int = 0) -> list[Run]:
        with self.database.read() as connection:
            return store.runs_of(connection, id_of(number), before=None, limit=1_000)[::-1]

    def told(self, number: int = 0) -> list[tuple[str, int, str]]:
        """When the runs were due, how many they missed, and what they came to."""
        return [(text(each.due_at), each.missed, each.state) for each in self.runs(number)]

    def next(self, number: int = 0) -> str | None:
        with self.database.read() as connection:
            (found,) = store.of_deployment(connection, f"deployment {number}")
        return None if found.next_at is None else text(found.next_at)

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - conditions of all kinds
                await asyncio.sleep(0.01)

    async def looked_through(self, number: int) -> None:
        """Wait until servers have looked for what is due now: a job that is, by its number, ran."""
        self.add("@reboot", number)
        for server in self.servers:
            server.look()
        await self.settled(1, number)

    async def settled(self, count: int, number: int = 0) -> None:
        """Wait until there are so many runs, all of which have ended."""
        await self.until(
            lambda: (
                len(found := self.runs(number)) >= count
                and all(each.finished_at is not None for each in found)
            )
        )


def job(schedule: str, number: int = 0) -> Job:
    return Job(
        application_id=id_of(number),
        deployment_id=f"deployment {number}",
        project="eu:shop",
        application="worker",
        endpoint=f"/{number}",
        schedule=schedule,
        since=0,
        next_at=None,
    )


def text(instant: int) -> str:
    return datetime.fromtimestamp(instant / 10**6, UTC).replace(tzinfo=None).isoformat(sep=" ")


SUCCEEDED, FAILED, RUNNING = JobRunState.SUCCEEDED, JobRunState.FAILED, JobRunState.RUNNING
