"""The gateway before one Node application, with nginx beside it: `python -m bench.gateway`."""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import uvloop
from tests.harness import free_port

from bench import load, report
from bench.report import Section, megabytes, milliseconds
from bench.servers import started
from connectory.gateway.addresses import Addresses
from connectory.gateway.model import Route
from connectory.gateway.server import Gateway

ROUNDS = 5
SECONDS = 1.0
STREAMS, EVENTS, MESSAGES = 9, 300, 1_000
OF_NGINX, MORE_SECONDS = 0.35, 0.001
_PIECES, _PIECE_BYTES = 512, 65_536
#: Characters of the line that tells the size of a chunk.
_LONGEST_SIZE = 6

ROUTE = Route(
    application_id="a-1",
    deployment_id="d-1",
    application="service",
    slug="bench0000000000000000000",
    prefix="service",
)
APPLICATION = """
const http = require("http");
const body = JSON.stringify({ text: "x".repeat(1500) });
const piece = Buffer.alloc(65536, "x");
function stream(response, left) {
  while (left-- > 0) {
    if (!response.write(piece)) return response.once("drain", () => stream(response, left));
  }
  response.end();
}
function pieces(response, left) {
  response.write(`${process.hrtime.bigint()}\\n`);
  if (left > 1) setTimeout(() => pieces(response, left - 1), 2);
  else response.end();
}
const server = http.createServer((request, response) => {
  if (request.url === "/stream") return stream(response, STREAM);
  if (request.url === "/stream/pieces") return pieces(response, EVENTS);
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
  response.end(body);
});
server.on("upgrade", (request, socket) => {
  socket.setNoDelay(true);
  const head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: echo"];
  socket.write(head.join("\\r\\n") + "\\r\\n\\r\\n");
  socket.pipe(socket);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
"""
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream application {{ server 127.0.0.1:{application}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    }}
    location /stream {{
      proxy_pass http://application; proxy_http_version 1.1; proxy_buffering off;
    }}
    location /upgrade {{
      proxy_pass http://application; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
    }}
  }}
}}
"""


class Awake:
    """A runtime whose one application is awake: what is measured is the gateway."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)

    def ready(self, _application_id):
        return self._address

    async def address(self, _application_id):
        return self._address

    def released(self, _application_id, _address):
        pass


