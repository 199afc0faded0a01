"""A gateway before real Node applications, and callers that speak to it byte by byte."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from connectory.gateway.addresses import Addresses
from connectory.gateway.model import Exchange, Route
from connectory.gateway.server import Gateway
from connectory.runtime.processes import Processes
from tests.harness import free_port
from tests.runtime.plain import Plain, program

APPLICATION = Path(__file__).with_name("application.js").read_text()
SLUG = "aaldnxp0z4lu69ssnnrhwg95"
HOST = f"service-{SLUG}.apps.example.com"


class Answer:
    """An answer as it came: its head, and its body as it was framed."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers: dict[str, str] = {}
        for each in lines:
            name, _, value = each.partition(": ")
            assert name.lower() not in self.headers, f"{name} twice"
            self.headers[name.lower()] = value
        self.body = body


class Caller:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, text: bytes | str) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def request(self, target: str, *lines: str, method="GET", body=b"") -> None:
        head = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*head, "", ""]).encode() + body)

    async def head(self) -> Answer:
        return Answer((await self.reader.readuntil(b"\r\n\r\n"))[:-4], b"")

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def answer(self, *, bodiless: bool = False) -> Answer:
        answer = await self.head()
        if bodiless or answer.status in (204, 304):
            return answer
        if answer.headers.get("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                answer.body += piece
        elif "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        else:
            answer.body = await self.reader.read()
        return answer

    async def ask(self, target: str, *lines: str, **options: Any) -> Answer:
        await self.request(target, *lines, **options)
        return await self.answer(bodiless=options.get("method") == "HEAD")

    async def ended(self) -> bytes:
        """What comes until the connection ends."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.writer.close()


class Scene:
    """A gateway on a port, the runtime behind it, and what it told of requests."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder, self.node = folder, node
        self.told: list[Exchange] = []
        self.plain = Plain()
        self.port = free_port()
        self.runtime = Processes(
            self.plain,
            output=lambda *_: None,
            crash_loops=lambda *_: None,
            grace_seconds=1.0,
        )
        self.gateway: Gateway
        self.callers: list[Caller] = []

    async def begin(self, **options: Any) -> None:
        addresses = Addresses(self.folder / "ports.json", url="https://apps.example.com")
        self.gateway = Gateway(self.runtime, addresses, answered=self.told.append, **options)
        await self.gateway.serve("127.0.0.1", self.port)

    async def application(self, source: str = APPLICATION, **fields: Any) -> None:
        self.gateway.set_route(route())
        await self.runtime.restore(program(self.folder / "app", self.node, source, **fields))

    async def caller(self, port: int = 0, host: str = "127.0.0.1") -> Caller:
        caller = Caller(*await asyncio.open_connection(host, port or self.port, limit=2**20))
        self.callers.append(caller)
        return caller

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        for caller in self.callers:
            caller.close()
            with contextlib.suppress(OSError):
                await caller.writer.wait_closed()
        await self.gateway.close(1.0)
        await self.runtime.close(1.0)
        assert not self.gateway.connections
        assert self.plain.running == 0


def route(**fields: Any) -> Route:
    values = {
        "application_id": "a-1",
        "deployment_id": "d-1",
        "application": "service",
        "slug": SLUG,
        "prefix": "service",
    }
    return Route(**{**values, **fields})


@pytest.fixture
def play(tmp_path: Path, node: str) -> Iterator[Any]:
    """Run a scene; at its end the runtime has no call under way."""

    def run(act: Any, *, released: bool = True, **options: Any) -> None:
        async def main() -> None:
            scene = Scene(tmp_path, node)
            await scene.begin(**options)
            try:
                await act(scene)
                if released:
                    await scene.until(lambda: not scene.runtime._instances, 5)
            finally:
                await scene.end()

        uvloop.run(asyncio.wait_for(main(), 60))

    return run
