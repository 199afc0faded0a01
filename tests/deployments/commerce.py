"""A commerce project that plays the four calls of the published HTTP API that matter here.

A real server on a real port; what it stands for is hosted, and cannot be had for tests.
"""

import base64
import contextlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIENT_ID, CLIENT_SECRET = "operators-client", "secret-of-the-operator"
KEY = "shop"
PROJECT = f"europe-west1.gcp:{KEY}"


@dataclass
class CommerceProject:
    """Its API Clients, and what its next answers to a POST are to be."""

    url: str = ""
    clients: dict[str, dict[str, str]] = field(default_factory=dict)
    #: All that were ever made.
    made: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    #: What becomes of the next calls, by method: a status; "lost": done, but nobody hears of it;
    #: "held": the same, once `go_on` is set.
    faults: dict[str, list[int | str]] = field(default_factory=dict)

    def file(self, folder: Path, **changes: str) -> Path:
        """The operator's file of commerce projects."""
        values = {
            "api_url": f"{self.url}/api",
            "auth_url": f"{self.url}/auth",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        } | changes
        path = folder / "commerce.toml"
        lines = [f'["{PROJECT}"]', *(f'{name} = "{value}"' for name, value in values.items())]
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return path

    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self) -> list[str]:
        return sorted(each["name"] for each in self.clients.values())


@contextlib.contextmanager
def commerce_project() -> Iterator[CommerceProject]:
    project = CommerceProject()

    class Handler(_Handler):
        state = project

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    project.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield project
    finally:
        project.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: CommerceProject

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/auth/oauth/token":
            self._token(body)
            return
        if not self._allowed(f"/api/{KEY}/api-clients"):
            return
        draft = json.loads(body)
        made = {
            "id": secrets.token_urlsafe(18),
            "secret": secrets.token_urlsafe(24),
            "name": draft["name"],
            "scope": draft["scope"],
        }
        self.state.clients[made["id"]] = made
        self.state.made[made["id"]] = made
        self._done(201, made)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self._allowed(f"/api/{KEY}/api-clients", url.path):
            return
        where = re.fullmatch(r'name="([^"]*)"', parse_qs(url.query)["where"][0])
        assert where is not None
        found = [
            {name: value for name, value in each.items() if name != "secret"}
            for each in self.state.clients.values()
            if each["name"] == where[1]
        ]
        self._done(200, {"limit": 500, "offset": 0, "count": len(found), "results": found})

    def do_DELETE(self) -> None:
        folder, _, id_ = self.path.rpartition("/")
        if self._allowed(f"/api/{KEY}/api-clients", folder):
            gone = self.state.clients.pop(id_, None)
            if gone is None:
                self._answer(404, {"statusCode": 404, "message": f"'{id_}' was not found."})
            else:
                self._done(200, gone)

    def _token(self, body: bytes) -> None:
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {pair}":
            message = "Please provide valid client credentials using HTTP Basic Authentication."
            self._answer(401, {"statusCode": 401, "message": message})
            return
        assert parse_qs(body.decode())["grant_type"] == ["client_credentials"]
        token = secrets.token_hex(8)
        self.state.tokens.add(token)
        self._answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 1000})

    def _allowed(self, wanted: str, path: str | None = None) -> bool:
        """Whether the call has a token and the right path, and is to be done."""
        if self.headers["Authorization"].removeprefix("Bearer ") not in self.state.tokens:
            self._answer(401, {"statusCode": 401, "message": "invalid_token"})
            return False
        if (path or self.path) != wanted:
            self._answer(404, {"statusCode": 404, "message": "URI not found"})
            return False
        fault = next(iter(self.state.faults.get(self.command, [])), None)
        if isinstance(fault, int):
            self.state.faults[self.command].pop(0)
            message = f"cannot be done with {CLIENT_SECRET}"
            self._answer(fault, {"statusCode": fault, "message": message})
            return False
        return True

    def _done(self, status: int, body: dict[str, Any]) -> None:
        faults = self.state.faults.get(self.command, [])
        if faults:
            if faults.pop(0) == "held":
                assert self.state.go_on.wait(60)
            self.close_connection = True
            return
        self._answer(status, body)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing: what is asked for is asserted on."""
