"""A hostile connector, deployed as any other: what it tries, and that nothing comes of it.

It runs each script that it is sent. After each attempt its neighbour has to answer, and the API;
and meanwhile, where it takes more than its share.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectory.containment.probe import find_containment
from connectory.runtime.instance import PORTS
from tests.containment.conftest import own_addresses, processes_with
from tests.deployments.shops import Shop, url_of
from tests.staging.conftest import Platform

SECRET = "the-secret-of-the-neighbour"
OWN_SECRET = "the-secret-of-the-hostile"
CONNECT = """
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
    configuration:
      securedConfiguration:
        - key: TOKEN
          description: A secret
"""
SERVICE = """
const { createServer } = require("node:http");
const Script = Object.getPrototypeOf(async function () {}).constructor;

createServer(async (request, response) => {
  let script = "";
  for await (const part of request) script += part;
  let answer;
  try {
    const run = new Script("require", "request", "response", script);
    const done = await run(require, request, response);
    answer = { done: done ?? null };
  } catch (error) {
    answer = { failed: String(error.code ?? error) };
  }
  if (!response.headersSent) response.end(JSON.stringify(answer));
}).listen(8080);
"""
PACKAGE = json.dumps({"name": "hostile", "scripts": {"start": "node index.js"}})
FILES = {"connect.yaml": CONNECT, "service/index.js": SERVICE, "service/package.json": PACKAGE}

#: Twice as long as a program that ignores its end is left, with time for a machine that is busy.
GONE_SECONDS = 30.0


@dataclass
class Hostile:
    """A hostile connector that was deployed, and its neighbour of another Project."""

    shop: Shop
    deployment: dict[str, Any]
    neighbour: dict[str, Any]

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.shop.platform.installation.data

    @property
    def url(self) -> str:
        return url_of(self.deployment)

    def tries(self, script: str, **values: Any) -> Any:
        """What its application answers that runs a script, given some values."""
        given = "".join(f"const {name} = {json.dumps(each)};\n" for name, each in values.items())
        answer = httpx.post(self.url, content=given + script, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def is_harmless(self) -> None:
        """Its neighbour answers, and so does the API."""
        answer = httpx.get(url_of(self.neighbour), timeout=30, trust_env=False)
        assert (answer.status_code, answer.json()) == (200, {"done": None})
        assert self.shop.get(self.deployment["id"])["status"] == "Deployed"

    def comes_back(self) -> None:
        """It answers again, however it ended."""
        deadline = time.monotonic() + GONE_SECONDS
        while httpx.get(self.url, timeout=30, trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    """The embedded database; what is deployed does not mind which one it is."""
    return staging_on_sqlite


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where this machine confines nothing, there is nothing to try."""
    found = find_containment(tmp_path_factory.mktemp("probe"))
    safe, name = found.holds.safe, found.name
    found.close()
    if not safe:
        pytest.skip(f"{name} is the best way of this machine, and says that it is not safe")


def deployed(shop: Shop, secret: str) -> dict[str, Any]:
    values = [{"key": "TOKEN", "value": secret}]
    configuration = {"applicationName": "service", "securedConfiguration": values}
    return shop.deployed(shop.published(FILES), configurations=[configuration])


@pytest.fixture(scope="module")
def deployments(platform: Platform, confined: None) -> Iterator[Hostile]:
    with platform.creator() as one, platform.creator() as other:
        shop, neighbours = Shop(one, platform), Shop(other, platform)
        neighbour = deployed(neighbours, SECRET)
        yield Hostile(shop, deployed(shop, OWN_SECRET), neighbour)


@pytest.fixture
def hostile(deployments: Hostile) -> Iterator[Hostile]:
    yield deployments
    deployments.is_harmless()


#: The port that each application has for itself.
OWN_PORT = 8080
LISTENING = "0A"

READ = """
const { lstatSync, readFileSync, readdirSync } = require("node:fs");
const found = [];
for (const path of paths) {
  try { lstatSync(path).isDirectory() ? readdirSync(path) : readFileSync(path); found.push(path); }
  catch { }
}
return found;
"""


