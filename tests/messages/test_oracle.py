"""An oracle of at-least-once delivery: publishers, an unreliable application, and kills.

What was accepted is delivered until it is acknowledged, whenever the server dies; and what was
acknowledged is delivered again only where it died in between. The application asks a recorder
before each answer, which counts deliveries and knows nothing of the server. For that it has to
reach this machine's loopback, so it runs without a network of its own.
"""

import contextlib
import itertools
import json
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.shops import opened, own_installation
from tests.harness import Installation
from tests.messages.listeners import Listening, listener, message

ACKNOWLEDGING = {"204", "slow", "twice"}
#: What the application does with a message, delivery by delivery.
FATES: list[list[Any]] = [
    *([[204]] * 12),
    [500, 204],
    [503, 500, 204],
    ["slow"],
    ["twice"],
]
#: Of these publishes only, since each death lets the next start wait for longer.
DEADLY, DEADLY_PUBLISHES = ["die", 204], (30, 90)
AT_ONCE = 5


@dataclass
class Recorder:
    """Hears of each delivery, before it is answered."""

    #: (moment, what was answered) of each, by the message's id.
    heard: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answers = json.loads(self.rfile.read(int(self.headers["content-length"])))
                before = heard[self.path.strip("/")]
                count = len(before)
                before.append((time.monotonic(), str(answers[min(count, len(answers) - 1)])))
                body = str(count).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class Publisher:
    """Publishes without a pause, to whatever server there is."""

    headers: dict[str, str]
    path: str
    url: str = ""
    #: Ids of what was accepted.
    accepted: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    refused: list[str] = field(default_factory=list)

    def run(self, rng: random.Random) -> None:
        number = 0
        with httpx.Client(headers=self.headers, timeout=20, trust_env=False) as client:
            while not self.stopped.is_set():
                told = [
                    {
                        "name": f"{number}-{each}",
                        "answers": rng.choice(FATES),
                        "quiet": True,
                    }
                    for each in range(AT_ONCE)
                ]
                if number in DEADLY_PUBLISHES:
                    told[0]["answers"] = DEADLY
                number += 1
                with contextlib.suppress(httpx.TransportError):
                    answer = client.post(
                        f"{self.url}{self.path}", json={"messages": list(map(message, told))}
                    )
                    if answer.status_code == 200:
                        self.accepted += answer.json()["messageIds"]
                    elif answer.status_code != 503:
                        self.refused.append(answer.text)
                time.sleep(0.01)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """One whose applications share the machine's network."""
    made = own_installation(tmp_path)
    useless = tmp_path / "path" / "bwrap"
    useless.parent.mkdir()
    useless.write_text("#!/bin/sh\nexit 1\n")
    useless.chmod(0o755)
    path = f"{useless.parent}{os.pathsep}{os.environ['PATH']}"
    made.settings |= {"PATH": path, "CONNECTORY_MESSAGES_ACKNOWLEDGED_KEPT": "100000"}
    return made


@pytest.mark.parametrize(
    "kills",
    [10, pytest.param(100, marks=(pytest.mark.long, pytest.mark.timeout(900)))],
)
def test_nothing_is_lost_and_nothing_comes_again_but_for_a_kill(
    installation: Installation, kills: int
) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    recorder = Recorder()
    killed_at: list[float] = []
    with recorder.listening() as address:
        with installation.serving() as server, opened(installation, server) as shop:
            values = {
                "applicationName": "listener",
                "standardConfiguration": [{"key": "RECORDER", "value": address}],
            }
            connector = shop.published(listener("{strategy: immediate}"))
            made = Listening(shop, shop.deployed(connector, configurations=[values]))
            headers = {"Authorization": shop.http.headers["authorization"]}
            topic, path = made.topic, made.path
        publisher = Publisher(headers, f"/v1/{topic}:publish")
        thread = threading.Thread(target=publisher.run, args=(rng,), daemon=True)
        try:
            for number in range(kills):
                with installation.serving() as server:
                    publisher.url = server.url
                    if not number:
                        thread.start()
                    if number % 5 == 4:
                        redeploy(server.url, path, headers)
                    time.sleep(rng.uniform(0.1, 0.6))
                    server.kill()
                    killed_at.append(time.monotonic())
        finally:
            publisher.stopped.set()
        thread.join()
        with installation.serving() as server:
            until_settled(server.url, path, headers)
    assert not publisher.refused
    assert len(publisher.accepted) > kills
    check(publisher.accepted, recorder, killed_at)


def redeploy(url: str, path: str, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
        version = client.get(path).json()["version"]
        body = {"version": version, "actions": [{"action": "redeploy"}]}
        client.post(path, json=body)  # one that a kill left under way goes on by itself


def until_settled(url: str, path: str, headers: dict[str, str]) -> None:
    """Wait until no message waits."""
    deadline = time.monotonic() + 240
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
        while True:
            query = {"state": "waiting", "limit": 1}
            if not (left := client.get(f"{path}/messages", params=query).json()["data"]):
                return
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


def check(accepted: list[str], recorder: Recorder, killed_at: list[float]) -> None:
    lost = [
        each
        for each in accepted
        if not any(answer in ACKNOWLEDGING for _, answer in recorder.heard[each])
    ]
    assert not lost
    ends = [
        *killed_at,
        # Others that were under way when it died got no answer either.
        *(moment for each in recorder.heard.values() for moment, said in each if said == "die"),
    ]
    for id_, heard in recorder.heard.items():
        for (moment, answer), (again, _) in itertools.pairwise(heard):
            if answer in ACKNOWLEDGING:
                excused = [each for each in ends if moment - 0.1 < each < min(again, moment + 5)]
                assert excused, (id_, heard)
