"""What a confined process may see, use and reach: the one interface of all ways to confine.

Applications and builds are hostile code. A `Containment` starts a program so that it sees the files
that it is given and no others, runs as nobody of this machine, has a network of its own, and ends
with this server, whatever happens to it.
"""

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from msgspec import Struct

#: The port that every application listens on, in a network of its own (corpus: 144 of 165 real
#: applications hard-code it).
APPLICATION_PORT = 8080


class Network(enum.StrEnum):
    """What a confined program reaches."""

    NONE = "none"  #: Nothing but itself.
    PUBLIC = "public"  #: The outside; not this machine, nor private or metadata addresses.
    OPEN = "open"  #: The outside, private addresses among it; not this machine's loopback.


class Mount(Struct, frozen=True, kw_only=True):
    """A file or folder of this machine that a confined program sees."""

    source: Path
    #: Where it sees it, from the root.
    target: str
    writable: bool = False


class Bounds(Struct, frozen=True, kw_only=True):
    """How much of the machine a confined program may use."""

    cpus: float = 1.0
    memory_bytes: int = 512 * 2**20
    processes: int = 256
    #: The largest file, and the whole of what it writes to /tmp.
    disk_bytes: int = 512 * 2**20


class Confinement(Struct, frozen=True, kw_only=True):
    """A program to be run, and all that it gets."""

    command: Sequence[str]
    #: All of its environment; nothing of ours is added but what the way to confine needs.
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    #: Where it starts, as it sees it.
    folder: str
    network: Network = Network.PUBLIC
    #: A port of this machine's loopback that leads to its port 8080; none where nobody calls it.
    port: int | None = None
    bounds: Bounds = Bounds()


class Contained(Protocol):
    """A program that was started."""

    @property
    def pid(self) -> int:
        """The outermost process; it ends when the program has."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs.

        Programs that end with 128 and a signal's number, as shells tell it, count as ended by it.
        """

    def wait(self, seconds: float | None = None) -> int:
        """The same, once it has ended.

        Raises:
            TimeoutError: it has not, in that time.
        """

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM to the program itself)."""

    def kill(self) -> None:
        """End it and everything that it started, at once; nothing of it is left when this ends."""


class Holds(Struct, frozen=True, kw_only=True):
    """What holds on this machine, for people and for the server's decision whom to run."""

    #: `connectory doctor` prints these: (what, whether it holds, how to get it where it does not).
    findings: Sequence[tuple[str, bool, str]]
    #: Whether code of others can be run without danger to what is ours.
    safe: bool


class Containment(Protocol):
    """One way to confine; what it cannot give, `holds` says."""

    @property
    def name(self) -> str:
        """Of the way, such as `namespaces`."""

    @property
    def shows_places(self) -> bool:
        """Whether mounts appear at their targets; otherwise programs see this machine's paths."""

    @property
    def holds(self) -> Holds:
        """What it gives."""

    def start(
        self, confinement: Confinement, *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Contained:
        """Start a program. It ends when this process does, also by SIGKILL. Any thread may.

        `stdout` and `stderr` are open files, descriptors or `subprocess.DEVNULL`, and `stderr`
        also `subprocess.STDOUT`; the caller closes its own. What keeps a program from beginning
        inside, such as a command that is not there, is told on `stderr` and by its exit code.

        Raises:
            OSError: it could not be started.
        """

    def close(self) -> None:
        """End all that was started and has not ended; for the end of the server, and of tests."""