def test_it_reads_neither_the_database_nor_the_keys_nor_what_others_run(hostile: Hostile) -> None:
    data = hostile.data
    paths = [str(each) for each in (data, *data.rglob("*"))]
    assert any(each.endswith((".sqlite3", ".db")) for each in paths), paths[:50]
    assert any(each.endswith("secret.keys") for each in paths)
    assert any("/artifacts/" in each for each in paths)
    assert hostile.tries(READ, paths=paths) == {"done": []}
    assert hostile.tries(READ, paths=["/proc/self/environ"]) == {"done": ["/proc/self/environ"]}


ENVIRONMENTS = """
const { readFileSync, readdirSync } = require("node:fs");
let found = "";
for (const process of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)))
  for (const file of ["environ", "cmdline"])
    try { found += readFileSync(`/proc/${process}/${file}`, "latin1"); } catch { }
return secrets.filter((secret) => found.includes(secret));
"""


def test_it_reads_no_environment_but_its_own(hostile: Hostile) -> None:
    found = hostile.tries(ENVIRONMENTS, secrets=[OWN_SECRET, SECRET, "CONNECTORY_DATA"])
    assert found == {"done": [OWN_SECRET]}


WRITE = """
const { writeFileSync } = require("node:fs");
const written = [];
for (const path of paths) try { writeFileSync(path, "hostile"); written.push(path); } catch { }
return written;
"""


def test_it_changes_no_file_that_others_run_nor_its_own(hostile: Hostile) -> None:
    places = [str(each) for each in hostile.data.rglob("index.js")]
    assert places, "what both run lies there"
    cwd = hostile.tries("return process.cwd();")["done"]
    paths = [*places, f"{cwd}/index.js", f"{cwd}/new.js", "/etc/passwd", "/usr/bin/node"]
    assert hostile.tries(WRITE, paths=[*paths, "/tmp/its-own"]) == {"done": ["/tmp/its-own"]}


CONNECT_TO = """
const { connect } = require("node:net");
const tried = addresses.map(([host, port]) => new Promise((resolve) => {
  const socket = connect({ host, port, timeout: 1500 });
  const end = (reached) => { socket.destroy(); resolve(reached ? `${host}:${port}` : null); };
  socket.on("connect", () => end(true));
  socket.on("error", () => end(false)).on("timeout", () => end(false));
}));
return (await Promise.all(tried)).filter(Boolean);
"""


