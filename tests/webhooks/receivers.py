"""A real receiver of webhooks on loopback, and how it knows that what comes is what was sent."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Json = dict[str, Any]

SECONDS = 60.0


@dataclass(frozen=True)
class Heard:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Json:
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        """By the words of the standard: HMAC-SHA256 of id, timestamp and body, joined by dots."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return self.headers["webhook-signature"] == f"v1,{signature}"


@dataclass
class Receiver:
    """Hears everything, and answers each path with the statuses it is told, then with 204."""

    port: int
    heard: list[Heard] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    #: Held back while this is not set.
    free: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def on(self, path: str) -> list[Heard]:
        return [each for each in self.heard if each.path == path]

    def until(self, count: int, path: str = "/hook", seconds: float = SECONDS) -> list[Heard]:
        """What came to a path, once it was so many times."""
        deadline = time.monotonic() + seconds
        while len(found := self.on(path)) < count:
            assert time.monotonic() < deadline, [each.payload for each in found]
            time.sleep(0.02)
        return found


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.heard.append(Heard(self.path, headers, body))
            receiver.free.wait(SECONDS)
            answers = receiver.answers.get(self.path)
            with contextlib.suppress(OSError):  # who asked may be gone
                self.send_response(answers.pop(0) if answers else 204)
                self.send_header("Location", receiver.url("/elsewhere"))
                self.end_headers()
                self.wfile.write(b"" if not answers else b"x" * 100_000)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_port)
    receiver.free.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.free.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Hooks:
    """The webhooks of a Project, as its owner sees them."""

    http: httpx.Client
    project: str

    @property
    def path(self) -> str:
        return f"/{self.project.partition(':')[2]}/webhooks"

    def create(self, url: str, *events: str) -> Json:
        body: Json = {"url": url} | ({"events": list(events)} if events else {})
        answer = self.http.post(self.path, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def refused(self, url: str) -> str:
        answer = self.http.post(self.path, json={"url": url})
        assert answer.status_code == 400, answer.text
        (error,) = answer.json()["errors"]
        return str(error["detailedErrorMessage"])

    def deliveries(self, id_: str) -> list[Json]:
        answer = self.http.get(f"{self.path}/{id_}/deliveries")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    def all_delivered(self, id_: str, count: int) -> None:
        """Wait until so many deliveries are over, and all there are."""
        deadline = time.monotonic() + SECONDS
        while [each["state"] for each in self.deliveries(id_)] != ["delivered"] * count:
            assert time.monotonic() < deadline, self.deliveries(id_)
            time.sleep(0.02)

    def delivery(self, id_: str, *, attempts: int = 1, state: str | None = None) -> Json:
        """The latest delivery, once it has had so many attempts, and is in a state."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = self.deliveries(id_)
            if (
                found
                and len(found[0]["attempts"]) >= attempts
                and state in (None, found[0]["state"])
            ):
                return found[0]
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
