"""The system under test: a real installation, real commands, a real server process."""

import contextlib
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.processes import Process

#: The command as an installed user has it.
COMMAND = str(Path(sys.executable).with_name("connectory"))
START_SECONDS = 60.0
#: How long an answer may take on a machine that has much else to do.
ANSWER_SECONDS = 30.0

#: Settings of what is not to be measured by coverage.py, which takes twice as long where it is.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}

#: Settings that let the tests' own connectors run also where nothing confines them, as for a user
#: who may make no networks.
UNCONFINED = {"CONNECTORY_RUN_UNCONFINED": "on"}

#: To read the authorities of the web takes longer than a server takes to start, with each client.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

#: Ports below those that the system gives to outgoing connections, which could take one first.
_PORTS = range(10_000, 32_000)
_WORKERS = 16
_given: set[int] = set()


def free_port() -> int:
    """A port of loopback on which nothing listens, and that no other test of this run is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS) // _WORKERS) * _WORKERS + worker]
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port


def until_refused(host: str, port: int) -> None:
    """Wait until nobody listens any more."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("it still accepts connections")


@dataclass(frozen=True)
class Credentials:
    """An API Client as `connectory client create` showed it."""

    client_id: str
    client_secret: str


@dataclass
class Server:
    """A `connectory serve` process that accepts requests."""

    process: Process
    url: str
    log: Path

    def token(self, credentials: Credentials, scope: str | None = None) -> str:
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        answer = httpx.post(
            f"{self.url}/oauth/token",
            data=form,
            auth=(credentials.client_id, credentials.client_secret),
            timeout=ANSWER_SECONDS,
            verify=_NO_AUTHORITIES,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def client(self, credentials: Credentials, scope: str | None = None) -> httpx.Client:
        """An HTTP client that sends a bearer token."""
        token = self.token(credentials, scope)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=ANSWER_SECONDS, verify=_NO_AUTHORITIES
        )

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line]

    def kill(self) -> None:
        """End it like a power cut would (SIGKILL)."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds: float = 30.0) -> int:
        """End it as an operator does (SIGTERM); its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@dataclass
class Installation:
    """A data folder, and perhaps a PostgreSQL database, with commands to run on them."""

    data: Path
    database_url: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORY_")}
        return kept | {
            "CONNECTORY_DATA": str(self.data),
            "CONNECTORY_DATABASE_URL": self.database_url,
            **self.settings,
        }

    def run(
        self, *arguments: str, stdin: str | None = None, expect: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; `expect` is the exit code it must have."""
        with tempfile.TemporaryDirectory() as folder:
            streams = {name: Path(folder, name) for name in ("stdin", "stdout", "stderr")}
            streams["stdin"].write_text(stdin or "")
            process = Process(arguments, environment=self.environment, **streams)
            try:
                code = process.wait(300)
            finally:
                process.kill()
            said = {name: streams[name].read_text() for name in ("stdout", "stderr")}
        done = subprocess.CompletedProcess(arguments, code, **said)
        if expect is not None:
            assert done.returncode == expect, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def run_json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def project(self, key: str, region: str = "europe-west1.gcp") -> str:
        """Make a Project; its identifier, `region:key`."""
        self.run("project", "create", key, "--region", region)
        return f"{region}:{key}"

    def credentials(self, project: str, scope: str = "manage_project") -> Credentials:
        made = self.run_json("client", "create", "--project", project, "--scope", scope)
        return Credentials(made["clientId"], made["clientSecret"])

    def import_lines(self, lines: Sequence[dict[str, Any]], expect: int = 0) -> str:
        """Import Connectors; what the command said."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        done = self.run("import", "-", stdin=text, expect=expect)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def serving(self, *options: str, settings: dict[str, str] | None = None) -> Iterator[Server]:
        """A server, from the moment it accepts requests; stopped at the end if it still runs."""
        server = self.start(*options, settings=settings)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.process.terminate()
                try:
                    server.process.wait(30)
                finally:
                    server.process.kill()

    def start(
        self,
        *options: str,
        settings: dict[str, str] | None = None,
        first: Callable[[], None] | None = None,
    ) -> Server:
        """A server that accepts requests; its process calls `first` before all else."""
        port = free_port()
        log = self.data.parent / f"serve-{port}.log"
        process = Process(
            ("serve", "--port", str(port), *options),
            environment=self.environment | (settings or {}),
            stderr=log,
            first=first,
        )
        server = Server(process, f"http://127.0.0.1:{port}", log)
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=server.url, verify=_NO_AUTHORITIES) as http:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise AssertionError(f"the server ended: {log.read_text()}")
                with contextlib.suppress(httpx.TransportError):
                    if http.get("/health").status_code == 200:
                        return server
                time.sleep(0.02)
        process.kill()
        raise AssertionError(f"the server did not start: {log.read_text()}")


def connector(key: str, **fields: Any) -> dict[str, Any]:
    """A line of an import: a public Connector, with `fields` on top."""
    return {
        "key": key,
        "name": f"The {key} Connector",
        "description": "A Connector for tests",
        "integrationTypes": ["other"],
        "creator": {"email": "connect@acme.example", "company": "Acme"},
        "repository": {"url": "https://github.com/acme/connector.git", "tag": "v1.0.0"},
        "configurations": [],
        "supportedRegions": [],
        "private": False,
        "certified": True,
    } | fields
