"""Servers of the benchmark that are no `connectory serve`; each runs as a process of its own.

`python -m bench.servers raw PORT BODY`: an ASGI application that answers the bytes of a file, on
the server software that Connectory runs on. `… node PORT BODY`: Connectory itself with one more
endpoint in its table, which answers the bytes of the file after the bearer check. `… socket PORT
BODY`: the bytes of the file whenever something comes in, without reading HTTP at all: what the
loopback and an event loop in Python cost.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop
from tests.harness import Installation, free_port

from bench.load import wait_for_answer
from connectory import app
from connectory.cli.installation import opened
from connectory.contract.scopes import VIEW_CONNECTORS
from connectory.http import server
from connectory.http.answers import Response, tag_of
from connectory.http.table import Endpoint, Request
from connectory.kernel.clock import system_clock
from connectory.settings import Settings

FIXED_PATH = "/bench/fixed"


@contextlib.contextmanager
def running(mode: str, body: Path, installation: Installation) -> Iterator[str]:
    """A server of one of the modes, in a process of its own; its address."""
    port = free_port()
    with started(
        [sys.executable, "-m", "bench.servers", mode, str(port), str(body)],
        f"http://127.0.0.1:{port}",
        ready="/ready",
        environment=installation.environment,
        log=body.with_name(f"{mode}-{port}.log"),
    ) as process:
        del process
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def started(
    command: list[str], url: str, *, ready: str, log: Path, environment: dict[str, str] | None
) -> Iterator["subprocess.Popen[str]"]:
    """A process that answers 200 to `ready`; ended with the block."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        try:
            wait_for_answer(url, ready, process, limit=120)
        except AssertionError as fault:
            raise AssertionError(f"{fault}: {log.read_text()[-2_000:]}") from None
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def raw_application(body: bytes) -> server.Asgi:
    """The least that an ASGI application can do."""
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ],
    }
    rest = {"type": "http.response.body", "body": body}

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start)
        await send(rest)

    return application


def fixed_endpoint(body: bytes) -> Endpoint:
    """An endpoint that answers the same bytes to whoever may read Connectors.

    With the headers of a Connector: what is compared is how the answer was come by.
    """
    response = Response(200, body, etag=tag_of(body))

    async def fixed(_request: Request) -> Response:
        return response

    return Endpoint(
        method="GET",
        path=FIXED_PATH,
        summary="Fixed bytes",
        tag="Benchmark",
        permissions=VIEW_CONNECTORS,
        handler=fixed,
    )


async def _serve_raw(port: int, body: bytes) -> None:
    await server.serve(
        raw_application(body),
        host="127.0.0.1",
        port=port,
        read_timeout=30,
        write_timeout=30,
        drain_seconds=1,
        listening=lambda: None,
        stop=asyncio.Event(),
    )


async def _serve_node(port: int, body: bytes) -> None:
    settings = Settings.load(os.environ)
    with opened(settings) as database:
        node = app.compose(settings, database, system_clock, more=[fixed_endpoint(body)])
        await app.serve(
            node, host="127.0.0.1", port=port, listening=lambda: None, stop=asyncio.Event()
        )


class _Answers(asyncio.Protocol):
    """Answers once for whatever arrives; good for clients that send one request at a time."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._write: Any = None

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def data_received(self, _data: bytes) -> None:
        self._write(self._answer)


async def _serve_socket(port: int, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Answers(answer), "127.0.0.1", port)
    async with listening:
        await listening.serve_forever()


def main(mode: str, port: str, body: str) -> None:
    """Serve until ended."""
    serve = {"raw": _serve_raw, "node": _serve_node, "socket": _serve_socket}[mode]
    uvloop.run(serve(int(port), Path(body).read_bytes()))


if __name__ == "__main__":
    main(*sys.argv[1:])
