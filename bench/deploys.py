"""Deploys beside the same by hand, cold starts, rollbacks, and what idle services cost.

`python -m bench.deploys` measures only these.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.deployments.shops import example
from tests.harness import Installation, free_port
from tests.staging.repositories import SCANNERS_OFF, Repositories

from bench import load, operating, publishing, report, rollbacks
from bench.report import Section, megabytes, milliseconds
from connectory.containment.processes import children, name

ROUNDS, STARTS, IDLE = 7, 9, 300
OF_BY_HAND, CACHED_SECONDS, COLD_SECONDS, IDLE_BYTES = 1.15, 1.5, 0.15, 200e6
LONGEST_SECONDS = 300.0

_PROJECT, _REGION = "bench", "europe-west1.gcp"
_STARTER = Path(__file__).parent / "starter"
_PATH = "/service"
#: Asked more often, the server would be busier with answering than a client makes it.
_POLL_SECONDS = 0.05
#: What there is of a sandbox while anything is in it.
_OF_SANDBOXES = ("bwrap", "pasta", "passt")
_SETTINGS = {
    "CONNECTORY_IDLE_SECONDS": "1",
    "CONNECTORY_MAX_DEPLOYMENTS": str(2 * IDLE),
    "CONNECTORY_WORK_CONCURRENCY": "4",
    "CONNECTORY_WORK_PER_PROJECT": "4",
}
#: As builds of Connectory have it: nothing is asked of the registry but packages.
_NPM = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
}


@dataclass(frozen=True)
class Platform:
    """A server that deploys, a client of it, and the repositories that it reaches."""

    api: httpx.Client
    pid: int
    repositories: Repositories

    def published(self, key: str, repository: str, tag: str) -> str:
        """A Connector of a tag; its id."""
        draft = {
            "key": key,
            "name": key,
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": self.repositories.url(repository), "tag": tag},
        }
        answer = self.api.post("/connectors/drafts", json=draft)
        assert answer.status_code == 201, answer.text
        staged = answer.json()
        body = {
            "version": staged["version"],
            "actions": [{"action": "publish", "certification": False}],
        }
        answer = self.api.post(f"/connectors/drafts/{staged['id']}", json=body)
        assert answer.status_code == 201, answer.text
        _until(lambda: self.api.get(f"/connectors/{staged['id']}").status_code == 200)
        return str(staged["id"])

    def created(self, connector: str) -> str:
        """Ask for a Deployment of a Connector; its id."""
        draft = {"connector": {"id": connector}, "configurations": [], "region": _REGION}
        answer = self.api.post(f"/{_PROJECT}/deployments", json=draft)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def url(self, deployment: str) -> str:
        """Where a Deployment answers, without the path; waits until it is deployed."""
        found: dict[str, Any] = {}

        def settled() -> bool:
            found.update(self.api.get(f"/{_PROJECT}/deployments/{deployment}").json())
            return found["status"] not in ("Queued", "Deploying")

        _until(settled, _POLL_SECONDS)
        assert found["status"] == "Deployed", found["details"]
        return str(found["applications"][0]["url"]).removesuffix(_PATH)

    def deployed(self, connector: str) -> tuple[float, str, str]:
        """Deploy; the seconds from `POST` to the first answer, the Deployment and its URL."""
        began = time.perf_counter()
        deployment = self.created(connector)
        url = self.url(deployment)
        _called(url)
        return time.perf_counter() - began, deployment, url

    def delete(self, deployment: str) -> None:
        """Delete a Deployment, and wait until it is gone."""
        path = f"/{_PROJECT}/deployments/{deployment}"
        answer = self.api.delete(path)
        assert answer.status_code == 202, answer.text
        _until(lambda: self.api.get(path).status_code == 404)

    def wait_for_sleep(self) -> None:
        """Wait until no application runs."""
        _until(lambda: not any(name(each).startswith(_OF_SANDBOXES) for each in _tree(self.pid)))


def measure(folder: Path, rounds: int = ROUNDS, starts: int = STARTS, idle: int = IDLE) -> Section:
    """By turns: deploys and the same by hand; cold starts and starts by hand; then the rest."""
    section = Section("Deploys")
    lacking = [each for each in ("git", "node", "npm") if shutil.which(each) is None]
    if lacking:
        why = f"{', '.join(lacking)}: not installed"
        section.lack("`POST` to answering, of the same by hand", f"<= {OF_BY_HAND}", why)
        return section
    with deploying(folder / "deploys") as platform:
        by_hand = ByHand(folder / "by-hand", platform.repositories)
        connector = _judge_deploys(section, platform, by_hand, rounds)
        _judge_starts(section, platform, by_hand, connector, starts)
        rollbacks.judge(section, platform, f"/{_PROJECT}/deployments")
        _judge_idle(section, platform, idle)
    return section


@contextlib.contextmanager
def deploying(folder: Path, **more: str) -> Iterator[Platform]:
    """A server that deploys, in a folder of its own, with these settings besides."""
    folder.mkdir()
    repositories = Repositories(folder / "deployed", "acme")
    policy = folder / "deploys.toml"
    policy.write_text(SCANNERS_OFF)  # nothing is built before it is deployed
    settings = {**repositories.settings, **_SETTINGS, "CONNECTORY_CHECK_POLICY": str(policy)}
    installation = Installation(folder / "data", settings={**settings, **more})
    installation.data.mkdir(parents=True)
    installation.project(_PROJECT)
    credentials = installation.credentials(_PROJECT)
    with (
        operating.serving(installation) as running,
        publishing.client(running, credentials) as api,
    ):
        yield Platform(api, running.process.pid, repositories)


class ByHand:
    """The same without Connectory: a clone, a package cache of its own, npm and node."""

    def __init__(self, folder: Path, repositories: Repositories) -> None:
        folder.mkdir()
        self._folder = folder
        self._origin = f"file://{repositories.folder}/acme/starter.git"
        self._environment = {**os.environ, **_NPM, "npm_config_cache": str(folder / "cache")}
        self._service = folder

    def deployed(self, tag: str) -> float:
        """Clone, install, build and start; the seconds until it answers."""
        clone = self._folder / tag
        self._service = clone / "service"
        began = time.perf_counter()
        self._run(self._folder, "git", "clone", "--quiet", "--depth=1", f"--branch={tag}",
                  self._origin, str(clone))  # fmt: skip
        self._run(self._service, "npm", "ci", "--prefer-offline")
        self._run(self._service, "npm", "run", "gcp-build")
        self._started("npm", "start")
        return time.perf_counter() - began

    def started(self) -> float:
        """Start what was built last, as Connectory does; the seconds until it answers."""
        began = time.perf_counter()
        return self._started("node", "build/index.js") - began

    def _started(self, *command: str) -> float:
        """Start, and end it again; when it answered."""
        port = free_port()
        with (self._folder / "log").open("w") as log:
            process = subprocess.Popen(
                command,
                cwd=self._service,
                env={**self._environment, "PORT": str(port), "NODE_ENV": "production"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            load.wait_for_answer(f"http://127.0.0.1:{port}", _PATH, process, LONGEST_SECONDS)
            return time.perf_counter()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _run(self, folder: Path, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _judge_deploys(section: Section, platform: Platform, by_hand: ByHand, rounds: int) -> str:
    """Deploys beside the same by hand; the Connector that was deployed last.

    Each round is a new commit: its packages are in both caches, and nothing of it is built.
    """
    files = {
        str(file.relative_to(_STARTER)): file.read_text()
        for file in sorted(_STARTER.rglob("*"))
        if file.is_file()
    }
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds + 1):
        tag = f"v1.0.{number}"
        platform.repositories.tag(tag, files | {"round": str(number)}, name="starter")
        connector = platform.published(f"starter-{number}", "starter", tag)
        os.sync()  # what one wrote is not on its way to the disk while the other builds
        hand = by_hand.deployed(tag)
        os.sync()
        seconds, deployment, _ = platform.deployed(connector)
        platform.delete(deployment)
        if number:  # the first fills the caches
            ours.append(seconds)
            theirs.append(hand)
    ratio = load.median([one / other for one, other in zip(ours, theirs, strict=True)])
    section.judge(
        "`POST` to answering, of clone, `npm ci`, build and `npm start` by hand",
        f"<= {OF_BY_HAND}",
        f"{ratio:.2f}",
        ratio <= OF_BY_HAND,
    )
    rows = [
        ("", "median", "lowest and highest"),
        *(
            (what, f"{load.median(found):.1f} s", f"{min(found):.1f} s to {max(found):.1f} s")
            for what, found in (("by hand", theirs), ("`POST` to answering", ours))
        ),
    ]
    title = f"A service of the starter kit, {rounds} commits, packages in both caches, by turns"
    section.tables.append((title, rows))
    return connector


def _judge_starts(
    section: Section, platform: Platform, by_hand: ByHand, connector: str, starts: int
) -> None:
    """What was built last, deployed again, then slept and woken; by hand each time, too."""
    own, cached, cold = [], [], []
    _, kept, url = platform.deployed(connector)
    for _ in range(starts):
        own.append(by_hand.started())
        seconds, deployment, _ = platform.deployed(connector)
        cached.append(seconds - own[-1])
        platform.delete(deployment)
        platform.wait_for_sleep()
        own.append(by_hand.started())
        cold.append(_called(url) - own[-1])
    platform.delete(kept)
    for what, limit, found in (
        (
            "`POST` to answering, built before, beyond the application's own start",
            CACHED_SECONDS,
            cached,
        ),
        ("a call that wakes an idle service, beyond its own start", COLD_SECONDS, cold),
    ):
        middle = load.median(found)
        section.judge(what, f"<= {milliseconds(limit)}", milliseconds(middle), middle <= limit)
    rows = [("", "median", "lowest and highest")]
    for what, found in (
        ("start by hand, `node build/index.js`", own),
        ("`POST` to answering, beyond it", cached),
        ("a call that wakes it, beyond it", cold),
    ):
        spread = f"{milliseconds(min(found))} to {milliseconds(max(found))}"
        rows.append((what, milliseconds(load.median(found)), spread))
    section.tables.append((f"{starts} starts of each, by turns", rows))


def _judge_idle(section: Section, platform: Platform, idle: int) -> None:
    """Services that were deployed and sleep: one artifact, a Deployment for each."""
    platform.repositories.tag("v1.0.0", example("hard-coded-port"), name="idle")
    connector = platform.published("idle", "idle", "v1.0.0")
    platform.deployed(connector)
    platform.wait_for_sleep()
    before = load.proportional_bytes(platform.pid)
    began = time.perf_counter()
    made = [platform.created(connector) for _ in range(idle)]
    for each in made:
        platform.url(each)
    seconds = time.perf_counter() - began
    platform.wait_for_sleep()
    more = load.proportional_bytes(platform.pid) - before
    _called(platform.url(made[0]))
    section.judge(
        f"memory of {idle} idle services, beyond Connectory itself",
        f"< {megabytes(IDLE_BYTES)}",
        megabytes(more),
        more < IDLE_BYTES,
    )
    section.notes.append(
        f"Connectory itself took {megabytes(before)}. The {idle} were deployed in {seconds:.0f} s,"
        f" all of one artifact; each was started, found healthy, and put to sleep."
    )


def _called(url: str) -> float:
    """The seconds that a call takes over a new connection."""
    began = time.perf_counter()
    with contextlib.closing(load.Client(url)) as client:
        client.body(_PATH)
    return time.perf_counter() - began


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _tree(child)


def _until(done: Any, pause: float = 0.02) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(pause)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.deploys", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--idle", type=int, default=IDLE)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="connectory-bench-") as folder:
        section = measure(Path(folder), options.rounds, options.starts, options.idle)
    print(report.markdown([section], f"Load of the machine: {os.getloadavg()[0]:.1f}."))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
