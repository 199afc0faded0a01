"""Programs in namespaces of their own: bubblewrap for files, users and processes, pasta for nets.

From the outside in: the launcher, which has laid out the files and dropped root; pasta, which makes
the network; a shell, which sets the routes; bubblewrap, which makes the rest; the program.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from connectory.containment import network
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
from connectory.containment.launching import Launched, Launcher, Stage, Start
from connectory.containment.model import Confinement, Holds, Mount, Network
from connectory.containment.port import PRELOAD, moved

_PACKAGE = Path(__file__).parent
_ETC = _PACKAGE / "etc"
#: What of /etc programs get of this machine, where it is there: certificates, time, libraries.
_ETC_OF_MACHINE = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki",
    "protocols",
    "services",
    "ssl",
    "timezone",
)
#: Users that root runs programs as: of this range, 4,096 for each data folder. Nobody else's: those
#: of people, services and containers' own ranges lie below.
_USERS, _USERS_EACH = 0x50000000, 4096
_PRELOAD_TARGET = "/opt/connectory/port.cjs"
_SHARED_MEMORY = 64 * 2**20
_OUTSIDE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
#: The arguments come as stdin, so that no process list shows the environment's values. Descriptors
#: that pasta leaves open are closed: they are of this machine's network.
_SHELL = 'exec 3<&0 </dev/null 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\n{routes}exec "$@"\n'


class Tools(Struct, frozen=True, kw_only=True):
    """What was found on this machine.

    Attributes:
        bwrap: Path of bubblewrap.
        version: Its version.
        prlimit: Path of util-linux's prlimit.
        pasta: Path of pasta; empty where it is not to be used.
        ip: Path of iproute2's ip.
    """

    bwrap: str
    version: tuple[int, ...]
    prlimit: str
    pasta: str = ""
    ip: str = ""


class Namespaces:
    """The way to confine where the kernel lets us; see the module."""

    shows_places = True

    def __init__(
        self,
        data_folder: Path,
        tools: Tools,
        groups: Groups | None,
        launcher: Launcher,
        refused: str = "",
    ) -> None:
        """`refused` says why a better way does not hold."""
        self._data_folder = data_folder.resolve()
        self._tools = tools
        self._groups = groups
        self._launcher = launcher
        self._refused = refused
        self._root = os.geteuid() == 0
        self._gains_nothing = "NoNewPrivs:\t1\n" in Path("/proc/self/status").read_text()
        self._users = _Users(self._data_folder)
        self._system = list(_system(self._data_folder))

    @property
    def name(self) -> str:
        """`namespaces`, or `namespaces-shared-network` where networks of their own cannot be."""
        return "namespaces" if self._tools.pasta else "namespaces-shared-network"

    @property
    def holds(self) -> Holds:
        """What it gives."""
        kinds = self._groups.kinds if self._groups else frozenset()
        net, processes = bool(self._tools.pasta), self._bounds_processes("pids" in kinds)
        pasta = f"{_WITH_PASTA} {self._refused}"
        findings = (
            finding(FILES, True, ""),
            finding(USERS, self._root, _AS_ROOT),
            finding(OTHERS, True, ""),
            finding(NETWORK, net, pasta),
            finding(PORT, net, f"{ONLY_NODE} {pasta}"),
            finding(MEMORY, "memory" in kinds, f"Only each of its processes is bounded. {GROUPS}"),
            finding(PROCESSORS, "cpu" in kinds, GROUPS),
            finding(PROCESSES, processes, GROUPS),
            finding(DISK, _sizes(self._tools), "Install bubblewrap 0.7 or later."),
        )
        # Memory without a group is bounded too, by the number of processes times that of each.
        return Holds(findings=findings, safe=net and processes)

    def start(
        self, confinement: Confinement, *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Launched:
        """Start a program; see `Containment.start`."""
        user = self._users.taken() if self._root else None
        group: Group | None = None

        def ended() -> None:
            if group is not None:
                group.remove()
            if user is not None:
                self._users.given_back(user)

        arguments = os.memfd_create("arguments")
        try:
            if self._groups is not None:
                group = self._groups.made(confinement.bounds)
            stage, options = self._options(confinement)
            os.write(arguments, b"".join(os.fsencode(each) + b"\0" for each in options))
            os.lseek(arguments, 0, os.SEEK_SET)
            start = Start(
                command=self._command(confinement),
                environment=_OUTSIDE,
                limits={"CORE": 0, "FSIZE": confinement.bounds.disk_bytes},
                user=user,
                groups=group.joined_by if group else (),
                stage=stage,
            )
        except OSError:
            ended()
            os.close(arguments)
            raise
        try:
            return self._launcher.start(
                start, stdout=stdout, stderr=stderr, stdin=arguments, ended=ended
            )
        finally:
            os.close(arguments)

    def close(self) -> None:
        """End all that was started and has not ended."""
        self._launcher.close()
        if self._groups is not None:
            self._groups.close()

    def _shares_network(self, confinement: Confinement) -> bool:
        return not self._tools.pasta and (
            confinement.network is not Network.NONE or confinement.port is not None
        )

    def _own_network(self, confinement: Confinement) -> bool:
        """Whether pasta is to make its network; bubblewrap makes one that leads nowhere."""
        alone = confinement.network is Network.NONE and confinement.port is None
        return bool(self._tools.pasta) and not alone

    def _command(self, confinement: Confinement) -> list[str]:
        """From pasta to the program; see the module."""
        bounds = confinement.bounds
        inner = [self._tools.prlimit, "--core=0:0"]
        kinds = self._groups.kinds if self._groups else frozenset()
        if self._root or _counts_by_namespace():
            # Within, where only the program's own processes are counted.
            inner.append(f"--nproc={bounds.processes}:{bounds.processes}")
        if "memory" not in kinds:
            # Not the address space, of which V8 reserves much more than it uses.
            inner.append(f"--data={bounds.memory_bytes}:{bounds.memory_bytes}")
        command = [self._tools.bwrap, "--args", "3", "--", *inner, "--", *confinement.command]
        routes = ""
        outer: list[str] = []
        if self._own_network(confinement):
            outer = [
                self._tools.pasta,
                *network.arguments(confinement.network, confinement.port),
                "--",
            ]
            lines = network.routes(confinement.network)
            if lines:
                routes = f"{self._tools.ip} -batch - <<'END' || exit 125\n{lines}END\n"
        return [*outer, "/bin/sh", "-c", _SHELL.format(routes=routes), "sh", *command]

    def _options(self, confinement: Confinement) -> tuple[Stage | None, list[str]]:
        """What is to be laid out for bubblewrap, and its options."""
        shared = self._shares_network(confinement)
        environment = dict(confinement.environment)
        mounts = [*_etc(shared=shared), *confinement.mounts]
        if shared and confinement.port is not None:
            mounts.append(Mount(source=PRELOAD, target=_PRELOAD_TARGET))
            environment = moved(environment, confinement.port, _PRELOAD_TARGET)
        stage = self._stage(mounts)
        if stage is not None:
            mounts = [
                Mount(source=Path(stage.at, str(n)), target=each.target, writable=each.writable)
                for n, each in enumerate(mounts)
            ]
        bounds = confinement.bounds
        # /tmp is memory, which a program is bounded in: it is to hear of a full disk before it
        # is ended for want of memory.
        disk = min(bounds.disk_bytes, bounds.memory_bytes // 2)
        options = [
            *_NAMESPACES,
            *self._user_options(confinement),
            *([] if shared or self._own_network(confinement) else ["--unshare-net"]),
            *self._system,
            *("--proc", "/proc", "--dev", "/dev"),
            *(("--size", str(_SHARED_MEMORY)) if _sizes(self._tools) else ()),
            *("--tmpfs", "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108 - within
            *(("--size", str(disk)) if _sizes(self._tools) else ()),
            *("--tmpfs", "/tmp", "--symlink", "/tmp", "/var/tmp"),  # noqa: S108
        ]
        for each in mounts:
            options += ["--bind" if each.writable else "--ro-bind", str(each.source), each.target]
        options += ["--remount-ro", "/", "--clearenv"]
        for name, value in environment.items():
            options += ["--setenv", name, value]
        return stage, [*options, "--chdir", confinement.folder]

    def _user_options(self, confinement: Confinement) -> list[str]:
        """Options for its user.

        Where the server may gain no privileges, neither may pasta's child, which has too few left
        to make a user namespace within its own. Then the program is root of that one, without any
        capability, and without a way to gain one.
        """
        if self._gains_nothing and self._own_network(confinement):
            return []
        options = ["--unshare-user", "--uid", "1000", "--gid", "1000"]
        return [*options, "--disable-userns"] if self._tools.version >= (0, 8) else options

    def _stage(self, mounts: Sequence[Mount]) -> Stage | None:
        """As root: what the program's user could not reach itself."""
        if not self._root:
            return None
        at = next(each for each in ("/mnt", "/media", "/srv", "/opt") if Path(each).is_dir())
        return Stage(
            at=at,
            tun=bool(self._tools.pasta) and not _open_to_all(Path("/dev/net/tun")),
            binds=[(str(each.source), each.writable) for each in mounts],
        )

    def _bounds_processes(self, by_group: bool) -> bool:  # noqa: FBT001 - private, and named
        return by_group or self._root or _counts_by_namespace()


