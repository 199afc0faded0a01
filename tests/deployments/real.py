"""Repositories of others: what is deployed of them, and who is at fault where that fails.

What fails is tried again by hand, with the commands that a person would type, outside of all that
is Connectory's. Where it fails by hand too, the connector is at fault; else we are.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

#: How long a person waits for one command, and for a program to listen.
_COMMAND_SECONDS: Final = 900
_LISTEN_SECONDS: Final = 30.0
_PORT: Final = 8080
_LISTENING: Final = "0A"
_LAST: Final = 400
#: Values that starter code looks at before it listens; every other value is `made-up`.
_SHAPES: Final = (
    ("CLIENT_ID", "made-up-client-of-24-chr"),
    ("CLIENT_SECRET", "made-up-secret-of-32-characters-"),
    ("PROJECT_KEY", "made-up-project"),
    ("CLIENT_REGION", "europe-west1.gcp"),
    ("CTP_REGION", "europe-west1.gcp"),
    ("SCOPE", "manage_project:made-up-project"),
    ("CLOUD_IDENTIFIER", "gcp-eu"),
    ("ENTRY_POINT_URI_PATH", "made-up"),
    ("EMAIL", "made-up@acme.example"),
    ("URL", "https://made-up.example"),
)
_GIT: Final = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def repositories(folder: Path) -> dict[str, Path]:
    """The git repositories below a folder, bare or not, by a name of letters for each."""
    found = {}
    for place, folders, _ in os.walk(folder):
        here = Path(place)
        if (here / "HEAD").is_file() and (here / "objects").is_dir():
            top = here.parent if here.name == ".git" else here
            name = str(top.relative_to(folder)).removesuffix(".git")
            found["".join(each if each.isalnum() else "-" for each in name)] = here
            folders.clear()
    return dict(sorted(found.items()))


def copied(mirror: Path, target: Path) -> None:
    """A bare copy whose tag `tested` is the newest commit of a mirror."""
    _git("clone", "--quiet", "--bare", "--no-hardlinks", str(mirror), str(target))
    _git("-C", str(target), "tag", "--force", "tested", "HEAD")


def has_folder(mirror: Path, folder: str) -> bool:
    """Whether the newest commit of a mirror has a connector in that folder."""
    with contextlib.suppress(subprocess.CalledProcessError):
        return bool(_git("-C", str(mirror), "ls-tree", "HEAD", f"{folder}/connect.yaml"))
    return False


def repository_of(mirror: Path, folder: str, target: Path, tag: str) -> None:
    """A bare repository with one folder of a mirror, byte for byte, as its only commit and tag."""
    _git("clone", "--quiet", "--bare", "--no-hardlinks", "--no-tags", str(mirror), str(target))
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example")
    commit = _git("-C", str(target), *who, "commit-tree", f"HEAD:{folder}", "-m", tag).strip()
    _git("-C", str(target), "update-ref", "HEAD", commit)
    _git("-C", str(target), "tag", tag, commit)


@contextlib.contextmanager
def checked_out(repository: Path, folder: Path) -> Iterator[Path]:
    """The files of that tag."""
    _git("clone", "--quiet", "--branch", "tested", str(repository), str(folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def declared(repository: Path) -> dict[str, Any]:
    """The connect.yaml of that tag; empty where there is none that is a mapping."""
    with contextlib.suppress(subprocess.CalledProcessError, yaml.YAMLError):
        found = yaml.safe_load(_git("-C", str(repository), "show", "tested:connect.yaml"))
        return found if isinstance(found, dict) else {}
    return {}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], env=os.environ | _GIT, capture_output=True, text=True, check=True
    )
    return done.stdout


def made_up(connector: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every key that has no default, as a request to deploy has them."""
    applications = [
        {"applicationName": each["applicationName"], **_values(each)}
        for each in connector["configurations"]
    ]
    shared = connector.get("globalConfiguration")
    found: dict[str, Any] = {"configurations": applications}
    return found | ({"globalConfiguration": _values(shared)} if shared else {})


