"""Control groups: how much memory, processors and processes a program and all of its own may have.

Version 1 has a hierarchy for each kind, version 2 one for all. Groups are made below one folder
of ours in each, whose name is of the data folder; their own name tells the process that made them,
so that whoever comes after it ends and removes what it left.
"""

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from connectory.containment.model import Bounds

_PERIOD = 100_000  # microseconds; the kernel's own default
_KINDS = ("memory", "pids", "cpu")


class Group(Struct, frozen=True):
    """The folders of one program's group, one for each hierarchy."""

    folders: Sequence[Path]

    @property
    def joined_by(self) -> list[str]:
        """The files that put whoever writes to them into it."""
        return [str(each / "cgroup.procs") for each in self.folders]

    def remove(self) -> None:
        """Remove it, with whatever may still be in it."""
        for folder in self.folders:
            _removed(folder)


class Groups:
    """Groups can be made here; `kinds` tells of what: memory, pids, cpu."""

    def __init__(self, parents: dict[Path, list[str]], *, unified: bool) -> None:
        self._parents = parents
        self._unified = unified
        self.kinds = frozenset(kind for kinds in parents.values() for kind in kinds)

    def made(self, bounds: Bounds) -> Group:
        """A new group with these bounds.

        Raises:
            OSError: it cannot be made.
        """
        name = f"{_owner(os.getpid())}.{os.urandom(6).hex()}"
        group = Group([parent / name for parent in self._parents])
        try:
            for (parent, kinds), folder in zip(self._parents.items(), group.folders, strict=True):
                folder.parent.mkdir(exist_ok=True)
                folder.mkdir()
                for kind in kinds:
                    for file, value in self._values(kind, bounds):
                        self._set(parent / name / file, value)
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """Remove the folders of groups, where nobody else uses them."""
        for parent in self._parents:
            with contextlib.suppress(OSError):
                parent.rmdir()

    def _values(self, kind: str, bounds: Bounds) -> Iterator[tuple[str, str]]:
        if kind == "pids":
            # Beside the program there are up to four processes of ours.
            yield "pids.max", str(bounds.processes + 8)
        elif kind == "memory" and self._unified:
            yield "memory.max", str(bounds.memory_bytes)
            yield "memory.swap.max", "0"
        elif kind == "memory":
            yield "memory.limit_in_bytes", str(bounds.memory_bytes)
            yield "memory.memsw.limit_in_bytes", str(bounds.memory_bytes)
        elif self._unified:
            yield "cpu.max", f"{int(bounds.cpus * _PERIOD)} {_PERIOD}"
        else:
            yield "cpu.cfs_quota_us", str(int(bounds.cpus * _PERIOD))

    def _set(self, file: Path, value: str) -> None:
        # Kernels without accounting of swap lack its files, and those without quotas theirs.
        with contextlib.suppress(FileNotFoundError):
            file.write_text(value)


def name_of(data_folder: Path) -> str:
    """Of the folder that the groups of a data folder are in."""
    return "connectory-" + hashlib.sha256(bytes(data_folder.resolve())).hexdigest()[:12]


def found(data_folder: Path) -> Groups | None:
    """Where groups can be made, after what ended servers left there was removed; None: nowhere."""
    name = name_of(data_folder)
    parents: dict[Path, list[str]] = {}
    unified = False
    for mount, kinds in _hierarchies():
        if kinds is None:
            parent = _unified_parent(mount, name)
            controllers = _words(parent / "cgroup.controllers") if parent else []
            usable = [kind for kind in _KINDS if kind in controllers]
        else:
            usable = [kind for kind in _KINDS if kind in kinds]
            parent = _made(mount / name) if usable else None
        if parent is not None and usable:
            unified = unified or kinds is None
            parents[parent] = usable
            _swept(parent)
    return Groups(parents, unified=unified) if parents else None


def _hierarchies() -> Iterator[tuple[Path, list[str] | None]]:
    """Where each is mounted, and its kinds; None for version 2."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, mount, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            yield Path(mount), options.split(",")
        elif kind == "cgroup2":
            yield Path(mount), None


def _unified_parent(mount: Path, name: str) -> Path | None:
    """A folder below which groups with controllers can be made: at the root, or in our own group.

    A group that has processes cannot hand its controllers on, but the root's can. So in our own,
    which systemd gives to services with `Delegate=yes`, the processes move into a group within.
    """
    if not any(kind in _words(mount / "cgroup.controllers") for kind in _KINDS):
        return None
    if (mount / "cgroup.subtree_control").exists() and _handed_on(mount):
        parent = _made(mount / name)
        return parent if parent and _handed_on(parent) else None
    own = next(
        (line[4:] for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::/")), "/"
    )
    home = mount / own.removeprefix("/").removesuffix("/connectory-server")
    inside = _made(home / "connectory-server") if home != mount else None
    if inside is None:
        return None
    try:
        for pid in _words(home / "cgroup.procs"):
            (inside / "cgroup.procs").write_text(pid)
    except OSError:
        return None
    parent = _made(home / name) if _handed_on(home) else None
    return parent if parent and _handed_on(parent) else None


def _handed_on(folder: Path) -> bool:
    """Whether what is below a group of version 2 has the kinds that it has itself."""
    wanted = [kind for kind in _KINDS if kind in _words(folder / "cgroup.controllers")]
    file = folder / "cgroup.subtree_control"
    try:
        if not set(wanted) <= set(_words(file)):
            file.write_text(" ".join(f"+{kind}" for kind in wanted))
    except OSError:
        return False
    return bool(wanted)


def _made(folder: Path) -> Path | None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _swept(parent: Path) -> None:
    for folder in parent.iterdir():
        if (
            folder.is_dir()
            and _owner(int(folder.name.partition(".")[0] or 0)) != (folder.name.rpartition(".")[0])
        ):
            _removed(folder)


def _removed(folder: Path) -> None:
    """Remove a group, ending what is in it."""
    until = time.monotonic() + 2
    while folder.exists() and time.monotonic() < until:
        for pid in _words(folder / "cgroup.procs"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.002)


def _owner(pid: int) -> str:
    """A process that lives, by its number and when it started; numbers are used again."""
    fields = "".join(_lines(Path(f"/proc/{pid}/stat"))).rpartition(")")[2].split()
    return f"{pid}.{fields[19]}" if fields else ""


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()