def reaches(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def listeners() -> set[tuple[str, int]]:
    """Where programs of this machine listen: server, gateway, what leads to applications."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == LISTENING:
            address, _, port = local.partition(":")
            host = socket.inet_ntoa(bytes.fromhex(address)[::-1])
            found.add(("127.0.0.1" if host == "0.0.0.0" else host, int(port, 16)))
    return found


def test_it_reaches_no_port_of_the_server_of_the_gateway_or_of_a_neighbour(
    hostile: Hostile,
) -> None:
    urls = [httpx.URL(hostile.shop.platform.server.url), httpx.URL(url_of(hostile.neighbour))]
    known = {(url.host, url.port or 80) for url in urls}
    assert all(reaches(*each) for each in known), "an ordinary process does"
    # Each application has a port of its own, behind the gateway's.
    known |= {each for each in listeners() if each[1] in PORTS and reaches(*each)}
    assert len(known) > len(urls)
    ports = {port for _, port in known}
    hosts = ["127.0.0.1", "::1", *own_addresses()]
    elsewhere = ["169.254.169.254", "10.0.0.1", "192.168.0.1"]
    addresses = [
        *known,
        *((host, port) for host in hosts for port in ports),
        *((host, 80) for host in elsewhere),
    ]
    assert hostile.tries(CONNECT_TO, addresses=addresses) == {"done": []}
    assert hostile.tries(CONNECT_TO, addresses=[("127.0.0.1", OWN_PORT)])["done"], "itself it does"


def test_what_it_prints_without_end_is_throttled_and_told(hostile: Hostile) -> None:
    hostile.tries("""
        const until = Date.now() + 1500;
        while (Date.now() < until) {
          for (let line = 0; line < 200; line++) console.log("hostile " + "x".repeat(100));
          await new Promise((resolve) => setImmediate(resolve));
        }""")
    told = hostile.shop.logged(hostile.deployment["id"], "were not logged")
    assert told[0]["severity"] == "WARNING"


def test_it_forks_without_end_and_its_neighbour_goes_on(hostile: Hostile) -> None:
    found = hostile.tries("""
        const { spawn } = require("node:child_process");
        let refused = null;
        const started = [];
        for (let count = 0; count < 5000 && !refused; count++) {
          const child = spawn("sleep", ["60"], { stdio: "ignore" });
          child.on("error", (error) => { refused = error.code; });
          started.push(child);
          if (count % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        globalThis.started = started;
        return [refused, started.length < 5000];""")
    assert found == {"done": ["EAGAIN", True]}
    hostile.is_harmless()
    hostile.tries("for (const child of globalThis.started) child.kill('SIGKILL');")


def test_it_fills_its_disk_and_no_other(hostile: Hostile) -> None:
    found = hostile.tries("""
        const { appendFileSync } = require("node:fs");
        const block = Buffer.alloc(16 * 2 ** 20);
        let size = 0;
        try { for (; size < 2 ** 33; size += block.length) appendFileSync("/tmp/hostile", block); }
        catch (error) { return [error.code, size < 2 ** 29]; }""")
    assert found == {"done": ["ENOSPC", True]}
    hostile.is_harmless()
    hostile.tries("require('node:fs').rmSync('/tmp/hostile');")


def test_it_takes_memory_without_end_and_is_started_again(hostile: Hostile) -> None:
    script = "const all = []; for (;;) all.push(Buffer.alloc(16 * 2 ** 20, 1));"
    answer = httpx.post(hostile.url, content=script, timeout=60, trust_env=False)
    assert answer.status_code == 502
    hostile.comes_back()


@pytest.mark.parametrize(
    "script",
    [
        "response.setHeader('X-Hostile', 'x'.repeat(2 ** 21)); response.end();",
        (
            "request.socket.end('HTTP/1.1 200 OK\\r\\n' +"
            " 'Content-Length: 5\\r\\nContent-Length: 7\\r\\n\\r\\nhello');"
        ),
        "request.socket.end('hostile');",
        "request.socket.destroy();",
    ],
    ids=["a header without end", "two lengths", "no HTTP", "nothing"],
)
def test_what_it_answers_against_the_rules_is_a_502(hostile: Hostile, script: str) -> None:
    answer = httpx.post(hostile.url, content=script, timeout=30, trust_env=False)
    assert answer.status_code == 502
    assert answer.json()["statusCode"] == 502


STUBBORN = """
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => {});
const { spawn } = require("node:child_process");
const loop = `trap "" TERM INT HUP; while :; do sleep 1; done; : ${token}`;
const options = { detached: true, stdio: "ignore" };
spawn("setsid", ["sh", "-c", `(${loop}) & (${loop}) &`], options).unref();
await new Promise((resolve) => setTimeout(resolve, 300));
"""


@pytest.mark.long  # it is left some seconds to end by itself
def test_one_that_ignores_signals_and_leaves_a_daemon_is_gone_after_redeploy_and_delete(
    platform: Platform, hostile: Hostile
) -> None:
    token = "hostile-daemon-4711"
    with platform.creator() as made:
        shop = Shop(made, platform)
        stubborn = Hostile(shop, deployed(shop, OWN_SECRET), hostile.neighbour)
        stubborn.tries(STUBBORN, token=token)
        assert len(processes_with(token)) >= 2
        assert shop.redeploy(stubborn.deployment["id"])["status"] == "Deployed"
        is_gone(token)
        stubborn.tries(STUBBORN, token=token)
        assert len(processes_with(token)) >= 2
        shop.delete(stubborn.deployment["id"])
        is_gone(token)


def is_gone(token: str) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while processes_with(token):
        assert time.monotonic() < deadline
        time.sleep(0.1)
