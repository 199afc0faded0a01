"""Messages to one event application: how many a second, how soon, and what waiting ones cost.

`python -m bench.messaging` measures only these.
"""

import argparse
import base64
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench import load, report
from bench.deploys import Platform, deploying
from bench.report import Section, megabytes, milliseconds

MESSAGES, AT_ONCE, PUBLISHERS = 30_000, 50, 2
PACED, PACE = 3_000, 200
WAITING = 1_000_000
LEAST_A_SECOND, MOST_P99_SECONDS, MOST_GROWTH_BYTES = 2_000, 0.05, 100e6
LONGEST_SECONDS = 600.0

_CONNECT_YAML = """deployAs:
  - name: receiver
    applicationType: event
    endpoint: /event
"""
_PACKAGE = '{"name": "receiver", "version": "1.0.0", "scripts": {"start": "node index.js"}}'
#: Acknowledges everything but what says `refuse`; tells how late messages were when it is asked.
_PROGRAM = """
const http = require("node:http");
let late = [];
http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const { message } = JSON.parse(Buffer.concat(parts));
    const told = JSON.parse(Buffer.from(message.data, "base64"));
    if (told.report) {
      late.sort((one, other) => one - other);
      const of = (share) => (late[Math.floor((late.length - 1) * share)] ?? 0) / 1000;
      const told = { count: late.length, p50: of(0.5), p99: of(0.99) };
      response.writeHead(200).end(JSON.stringify(told));
      late = [];
      return;
    } else if (told.at) {
      late.push(Date.now() - told.at);
    }
    response.writeHead(told.refuse ? 503 : 204).end();
  });
}).listen(8080);
"""


class _Topic:
    """The topic of a receiver that was deployed."""

    def __init__(self, platform: Platform, name: str) -> None:
        self._platform = platform
        files = {
            "connect.yaml": _CONNECT_YAML,
            "receiver/package.json": _PACKAGE,
            "receiver/index.js": _PROGRAM,
        }
        platform.repositories.tag("v1.0.0", files, name=name)
        connector = platform.published(name, name, "v1.0.0")
        self.path = f"/bench/deployments/{platform.created(connector)}"
        deadline = time.monotonic() + LONGEST_SECONDS
        while (found := platform.api.get(self.path).json())["status"] != "Deployed":
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        self.target = f"/v1/{found['applications'][0]['topic']}:publish"

    def client(self) -> load.Client:
        api = self._platform.api
        token = api.headers["authorization"].removeprefix("Bearer ")
        return load.Client(str(api.base_url).rstrip("/"), token)

    def reported(self) -> dict[str, Any]:
        """How late the messages were since the last report: `count`, `p50`, `p99` (seconds)."""
        client = self.client()
        _, answer = client.timed(self.target, method="POST", json=publish_body([{"report": True}]))
        client.close()
        (id_,) = json.loads(answer)["messageIds"]
        deadline = time.monotonic() + LONGEST_SECONDS
        while True:
            found = self._platform.api.get(f"{self.path}/messages/{id_}").json()
            if found["state"] == "acknowledged":
                told: dict[str, Any] = json.loads(found["attempts"][-1]["answer"])
                return told
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def acknowledged(self) -> int:
        """How many messages were acknowledged since the server's start."""
        for line in self._platform.api.get("/metrics").text.splitlines():
            if line.startswith('connectory_deliveries_total{outcome="acknowledged"}'):
                return int(float(line.rsplit(" ", 1)[1]))
        raise AssertionError("there is no such metric")


def publish_body(told: list[dict[str, Any]]) -> str:
    """The body of a publish call with messages of JSON."""
    messages = [{"data": base64.b64encode(json.dumps(each).encode()).decode()} for each in told]
    return json.dumps({"messages": messages})


def measure(folder: Path) -> Section:
    """A flood, and a pace that an application keeps up with easily."""
    section = Section("Messages to one event application, on SQLite")
    with deploying(folder / "messages") as platform:
        topic = _Topic(platform, "receiver")
        _flood(topic, 2_000)
        seconds = _flood(topic, MESSAGES)
        rate = MESSAGES / seconds
        section.judge(
            "accepted durably, delivered and acknowledged, a second",
            f">= {LEAST_A_SECOND:,}",
            f"{rate:,.0f}",
            rate >= LEAST_A_SECOND,
        )
        topic.reported()
        _paced(topic)
        late = topic.reported()
        assert late["count"] == PACED, late
        p99 = late["p99"]
        section.judge(
            f"from publish to delivery at {PACE} a second, p99",
            f"<= {milliseconds(MOST_P99_SECONDS)}",
            milliseconds(p99),
            p99 <= MOST_P99_SECONDS,
        )
        section.notes.append(
            f"The flood: {MESSAGES:,} messages in calls of {AT_ONCE} over {PUBLISHERS}"
            f" connections. The pace: {PACED:,} calls of one message each, over one connection;"
            f" p50 {milliseconds(late['p50'])}, by a clock of whole milliseconds."
        )
    return section


def measure_waiting(folder: Path, count: int = WAITING) -> Section:
    """What messages cost that wait for an application that refuses them."""
    section = Section(f"{count:,} messages that wait")
    with deploying(folder / "waiting") as platform:
        topic = _Topic(platform, "refuser")
        body = publish_body([{"refuse": True}] * 1_000)
        client = topic.client()
        for _ in range(10):
            client.timed(topic.target, method="POST", json=body)
        before = load.resident_bytes(platform.pid)
        began = time.perf_counter()
        for _ in range(count // 1_000 - 10):
            client.timed(topic.target, method="POST", json=body)
        seconds = time.perf_counter() - began
        growth = load.resident_bytes(platform.pid) - before
        client.close()
        section.judge(
            "growth of the server's memory",
            f"<= {megabytes(MOST_GROWTH_BYTES)}",
            megabytes(growth),
            growth <= MOST_GROWTH_BYTES,
        )
        section.notes.append(
            f"From 10,000 to {count:,} waiting, published by one connection in calls of 1,000:"
            f" {count / seconds:,.0f} a second."
        )
    return section


def _flood(topic: _Topic, count: int) -> float:
    """Publish as fast as can be; the seconds until all were acknowledged."""
    before = topic.acknowledged()
    body = publish_body([{"flood": True}] * AT_ONCE)

    def publish() -> None:
        client = topic.client()
        for _ in range(count // AT_ONCE // PUBLISHERS):
            client.timed(topic.target, method="POST", json=body)
        client.close()

    threads = [threading.Thread(target=publish) for _ in range(PUBLISHERS)]
    began = time.perf_counter()
    for each in threads:
        each.start()
    while topic.acknowledged() - before < count:
        assert time.perf_counter() - began < LONGEST_SECONDS
        time.sleep(0.05)
    return time.perf_counter() - began


def _paced(topic: _Topic) -> None:
    """Publish one by one, so many a second."""
    client = topic.client()
    began = time.perf_counter()
    for number in range(PACED):
        wait = began + number / PACE - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        body = publish_body([{"at": time.time() * 1_000}])
        client.timed(topic.target, method="POST", json=body)
    client.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.messaging", description=__doc__)
    parser.add_argument("--waiting", type=int, help="so many messages that wait, and no more")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connectory-bench-") as folder:
        if options.waiting:
            section = measure_waiting(Path(folder), options.waiting)
        else:
            section = measure(Path(folder))
        print(report.markdown([section], "Messages."))


if __name__ == "__main__":
    main()
