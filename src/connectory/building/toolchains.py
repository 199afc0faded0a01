"""The programs of this machine that builds are made with, and which of them a tree asks for."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from connectory.building.ranges import Range, Version, parse_version

_VERSION_SECONDS: Final = 20
#: Where a folder of versions has the program of one: nvm and n, then fnm.
_LAYOUTS: Final = ("*/bin/node", "*/installation/bin/node")
#: What every confined program sees anyway.
_SYSTEM: Final = (Path("/usr"), Path("/bin"))


class Node(Struct, frozen=True):
    """A Node of this machine, and the npm that it uses."""

    version: Version
    program: Path
    npm: Path | None
    npm_version: str

    @property
    def name(self) -> str:
        """Such as `Node 20.11.1`."""
        return "Node " + ".".join(map(str, self.version))

    @property
    def tools(self) -> tuple[Path, ...]:
        """Folders that have to be shown to programs that use it; none for the system's."""
        return folders_of((self.program, *([self.npm] if self.npm else ())))

    @property
    def path(self) -> tuple[str, ...]:
        """The folders of its programs, for PATH."""
        found = [self.program.parent, *([self.npm.parent] if self.npm else [])]
        return tuple(dict.fromkeys(map(str, found)))


class Toolchains:
    """Finds programs; what it found is kept, and may be asked for in any thread."""

    def __init__(self, path: str, versions: Path | None) -> None:
        """Look in the folders of a PATH, and in a folder of Node versions as nvm lays it."""
        self._path = path
        self._versions = versions
        self._lock = threading.Lock()
        self._told: dict[tuple[str, int, int], str] = {}

    def node(self, wanted: Range | None) -> Node | None:
        """The Node for a range: the newest that is in it, else the nearest; None without any.

        Where nothing is asked for, it is the one on the PATH.
        """
        found = list(self._nodes())
        if wanted is None:
            return found[0] if found else None
        fitting = [each for each in found if wanted.holds(each.version)]
        if fitting:
            return max(fitting, key=lambda each: each.version)
        return min(found, key=lambda each: wanted.distance(each.version), default=None)

    def program(self, name: str) -> Path | None:
        """A program on the PATH."""
        found = shutil.which(name, path=self._path)
        return Path(found).absolute() if found else None

    def version(self, program: Path, path: Sequence[str]) -> str:
        """What a program of this machine prints for `--version`; empty where it prints nothing.

        It runs unconfined, in a folder that is not of the tree.
        """
        try:
            facts = program.stat()
        except OSError:
            return ""
        key = (str(program), facts.st_ino, facts.st_mtime_ns)
        with self._lock:
            if key not in self._told:
                self._told[key] = _ask(program, (*path, self._path))
            return self._told[key]

    def _nodes(self) -> Iterator[Node]:
        on_path = self.program("node")
        programs = [on_path] if on_path else []
        if self._versions is not None:
            for layout in _LAYOUTS:
                programs += sorted(self._versions.glob(layout))
        for program in programs:
            version = parse_version(self.version(program, ()))
            if version is None:
                continue
            beside = program.parent / "npm"
            npm = beside if beside.exists() else self.program("npm")
            npm_version = self.version(npm, (str(program.parent),)) if npm else ""
            yield Node(version, program, npm if npm_version else None, npm_version)


def folders_of(programs: Sequence[Path]) -> tuple[Path, ...]:
    """The folders that programs need to run, without those of the system."""
    found: dict[Path, None] = {}
    for program in programs:
        for each in (program, program.resolve()):
            if not any(each.is_relative_to(folder) for folder in _SYSTEM):
                found[each.parent.parent] = None
    return tuple(found)


def _ask(program: Path, path: Sequence[str]) -> str:
    environment = {
        "PATH": os.pathsep.join(path),
        "HOME": "/nonexistent",
        "COREPACK_ENABLE_NETWORK": "0",  # one of corepack would fetch itself
    }
    try:
        done = subprocess.run(  # noqa: S603 - the operator's program, with an argument of ours
            [str(program), "--version"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip()[:100] if done.returncode == 0 else ""
