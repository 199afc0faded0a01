"""Every way to confine that holds here, and programs to run in them.

Programs are this Python, which is shown at /opt/python, and the machine's node.
"""

import contextlib
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connectory.containment import cgroups
from connectory.containment.model import Bounds, Confinement, Contained, Containment, Mount, Network
from connectory.containment.probe import usable_ways
from tests.conftest import lacking

WAYS = ("namespaces", "namespaces-shared-network", "bare")
PYTHON = Mount(source=Path(sys.base_prefix), target="/opt/python")
SMALL = Bounds(memory_bytes=256 * 2**20, processes=48, disk_bytes=16 * 2**20)


@dataclass
class Started:
    """A program that was started, and what it says."""

    contained: Contained
    stdout: Path
    stderr: Path

    def said(self, word: str, seconds: float = 10) -> str:
        """What it has said, once that has a word in it."""
        until = time.monotonic() + seconds
        while word not in (text := self.stdout.read_text(errors="replace")):
            if time.monotonic() > until or self.contained.poll() is not None:
                pytest.fail(f"no {word!r} in {text!r}; {self.stderr.read_text(errors='replace')!r}")
            time.sleep(0.005)
        return text

    def ended(self, seconds: float = 20) -> tuple[int, str]:
        """Its exit code, and all that it said."""
        code = self.contained.wait(seconds)
        return code, self.stdout.read_text(errors="replace")

    def well(self) -> str:
        """All that it said, where it ended well."""
        code, text = self.ended()
        assert code == 0, (code, text, self.stderr.read_text(errors="replace"))
        return text


@dataclass
class Place:
    """A way to confine, with a data folder that programs must not see."""

    containment: Containment
    folder: Path
    data: Path
    started: list[Started] = field(default_factory=list)

    @property
    def confines(self) -> bool:
        return self.containment.shows_places

    @property
    def own_network(self) -> bool:
        return self.containment.name == "namespaces"

    def start(
        self,
        command: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        folder: str = "/",
        network: Network = Network.PUBLIC,
        port: int | None = None,
        bounds: Bounds = SMALL,
    ) -> Started:
        number = len(self.started)
        stdout, stderr = self.folder / f"stdout-{number}", self.folder / f"stderr-{number}"
        confinement = Confinement(
            command=command,
            environment=environment or {},
            mounts=[PYTHON, *mounts],
            folder=folder,
            network=network,
            port=port,
            bounds=bounds,
        )
        with stdout.open("wb") as out, stderr.open("wb") as err:
            contained = self.containment.start(confinement, stdout=out, stderr=err)
        self.started.append(Started(contained, stdout, stderr))
        return self.started[-1]

    def python(self, script: str, *arguments: str, **given) -> Started:
        return self.start(
            ["/opt/python/bin/python3", "-I", "-S", "-c", script, *arguments], **given
        )

    def node(self, script: str, **given) -> Started:
        given.setdefault("environment", {"PATH": "/usr/bin:/bin"})
        return self.start([node(), "-e", script], **given)


def node() -> str:
    found = shutil.which("node", path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        lacking("node", "no node in /usr")
    return str(found)


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def answer(port: int, seconds: float = 15) -> str:
    """What answers on a port of loopback, once something does."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as each:
            each.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: each.recv(4096), b""))
            if text:
                return text.decode().rpartition("\r\n\r\n")[2]
        if time.monotonic() > until:
            pytest.fail(f"nothing answers on {port}")
        time.sleep(0.01)


def processes_with(token: str) -> list[str]:
    """Command lines of this machine's processes that have a token in them."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if token in line:
                found.append(f"{each.parent.name}: {line[:300]}")
    return found


def groups_of(data: Path) -> list[Path]:
    """Control groups of programs of a data folder."""
    name = cgroups.name_of(data)
    # Hierarchies that others change meanwhile are not walked.
    places = [*Path("/sys/fs/cgroup").glob("*"), Path("/sys/fs/cgroup")]
    return [each for place in places for each in (place / name).glob("*") if each.is_dir()]


@pytest.fixture(scope="session")
def _ways() -> Iterator[tuple[Path, dict[str, Containment]]]:
    # Short, and beside no other test's: a data folder that only its owner may enter.
    data = Path(tempfile.mkdtemp(prefix="connectory-data-"))
    (data / "connectory.sqlite3").write_text("SECRET-OF-THE-SERVER")
    found = {way.name: way for way in usable_ways(data)}
    yield data, found
    for way in found.values():
        way.close()
    shutil.rmtree(data)


@pytest.fixture(params=WAYS)
def place(request, _ways, tmp_path) -> Iterator[Place]:
    """Each way that holds here; whatever a test leaves running is ended."""
    data, found = _ways
    if request.param not in found:
        lacking("containment", f"{request.param} does not hold; `connectory doctor` says why")
    place = Place(found[request.param], tmp_path, data)
    yield place
    for each in place.started:
        each.contained.kill()


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that this machine listens on, at all of its addresses."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        yield int(server.getsockname()[1])


def own_addresses() -> list[str]:
    """This machine's addresses but loopback, and its gateways."""
    asked = ["ip", "-o", "addr", "show", "scope", "global"]
    lines = subprocess.run(asked, capture_output=True, check=True, text=True).stdout.splitlines()
    routes = subprocess.run(
        ["ip", "route", "show", "default"], capture_output=True, check=True, text=True
    ).stdout.split()
    gateways = [after for word, after in itertools.pairwise(routes) if word == "via"]
    return [line.split()[3].partition("/")[0] for line in lines] + gateways
