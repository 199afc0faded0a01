"""The machine's own `npm audit`, against a registry that the test serves on loopback."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectory.staging.checks.locks import read_locks
from connectory.staging.checks.model import Severity
from connectory.staging.checks.npm_audit import NpmAudit, in_range
from connectory.staging.checks.osv import order
from tests.checks.advisories import package_lock

BULK = "/-/npm/v1/security/advisories/bulk"


class Registry(ThreadingHTTPServer):
    """What `npm audit` asks a registry: the advisories, and the versions of what is affected."""

    def __init__(self, advisories):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.advisories = advisories
        self.asked = []


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        asked = json.loads(body)
        self.server.asked.append((self.path, asked))
        known = self.server.advisories
        self.answer({name: known[name] for name in asked if name in known})

    def do_GET(self):
        name = self.path.strip("/")
        versions = {version: {"name": name, "version": version} for version in ("1.3.0", "1.3.1")}
        self.answer({"name": name, "dist-tags": {"latest": "1.3.1"}, "versions": versions})

    def answer(self, value):
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ADVISORY = {
    "id": 1001,
    "url": "https://github.com/advisories/GHSA-left-pad",
    "title": "Pads too far",
    "severity": "high",
    "vulnerable_versions": "<1.3.1",
    "cwe": [],
    "cvss": {"score": 8.1, "vectorString": None},
}


@pytest.fixture
def registry():
    server = Registry({"left-pad": [ADVISORY]})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def environment(registry, node, tmp_path):
    """An operator's: where npm is, and which registry it asks."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{node.rpartition('/')[0]}:/usr/bin:/bin",
        "HOME": str(home),
        "npm_config_registry": f"http://127.0.0.1:{registry.server_port}/",
        "CONNECTORY_SECRET_KEYS_FILE": "not for npm",
    }


def scan(audit, tree):
    return audit.scan(tree.root, read_locks(tree.root).packages)


def test_npm_tells_what_its_registry_knows(tree, environment, registry, tmp_path):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0", "fine@1.0.0"))
    tree.write("service/package.json", {"name": "service", "dependencies": {"left-pad": "^1"}})
    # A registry of the tree's own choice would be told what the server's holds.
    tree.write("service/.npmrc", "registry=http://127.0.0.1:9/\n")
    result = scan(NpmAudit(environment), tree)
    assert result.reason == ""
    assert result.looked_at == {"npm"}
    [found] = result.found
    assert (found.locked.package, found.locked.version, found.fixed) == (
        *("left-pad", "1.3.0", "1.3.1"),
    )
    assert (found.id, found.severity, found.summary) == (
        *("GHSA-left-pad", Severity.HIGH, "Pads too far"),
    )
    [(path, asked)] = registry.asked
    assert path == BULK
    assert asked == {"left-pad": ["1.3.0"], "fine": ["1.0.0"]}


def test_locks_that_npm_does_not_read_are_not_looked_at(tree, environment):
    tree.write("service/yarn.lock", 'left-pad@^1:\n  version "1.3.0"\n')
    (tree.root / "service/package-lock.json").unlink()
    result = scan(NpmAudit(environment), tree)
    assert (result.found, result.looked_at) == ((), frozenset())


def test_without_an_answer_it_looked_at_nothing(tree, environment):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0"))
    silent = environment | {
        "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_fetch_retries": "0",
    }
    result = scan(NpmAudit(silent), tree)
    assert (result.found, result.looked_at) == ((), frozenset())
    assert result.reason.startswith("npm audit of service/package-lock.json: ")


def test_without_npm_it_says_so(tree):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0"))
    result = scan(NpmAudit({"PATH": "/nowhere"}), tree)
    assert (result.found, result.looked_at) == ((), frozenset())
    assert "npm is not installed" in result.reason


def program(folder, text):
    """An npm of the test's own, first on the path."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "npm").chmod(0o700)
    return {"PATH": f"{folder}:/usr/bin:/bin", "CONNECTORY_X": "secret"}


def test_an_npm_that_never_ends_is_ended_with_what_it_started(tree, tmp_path):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0"))
    environment = program(tmp_path / "bin", "sleep 60")
    result = scan(NpmAudit(environment, seconds=0.3), tree)
    assert "did not end within 0.3 seconds" in result.reason


@pytest.mark.parametrize("output", ["", "{", "[]", '{"message": "ENOLOCK"}', '{"a": 1}'])
def test_nonsense_from_npm_is_no_pass(tree, tmp_path, output):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0"))
    result = scan(NpmAudit(program(tmp_path / "bin", f"echo '{output}'")), tree)
    assert (result.found, result.looked_at) == ((), frozenset())
    assert result.reason


def test_npm_knows_nothing_of_the_server(tree, tmp_path):
    tree.write("service/package-lock.json", package_lock("left-pad@1.3.0"))
    seen = tmp_path / "seen"
    scan(NpmAudit(program(tmp_path / "bin", f"env > {seen}; ls -a >> {seen}")), tree)
    text = seen.read_text()
    assert "CONNECTORY_X" not in text
    assert text.split("\n")[-5:] == [".", "..", "package-lock.json", "package.json", ""]


@pytest.mark.parametrize(
    ("text", "version", "told"),
    [
        ("<1.3.1", "1.3.0", (True, "1.3.1")),
        ("<1.3.1", "1.3.1", (False, None)),
        (">=2.0.0 <2.0.7 || <1.1.5", "2.0.6", (True, "2.0.7")),
        (">=2.0.0 <2.0.7 || <1.1.5", "1.1.4", (True, "1.1.5")),
        (">=2.0.0 <2.0.7 || <1.1.5", "1.2.0", (False, None)),
        ("<=1.4.0", "1.4.0", (True, None)),
        (">1.4.0", "1.4.0", (False, None)),
        ("1.4.0", "1.4.0", (True, None)),
        ("=1.4.0", "1.5.0", (False, None)),
        ("*", "9.9.9", (True, None)),
        (">=1.x", "1.0.0", (True, None)),
    ],
)
def test_a_range_of_an_advisory_holds_versions(text, version, told):
    assert in_range(text, version, order("npm")) == told
