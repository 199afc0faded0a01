"""The gateway before one Node application, with nginx beside it: `python -m bench.gateway`."""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop
from tests.harness import free_port

from bench import load, report
from bench.report import Section, milliseconds
from bench.servers import started
from connectory.gateway.addresses import Addresses
from connectory.gateway.model import Route
from connectory.gateway.server import Gateway

ROUNDS = 5
SECONDS = 2.0
OF_NGINX, MORE_SECONDS = 0.35, 0.001

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
http.createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
  response.end(body);
}).listen(Number(process.argv[2]), "127.0.0.1");
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
    (folder / "application.js").write_text(APPLICATION)
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


def measure(folder: Path, rounds: int = ROUNDS, seconds: float = SECONDS) -> Section:
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
                    rates[name].append(wrk.requests_per_second(url, script, seconds))
            middle = {name: _median_seconds(url) for name, url in urls.items()}
    except load.Lacking as why:
        section.lack("requests a second, of nginx's", target, str(why))
        return section
    pairs = zip(rates["gateway"], rates["nginx"], strict=True)
    ratio = load.median([ours / theirs for ours, theirs in pairs])
    more = middle["gateway"] - middle["nginx"]
    section.judge("requests a second, of nginx's", target, f"{ratio:.2f}", ratio >= OF_NGINX)
    section.judge(
        "median of one request at a time, beyond nginx's",
        f"≤ {milliseconds(MORE_SECONDS)}",
        milliseconds(more),
        more <= MORE_SECONDS,
    )
    rows = [("server", "requests a second", "lowest and highest", "median of one at a time")]
    rows += [
        (
            name,
            f"{load.median(found):,.0f}",
            f"{min(found):,.0f} to {max(found):,.0f}",
            milliseconds(middle[name]),
        )
        for name, found in rates.items()
    ]
    section.tables.append(
        (f"{load.CONNECTIONS} connections, {rounds} runs of {seconds:g} s by turns", rows)
    )
    return section


def _median_seconds(url: str) -> float:
    with contextlib.closing(load.Client(url)) as client:
        return load.median([client.timed("/")[0] for _ in range(1_000)])


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
