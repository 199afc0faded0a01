"""Programs of this machine's own: where nothing confines (macOS, a restricted host).

They run as the server's user and see all that it sees. So this way is for code that is trusted:
one's own, and demos. What holds is that they are bounded as far as the system can without
namespaces, that port 8080 is moved, and that they end with this server.

Mounts are not mounted. Where a program is told a target (in its command, folder or environment),
it is told the source instead; it is the caller who sees to it that a program does not need more,
such as a path within a file.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from connectory.containment.cgroups import Group, Groups
from connectory.containment.findings import (
    DISK,
    FILES,
    GROUPS,
    MEMORY,
    NETWORK,
    ONLY_NODE,
    OTHERS,
    PORT,
    PROCESSES,
    PROCESSORS,
    USERS,
    finding,
)
from connectory.containment.launching import Launched, Launcher, Start
from connectory.containment.model import Bounds, Confinement, Holds, Mount
from connectory.containment.port import PRELOAD, moved

_INSTANCE = "CONNECTORY_INSTANCE"


class Bare:
    """The way where nothing confines; see the module."""

    name = "bare"
    shows_places = False

    def __init__(self, groups: Groups | None, launcher: Launcher, why: str) -> None:
        self._groups = groups
        self._launcher = launcher
        self._why = why

    @property
    def holds(self) -> Holds:
        """What it gives: little."""
        kinds = self._groups.kinds if self._groups else frozenset()
        each = "Only each of its processes is bounded. " if sys.platform == "linux" else ""
        findings = (
            finding(FILES, False, self._why),
            finding(USERS, False, self._why),
            finding(OTHERS, False, self._why),
            finding(NETWORK, False, self._why),
            finding(PORT, False, ONLY_NODE),
            finding(MEMORY, "memory" in kinds, f"{each}{GROUPS}"),
            finding(PROCESSORS, "cpu" in kinds, GROUPS),
            finding(PROCESSES, "pids" in kinds or _counts_processes(), GROUPS),
            finding(DISK, False, "Only each file is bounded."),
        )
        return Holds(findings=findings, safe=False)

    def start(
        self, confinement: Confinement, *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Launched:
        """Start a program; see `Containment.start`.

        Raises:
            FileNotFoundError: the command is not in the PATH that it gets.
        """
        told = _translation(confinement)
        environment = {name: told(value) for name, value in confinement.environment.items()}
        if confinement.port is not None:
            environment = moved(environment, confinement.port, str(PRELOAD))
        mark = f"{_INSTANCE}={os.getpid()}.{os.urandom(8).hex()}"
        environment[_INSTANCE] = mark.partition("=")[2]
        folder = told(confinement.folder)
        command = [told(each) for each in confinement.command]
        command[0] = _found(command[0], folder, environment.get("PATH", os.defpath))
        group = self._groups.made(confinement.bounds) if self._groups else None
        start = Start(
            command=command,
            environment=environment,
            folder=folder,
            limits=self._limits(confinement.bounds),
            groups=group.joined_by if group else (),
            mark=mark,
            no_new_privileges=True,
        )
        return self._launcher.start(start, stdout=stdout, stderr=stderr, ended=_removing(group))

    def close(self) -> None:
        """End all that was started and has not ended."""
        self._launcher.close()
        if self._groups is not None:
            self._groups.close()

    def _limits(self, bounds: Bounds) -> dict[str, int]:
        kinds = self._groups.kinds if self._groups else frozenset()
        limits = {"CORE": 0, "FSIZE": bounds.disk_bytes}
        if "memory" not in kinds and sys.platform == "linux":
            # Not the address space, of which V8 reserves much more than it uses.
            limits["DATA"] = bounds.memory_bytes
        if "pids" not in kinds and _counts_processes():
            limits["NPROC"] = _processes_of(os.geteuid()) + bounds.processes
        return limits


def _removing(group: Group | None) -> Callable[[], None]:
    return group.remove if group is not None else lambda: None


def _translation(confinement: Confinement) -> Callable[[str], str]:
    """What replaces targets by sources, where they are a whole path or its beginning."""
    mounts = {each.target.rstrip("/"): each for each in confinement.mounts if each.target != "/"}
    if not mounts:
        return lambda text: text
    longest_first = sorted(mounts, key=len, reverse=True)
    # At the beginning or after what separates paths from each other and from options.
    pattern = re.compile(
        r"(?:(?<=[:=\s'\"])|^)(" + "|".join(map(re.escape, longest_first)) + r")(?=[/:\s'\"]|$)"
    )

    def source(found: re.Match[str]) -> str:
        mount: Mount = mounts[found.group(1)]
        return str(mount.source)

    return lambda text: pattern.sub(source, text)


def _found(command: str, folder: str, path: str) -> str:
    """The file of a command, which `execve` must be given."""
    places = [folder] if "/" in command else path.split(os.pathsep)
    for place in places:
        file = Path(place, command)
        if file.is_file() and os.access(file, os.X_OK):
            return str(file)
    raise FileNotFoundError(2, f"{command} is not there", command)


def _counts_processes() -> bool:
    """Whether the limit of processes can be set: it counts a user's, and root has none."""
    return sys.platform == "linux" and os.geteuid() != 0


def _processes_of(user: int) -> int:
    """How many processes and threads a user has."""
    count = 0
    for each in os.scandir("/proc"):
        try:
            if each.name.isdigit() and each.stat().st_uid == user:
                count += sum(1 for _ in os.scandir(f"{each.path}/task"))
        except OSError:
            continue
    return count
