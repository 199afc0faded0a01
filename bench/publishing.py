"""From a connect.yaml to a Connector: validation, and publishes one by one and all at once."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.harness import COMMAND, Credentials, Installation
from tests.staging.repositories import GOOD, SCANNERS_OFF, Repositories

from bench import load, operating
from bench.report import Section, milliseconds

FILES = 300
LATENCIES = 50
PUBLISHES = 1_000
VISIBLE_SECONDS = 0.3
PUBLISHES_A_SECOND = 20
LONGEST_SECONDS = 300.0

_PROJECT = "bench"


def measure(folder: Path) -> Section:
    """Validate files, publish one ConnectorStaged again and again, and 1,000 at once."""
    section = Section("From connect.yaml to a Connector")
    _validate(section, folder / "files")
    repositories = Repositories(folder / "repositories", "acme")
    repositories.tag("v1.0.0")
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)  # how long they take is theirs
    settings = repositories.settings | {"CONNECTORY_CHECK_POLICY": str(policy)}
    installation = Installation(folder / "publishing" / "data", settings=settings)
    installation.data.mkdir(parents=True)
    installation.project(_PROJECT)
    credentials = installation.credentials(_PROJECT)
    _publish_one_by_one(section, installation, credentials, repositories)
    _publish_at_once(section, installation, credentials, repositories)
    return section


def _validate(section: Section, folder: Path) -> None:
    for number in range(FILES):
        for name, text in GOOD.items():
            file = folder / str(number) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    paths = [str(folder / str(number)) for number in range(FILES)]

    def seconds(*arguments: str) -> float:
        began = time.perf_counter()
        subprocess.run([COMMAND, "validate", *arguments], check=True, capture_output=True)
        return time.perf_counter() - began

    one, all_ = (min(seconds(*given) for _ in range(3)) for given in (paths[:1], paths))
    text = GOOD["connect.yaml"]
    began = time.perf_counter()
    for _ in range(FILES):
        yaml.load(text, yaml.CSafeLoader)
    parsed = time.perf_counter() - began
    each = (all_ - one) / (FILES - 1)
    rows = [
        ("", "time", "a second"),
        (f"`connectory validate` of {FILES} folders", f"{all_:.2f} s", f"{FILES / all_:,.0f}"),
        ("of one folder", f"{one:.2f} s", f"{1 / one:.1f}"),
        ("each further one", milliseconds(each), f"{1 / each:,.0f}"),
        ("libyaml alone, each", milliseconds(parsed / FILES), f"{FILES / parsed:,.0f}"),
    ]
    section.tables.append(("Validation, with the folder of an application", rows))


def _publish_one_by_one(
    section: Section,
    installation: Installation,
    credentials: Credentials,
    repositories: Repositories,
) -> None:
    found, answered = [], []
    with operating.serving(installation) as running, client(running, credentials) as api:
        staged = _create(api, repositories, "one-by-one")
        for number in range(1, LATENCIES + 1):
            _update(api, staged, {"action": "setDescription", "description": f"Number {number}"})
            began = time.perf_counter()
            _update(api, staged, {"action": "publish", "certification": False})
            answered.append(time.perf_counter() - began)
            _wait(lambda number=number: _found(api, staged["key"]) == number, 0.002)
            found.append(time.perf_counter() - began)
            _wait(lambda: _settled(api, staged), 0.002)
    slow = load.quantile(found, 0.99)
    section.judge(
        "from `publish` to found by search, p99",
        f"< {VISIBLE_SECONDS * 1_000:.0f} ms",
        milliseconds(slow),
        slow < VISIBLE_SECONDS,
    )
    rows = [
        ("", "p50", "p99"),
        *(
            (what, milliseconds(load.median(each)), milliseconds(load.quantile(each, 0.99)))
            for what, each in (
                ("the answer to `publish`", answered),
                ("found by search", found),
            )
        ),
    ]
    title = f"{LATENCIES} publishes, one after the other, of a local repository, scanners off"
    section.tables.append((title, rows))


def _publish_at_once(
    section: Section,
    installation: Installation,
    credentials: Credentials,
    repositories: Repositories,
) -> None:
    queueing = {"CONNECTORY_WORK_CONCURRENCY": "0", "CONNECTORY_MAX_DRAFTS": str(PUBLISHES + 1)}
    idle = Installation(
        installation.data, installation.database_url, installation.settings | queueing
    )
    with operating.serving(idle) as running, client(running, credentials) as api:
        for number in range(PUBLISHES):
            staged = _create(api, repositories, f"at-once-{number}")
            _update(api, staged, {"action": "publish", "certification": False})
    began = time.perf_counter()
    with operating.serving(installation) as running, client(running, credentials) as api:
        _wait(lambda: _total(api) == PUBLISHES + 1, 0.1)
        seconds = time.perf_counter() - began
    rate = PUBLISHES / seconds
    section.judge(
        f"publishes a second, {PUBLISHES:,} queued at once, start of the server included",
        f">= {PUBLISHES_A_SECOND}",
        f"{rate:.0f}",
        rate >= PUBLISHES_A_SECOND,
    )
    section.notes.append(
        "The limit: each publish reads a commit with git, in processes of their own, and commits a"
        " transaction for each of its steps; SQLite has one writer."
    )


def client(running: operating.Serving, credentials: Credentials) -> httpx.Client:
    headers = {"Authorization": f"Bearer {running.token(credentials)}"}
    return httpx.Client(base_url=running.url, headers=headers, timeout=60)


def _create(api: httpx.Client, repositories: Repositories, key: str) -> dict[str, Any]:
    draft = {
        "key": key,
        "name": key,
        "creator": {"email": "connect@acme.example"},
        "repository": {"url": repositories.url(), "tag": "v1.0.0"},
    }
    answer = api.post("/connectors/drafts", json=draft)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _update(api: httpx.Client, staged: dict[str, Any], action: dict[str, Any]) -> None:
    known = api.get(f"/connectors/drafts/{staged['id']}").json()
    body = {"version": known["version"], "actions": [action]}
    answer = api.post(f"/connectors/drafts/{staged['id']}", json=body)
    assert answer.status_code == 201, answer.text


def _settled(api: httpx.Client, staged: dict[str, Any]) -> bool:
    status = api.get(f"/connectors/drafts/{staged['id']}").json()["status"]
    assert status != "Failed"
    return bool(status == "Published")


def _found(api: httpx.Client, key: str) -> int:
    """The version of a Connector that search finds; 0 where it finds none."""
    results = api.get("/connectors/search", params={"key": key}).json()["results"]
    return int(results[0]["version"]) if results else 0


def _total(api: httpx.Client) -> int:
    return int(api.get("/connectors/search", params={"limit": 0}).json()["total"])


def _wait(done: Callable[[], bool], pause: float) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(pause)