_AS_ROOT = "They run as the server's user, in a user namespace; root gives each a user of its own."
_WITH_PASTA = (
    "Install passt (for pasta) and iproute2, be in a network by IPv4, and let the server's"
    " user open /dev/net/tun: chmod 0666 /dev/net/tun, as most systems have it."
)
_NAMESPACES = (
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "application"),
)


class _Users:
    """Numbers of users, each for one program at a time."""

    def __init__(self, data_folder: Path) -> None:
        digest = hashlib.sha256(bytes(data_folder)).digest()
        self._first = _USERS + int.from_bytes(digest[:2]) * _USERS_EACH
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._next = 0

    def taken(self) -> int:
        """A number that nobody has.

        Raises:
            OSError: there are as many programs as numbers.
        """
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._next == _USERS_EACH:
                raise OSError(f"more than {_USERS_EACH} programs at once")
            self._next += 1
            return self._first + self._next - 1

    def given_back(self, user: int) -> None:
        """Nobody has it any more."""
        with self._lock:
            self._free.append(user)


def _system(data_folder: Path) -> Iterator[str]:
    """Options for the programs and libraries of this machine."""
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in _ETC_OF_MACHINE:
        path = Path("/etc", name)
        if path.exists():
            yield from ("--ro-bind", str(path.resolve()), str(path))
    if data_folder.is_relative_to("/usr"):
        yield from ("--tmpfs", str(data_folder), "--remount-ro", str(data_folder))


def _etc(*, shared: bool) -> Iterator[Mount]:
    """Files of /etc that tell nothing of this machine, unless its network is shared."""
    for file in sorted(_ETC.iterdir()):
        theirs = Path("/etc", file.name)
        use = theirs if shared and file.name in ("hosts", "resolv.conf") else file
        if use.exists():
            yield Mount(source=use.resolve(), target=str(theirs))


def _sizes(tools: Tools) -> bool:
    return tools.version >= (0, 7)


def _open_to_all(device: Path) -> bool:
    try:
        return stat.S_IMODE(device.stat().st_mode) & 0o006 == 0o006  # noqa: PLR2004 - an octal mode
    except OSError:
        return False


def _counts_by_namespace() -> bool:
    """Whether the limit of processes counts those of a user namespace: since Linux 5.14."""
    parts = os.uname().release.split(".")
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts[:2]) >= (5, 14)