def _values(keys: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    return {
        kind: [
            {"key": each["key"], "value": value_of(each["key"])}
            for each in keys.get(kind) or ()
            if not each.get("default")
        ]
        for kind in ("standardConfiguration", "securedConfiguration")
    }


def value_of(key: str) -> str:
    """A value that is made up, of the shape that starter code wants."""
    return next((value for part, value in _SHAPES if key.upper().endswith(part)), "made-up")


def environment_of(connector: Mapping[str, Any], application: str) -> dict[str, str]:
    """What an application would find in its environment."""
    (own,) = (e for e in connector["configurations"] if e["applicationName"] == application)
    found = {}
    for keys in (connector.get("globalConfiguration") or {}, own):
        for kind in ("standardConfiguration", "securedConfiguration"):
            for each in keys.get(kind) or ():
                found[each["key"]] = each.get("default") or value_of(each["key"])
    return found | {"APPLICATION_URL": "https://made-up.example"}


class ByHand:
    """A person with a checkout, who builds and starts one application of it."""

    def __init__(self, application: Path, environment: Mapping[str, str]) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CONNECTORY_", "npm_"))}
        self._folder = application
        self._environment = kept | environment

    def build(self) -> str:
        """Why it cannot be built, the end of the output; empty where it can."""
        if not (self._folder / "package.json").is_file():
            return f"there is no {self._folder.name}/package.json"
        locks = {each.name for each in self._folder.iterdir()}
        install = "npm ci" if "package-lock.json" in locks else "npm install"
        if "yarn.lock" in locks:
            install = "npx --yes yarn@1 install --frozen-lockfile"
        if "pnpm-lock.yaml" in locks:
            install = "npx --yes pnpm@10 install --frozen-lockfile"
        scripts = "npm run gcp-build" if self._has("gcp-build") else "npm run build --if-present"
        for line in (f"CI=true {install}", scripts):
            done = subprocess.run(
                ["/bin/sh", "-c", f"{line} 2>&1"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_COMMAND_SECONDS,
            )
            if done.returncode:
                return f"`{line}` ends with {done.returncode}: …{done.stdout.strip()[-_LAST:]}"
        return ""

    def _has(self, script: str) -> bool:
        return f'"{script}"' in (self._folder / "package.json").read_text()

    def start(self) -> str:
        """Why it does not listen; empty where it does."""
        with self._started() as why:
            return why

    def post(self, path: str, body: bytes, seconds: float) -> int:
        """The status of its answer to a POST; 0 where there is none in that time."""
        with self._started() as why:
            assert not why, f"by hand it does not even start: {why}"
            with contextlib.suppress(httpx.TransportError):
                url = f"http://127.0.0.1:{_PORT}/{path.lstrip('/')}"
                headers = {"Content-Type": "application/json"}
                answer = httpx.post(
                    url, content=body, headers=headers, timeout=seconds, trust_env=False
                )
                return answer.status_code
        return 0

    @contextlib.contextmanager
    def _started(self) -> Iterator[str]:
        """It runs; why it does not listen, empty where it does."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", _PORT))
            except OSError:
                yield f"port {_PORT} is taken on this machine: it cannot be tried by hand"
                return
        log = self._folder / "by-hand.log"
        with log.open("wb") as output:
            started = subprocess.Popen(
                ["npm", "start"],
                cwd=self._folder,
                env=self._environment | {"PORT": str(_PORT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield _why_silent(started, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def _why_silent(started: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until a program listens; why it does not, empty where it does."""
    deadline = time.monotonic() + _LISTEN_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        if _listens(_PORT):
            return ""
        time.sleep(0.1)
    ended = started.poll()
    how = "does not listen" if ended is None else f"ends with {ended}"
    return f"`npm start` {how}: …{log.read_text(errors='replace').strip()[-_LAST:]}"


def _listens(port: int) -> bool:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False
