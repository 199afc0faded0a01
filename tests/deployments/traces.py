"""What a server started, and what is still there of it when it has ended."""

import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from connectory.containment.cgroups import name_of

_SET_CHILD_SUBREAPER = 36  # of prctl(2)


def children_of(pid: int) -> list[int]:
    """All descendants of a process."""
    found, waiting = [], [pid]
    while waiting:
        children = own_children(waiting.pop())
        found += children
        waiting += children
    return found


def own_children(pid: int) -> list[int]:
    """The processes whose parent it is."""
    found = []
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(each) for each in (task / "children").read_text().split()]
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_gone(pids: list[int], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_running(each) for each in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def variable_of(pid: int, name: str) -> str:
    """A variable of a process's environment; empty where it has none."""
    try:
        given = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    except OSError:
        return ""
    return dict(each.partition("=")[::2] for each in given).get(name, "")


class Orphans:
    """The processes whose parent has ended: they come to this process, which looks after them."""

    def __init__(self) -> None:
        self._known = set(own_children(os.getpid()))

    def left(self) -> list[str]:
        """Command lines of those that run on, with what they started, after ten seconds."""
        deadline = time.monotonic() + 10
        while (found := self._running()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [f"{pid}: {command_of(pid)}" for pid in found]

    def _running(self) -> list[int]:
        found = []
        for pid in set(own_children(os.getpid())) - self._known:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            found += [each for each in (pid, *children_of(pid)) if is_running(each)]
        return found


@contextlib.contextmanager
def orphans() -> Iterator[Orphans]:
    """Whoever loses its parent is a child of this process from now on, and not of init."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    try:
        yield Orphans()
    finally:
        libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def folders_left(data: Path) -> list[str]:
    """What is half made, or was for a process, in a data folder and in the kernel's.

    A namespace is there for as long as a process or a mount has it.
    """
    found = [str(each) for each in data.rglob("*") if each.name.startswith("part-")]
    found += [str(each) for each in data.rglob("*") if each.is_socket() or each.is_fifo()]
    found += [str(each) for each in Path("/sys/fs/cgroup").glob(f"**/{name_of(data)}")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [each for each in mounts if str(data.parent) in each]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