async def serve(port: int, application: int) -> None:
    """Be the gateway, until ended."""
    with tempfile.TemporaryDirectory() as folder:
        addresses = Addresses(Path(folder, "ports.json"), url="http://apps.example.com")
        gateway = Gateway(Awake(application), addresses, answered=lambda _: None)
        gateway.set_route(ROUTE)
        # Any host leads to the one application, so that wrk need not name it.
        gateway.find = lambda _application_id, _host: ROUTE
        await gateway.serve("127.0.0.1", port)
        await asyncio.Event().wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The application, nginx and the gateway; their addresses."""
    node, nginx = shutil.which("node"), shutil.which("nginx")
    if not node or not nginx:
        raise load.Lacking("node and nginx are needed")
    ports = {name: free_port() for name in ("application", "nginx", "gateway")}
    (folder / "application.js").write_text(
        APPLICATION.replace("STREAM", str(_PIECES)).replace("EVENTS", str(EVENTS))
    )
    (folder / "nginx.conf").write_text(
        NGINX.format(folder=folder, application=ports["application"], port=ports["nginx"])
    )
    commands = {
        "application": [node, str(folder / "application.js"), str(ports["application"])],
        "nginx": [nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)],
        "gateway": [
            *(sys.executable, "-m", "bench.gateway", "--serve"),
            *(str(ports["gateway"]), str(ports["application"])),
        ],
    }
    with contextlib.ExitStack() as stack:
        urls = {}
        for name, command in commands.items():
            urls[name] = f"http://127.0.0.1:{ports[name]}"
            running_one = started(
                command,
                urls[name],
                ready="/",
                log=folder / f"{name}.log",
                environment=dict(os.environ),
            )
            stack.enter_context(running_one)
        yield urls


def measure(folder: Path, rounds: int = ROUNDS, seconds_each: float = SECONDS) -> Section:
    """Requests a second by turns, and the time of one request at a time."""
    section = Section("The gateway before one Node application")
    target = f"≥ {OF_NGINX}"
    try:
        wrk = load.Wrk(folder)
        with running(folder) as urls:
            script = wrk.script("root", ["/"], "")
            rates: dict[str, list[float]] = {name: [] for name in urls}
            for name in urls:
                wrk.requests_per_second(urls[name], script, 1)
            for _ in range(rounds):
                for name, url in urls.items():
                    rates[name].append(wrk.requests_per_second(url, script, seconds_each))
            middle = {name: _median_seconds(url) for name, url in urls.items()}
            streams: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
            for _ in range(STREAMS):
                for name, url in urls.items():
                    streams[name].append(_stream(url))
            events = {name: _median_piece(url) for name, url in urls.items()}
            messages = {name: _median_message(url) for name, url in urls.items()}
    except load.Lacking as why:
        section.lack("requests a second, of nginx's", target, str(why))
        return section
    pairs = zip(rates["gateway"], rates["nginx"], strict=True)
    ratio = load.median([ours / theirs for ours, theirs in pairs])
    section.judge("requests a second, of nginx's", target, f"{ratio:.2f}", ratio >= OF_NGINX)
    for what, seconds in (
        ("one request at a time", middle),
        ("a piece of a stream on its way", events),
        ("a message there and back after an upgrade", messages),
    ):
        more = seconds["gateway"] - seconds["nginx"]
        section.judge(
            f"median of {what}, beyond nginx's",
            f"≤ {milliseconds(MORE_SECONDS)}",
            milliseconds(more),
            more <= MORE_SECONDS,
        )
    title = f"{load.CONNECTIONS} connections, {rounds} runs of {seconds_each:g} s by turns"
    section.tables.append((title, _rates(rates, middle)))
    size = megabytes(_PIECES * _PIECE_BYTES)
    title = (
        f"Medians of {EVENTS} pieces of a stream, {MESSAGES:,} messages after an upgrade, and"
        f" {STREAMS} streams of {size} as fast as the application sends them"
    )
    section.tables.append((title, _streamed(streams, events, messages)))
    return section


def _rates(
    rates: Mapping[str, Sequence[float]], middle: Mapping[str, float]
) -> list[tuple[str, ...]]:
    rows = [("server", "requests a second", "lowest and highest", "median of one at a time")]
    return rows + [
        (
            name,
            f"{load.median(found):,.0f}",
            f"{min(found):,.0f} to {max(found):,.0f}",
            milliseconds(middle[name]),
        )
        for name, found in rates.items()
    ]


def _streamed(
    streams: Mapping[str, Sequence[tuple[float, float]]],
    events: Mapping[str, float],
    messages: Mapping[str, float],
) -> list[tuple[str, ...]]:
    size = _PIECES * _PIECE_BYTES
    rows = [
        ("server", "a piece", "a message there and back", "first bytes at full speed", "a second")
    ]
    return rows + [
        (
            name,
            milliseconds(events[name]),
            milliseconds(messages[name]),
            milliseconds(load.median([begin for begin, _ in found])),
            megabytes(size / load.median([whole for _, whole in found])),
        )
        for name, found in streams.items()
    ]


def _median_seconds(url: str) -> float:
    with contextlib.closing(load.Client(url)) as client:
        return load.median([client.timed("/")[0] for _ in range(1_000)])


def _stream(url: str) -> tuple[float, float]:
    """The seconds until the first bytes of a stream's body, and until all have come."""
    with _connected(url) as connection:
        began = time.perf_counter()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head = b""
        while not head.partition(b"\r\n\r\n")[2]:
            head += connection.recv(262_144)
        first = time.perf_counter() - began
        got = len(head)
        while piece := connection.recv(262_144):
            got += len(piece)
        assert got > _PIECES * _PIECE_BYTES, f"{url}: the stream ended after {got} bytes"
        return first, time.perf_counter() - began


def _median_piece(url: str) -> float:
    """The seconds from the writing of a small piece of a stream until it is read.

    The application writes the time into it, by the clock that both have (CLOCK_MONOTONIC).
    """
    with _connected(url) as connection, connection.makefile("rb") as stream:
        connection.sendall(
            b"GET /stream/pieces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        found = [
            (time.monotonic_ns() - int(line)) / 1e9
            for line in stream
            if len(line) > _LONGEST_SIZE and line.strip().isdigit()  # else the head, or a size
        ]
    assert len(found) == EVENTS, f"{url}: {len(found)} pieces came"
    return load.median(found)


def _median_message(url: str) -> float:
    """The seconds that a message takes there and back on a connection that was upgraded."""
    message = b"x" * 64
    with _connected(url) as connection:
        connection.sendall(
            b"GET /upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: echo\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        found = []
        for _ in range(MESSAGES):
            began = time.perf_counter()
            connection.sendall(message)
            left = len(message)
            while left:
                left -= len(connection.recv(left))
            found.append(time.perf_counter() - began)
    return load.median(found)


def _connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main(arguments: list[str]) -> int:
    """Measure and print; or be the gateway that is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--serve", nargs=2, type=int, metavar=("PORT", "APPLICATION"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    if options.serve:
        uvloop.run(serve(*options.serve))
        return 0
    with tempfile.TemporaryDirectory(prefix="connectory-bench-") as folder:
        section = measure(Path(folder), options.rounds)
    print(report.markdown([section], f"Load of the machine: {os.getloadavg()[0]:.1f}."))
    return 0


if __name__ == "__main__":
    with contextlib.suppress(subprocess.CalledProcessError, KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
