"""The process that starts programs and sees that nothing of them is left: run by itself.

It is a program of its own, of the standard library alone, and single-threaded. So it can fork
safely beside a server with many threads and much memory, and it outlives a server that is killed
by just as long as it takes to end what the server had started: its socket's end tells it. On Linux
it adopts whatever loses its parent, and every program is told to die with it.

Requests are frames of JSON with the length before them (4 bytes, big-endian); `start` brings the
descriptors of stdout, stderr and, where there are any, stdin. Answers are frames as well:
`{"id", "pid"}` or `{"id", "error"}`, and once `{"id", "exit"}`.
"""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 38, 36
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on all architectures
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP = 1, 4, 0x100000
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_TUN = os.makedev(10, 200) if LINUX else 0

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


# What happens in the child, before it becomes the program.


def _mounted(source: str, target: str, kind: str, flags: int, data: str) -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _checked(result, f"mount {target}")


def _users(user: int) -> int:
    """A descriptor of a user namespace in which root is `user`, for idmapped mounts."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        result = _libc.unshare(_CLONE_NEWUSER)
        os.write(ready[1], b"1" if result == 0 else b"0")
        os.read(go[0], 1)
        os._exit(0)
    try:
        if os.read(ready[0], 1) != b"1":
            raise OSError("no user namespace")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w") as file:  # noqa: PTH123 - pathlib costs 10 ms
                file.write(f"0 {user} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.write(go[1], b"1")
        os.waitpid(child, 0)
        for end in (*ready, *go):
            os.close(end)


def _bound_as(users: int, source: int, target: str) -> None:
    """Bind a file or folder so that what root owns in it belongs to the program's user.

    Raises:
        OSError: its file system cannot; nothing was done.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE
    tree = _checked(_libc.syscall(_OPEN_TREE, source, b"", flags), "open_tree")
    try:
        wanted = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, users)
        _checked(
            _libc.syscall(
                _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, ctypes.c_size_t(len(wanted))
            ),
            "mount_setattr",
        )
        _checked(
            _libc.syscall(
                _MOVE_MOUNT, tree, b"", -100, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH
            ),
            "move_mount",
        )
    finally:
        os.close(tree)


def _given(folder: int, user: int) -> None:
    """Give a tree to a user, never following a link out of it."""
    os.chown(folder, user, user)
    for _, folders, files, inside in os.fwalk(".", dir_fd=folder):
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=inside, follow_symlinks=False)


def _staged(stage: dict[str, Any], user: int) -> None:
    """Lay out what the program's user may see where it can reach it: data folders are root's."""
    _checked(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mounted("none", "/", "none", _MS_REC | _MS_PRIVATE, "")
    # Opened before the stage is mounted, which may hide them.
    opened = [
        (os.open(source, getattr(os, "O_PATH", 0) | os.O_CLOEXEC), source, writable)
        for source, writable in stage["binds"]
    ]
    at = stage["at"]
    _mounted("stage", at, "tmpfs", 0, "mode=755,size=1m")
    if stage["tun"]:
        os.mknod(f"{at}/tun", stat.S_IFCHR | 0o666, _TUN)
        os.chmod(f"{at}/tun", 0o666)  # noqa: PTH101
        _mounted(f"{at}/tun", "/dev/net/tun", "none", _MS_BIND, "")
    users = _users(user)
    for number, (source, name, writable) in enumerate(opened):
        target = f"{at}/{number}"
        folder = stat.S_ISDIR(os.fstat(source).st_mode)
        if folder:
            os.mkdir(target)  # noqa: PTH102
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        try:
            _bound_as(users, source, target)
        except OSError:
            _mounted(f"/proc/self/fd/{source}", target, "none", _MS_BIND | _MS_REC, "")
            if writable and folder:
                inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                _given(inside, user)
        os.close(source)


def _become(spec: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
    """Become the program that a request asks for."""
    os.setsid()
    for group in spec["groups"]:
        with open(group, "w") as file:  # noqa: PTH123
            file.write("0")
    user = spec["user"]
    if spec["stage"]:
        _staged(spec["stage"], user)
    for name, value in spec["limits"].items():
        limit = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if LINUX:
        # After the change of user, which forgets it.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if spec["no_new_privileges"]:
            _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    os.umask(0o022)
    os.chdir(spec["folder"])
    stdin = descriptors[2] if len(descriptors) > 2 else os.open(os.devnull, os.O_RDONLY)  # noqa: PLR2004
    # Moved out of the way first: one of them may be 0, 1 or 2.
    safe = [os.dup(each) for each in (stdin, *descriptors[:2])]
    for number, each in enumerate(safe):
        os.dup2(each, number)
    for each in range(1, signal.NSIG):
        if each not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(each, signal.SIG_DFL)
    os.execve(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606


# What the launcher knows of processes.


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status; empty where the process is gone, or there is no /proc."""
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:  # noqa: PTH123
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123
                found += [int(each) for each in file.read().split()]
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _inner(pid: int) -> int:
    """Its number in a process namespace of its own; 0 where it has none."""
    numbers = _status(pid).get("NSpid", "").split()
    return int(numbers[-1]) if len(numbers) > len(_own_numbers()) else 0


def _own_numbers() -> list[str]:
    return _status(os.getpid()).get("NSpid", "").split()


def _stopped_tree(top: int) -> list[int]:
    """A process and what it started, stopped, so that nothing is started while they are counted.

    Namespaces of processes are not entered: they end with the first of their processes.
    """
    _signal(top, signal.SIGSTOP)
    until = time.monotonic() + 0.1
    while _status(top).get("State", "Z")[0] not in "TtZX" and time.monotonic() < until:
        time.sleep(0.0005)
    found = [top]
    if not _inner(top):
        for child in _children(top):
            found += _stopped_tree(child)
    return found


class Launcher:
    """Starts programs, tells how they end, and leaves nothing of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pid = os.getpid()
        #: Those that run: outermost process → request.
        self._running: dict[int, int] = {}
        self._marks: dict[int, str] = {}
        #: Those that are to be asked to end as soon as there is somebody to ask.
        self._asked: set[int] = set()

    def serve(self) -> None:
        """Until the other end of the socket is closed."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = [
                    key.fileobj for key, _ in selector.select(0.02 if self._asked else None)
                ]
                if woken in ready:
                    os.read(woken, 4096)
                    self._reap()
                if self._connection in ready and not self._request():
                    break
                self._ask()
        self._end_all()

    def _request(self) -> bool:
        try:
            head, descriptors, _, _ = socket.recv_fds(self._connection, 4, 3)
            if not head:
                return False
            for each in descriptors:
                os.set_inheritable(each, False)
            head += self._read(4 - len(head))
            request = json.loads(self._read(struct.unpack(">I", head)[0]))
        except OSError:
            return False
        number = request["id"]
        if "start" in request:
            self._start(number, request["start"], list(descriptors))
            return True
        for pid in [pid for pid, each in self._running.items() if each == number]:
            if request["signal"] == "terminate":
                self._asked.add(pid)
            else:
                self._kill(pid)
        return True

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._connection.recv(length)
            if not part:
                raise ConnectionError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _answer(self, **answer: Any) -> None:
        body = json.dumps(answer).encode()
        # A server that has gone is seen at the next request.
        with contextlib.suppress(OSError):
            self._connection.sendall(struct.pack(">I", len(body)) + body)

    def _start(self, number: int, spec: dict[str, Any], descriptors: list[int]) -> None:
        told, tell = os.pipe()  # closed by the program's start, or told why there is none
        child = os.fork()
        if child == 0:
            try:
                signal.set_wakeup_fd(-1)
                _become(spec, descriptors, self._pid)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the child ends here
                os.write(tell, f"{getattr(error, 'errno', 0) or 0} {error}".encode()[:4000])
            os._exit(127)
        os.close(tell)
        for each in descriptors:
            os.close(each)
        why = b""
        while part := os.read(told, 4096):
            why += part
        os.close(told)
        if why:
            os.waitpid(child, 0)
            self._sweep()
            code, _, message = why.decode(errors="replace").partition(" ")
            self._answer(id=number, error=[int(code), message])
            return
        self._running[child] = number
        if spec.get("mark"):
            self._marks[child] = spec["mark"]
        self._answer(id=number, pid=child)

    def _ask(self) -> None:
        """Send SIGTERM to the programs themselves; those that are not there yet are asked later."""
        for top in list(self._asked):
            program = self._program(top)
            if program:
                _signal(program, signal.SIGTERM)
                self._asked.discard(top)

    def _program(self, top: int) -> int:
        """The program of an outermost process: the second process of the namespace within."""
        if top in self._marks:
            return top
        at = [top]
        while at:
            at = [child for each in at for child in _children(each)]
            for each in at:
                if _inner(each) > 1:
                    return each
        return 0

    def _kill(self, top: int) -> None:
        # All are stopped before the first is killed, so that none starts another meanwhile.
        doomed = _stopped_tree(top) if LINUX else [top]
        if top in self._marks:
            doomed += self._strays(top)
        for pid in reversed(doomed):
            _signal(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(top, signal.SIGKILL)
        _, status = os.waitpid(top, 0)
        self._ended(top, status, doomed)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._running:
                self._ended(pid, status)

    def _ended(self, top: int, status: int, doomed: Sequence[int] = ()) -> None:
        """Tell of an end, when nothing is left of what has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(top, signal.SIGKILL)
        strays = self._strays(top) if top in self._marks else []
        for pid in strays:
            _signal(pid, signal.SIGKILL)
        for pid in (*doomed, *strays):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        number = self._running.pop(top)
        self._marks.pop(top, None)
        self._asked.discard(top)
        self._sweep()
        self._answer(id=number, exit=os.waitstatus_to_exitcode(status))

    def _strays(self, top: int) -> list[int]:
        """Our adopted children that bear the mark of a program without namespaces."""
        mark = self._marks[top].encode()
        found = []
        for pid in _children(self._pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
                    if pid not in self._running and mark in file.read().split(b"\0"):
                        found += _stopped_tree(pid)
        return found

    def _sweep(self) -> None:
        """End and wait for what was adopted and belongs to nothing that runs.

        Outside of namespaces' inside nothing lives on without its parent. Programs without
        namespaces may have left something in the background, which is theirs while they run.
        """
        for pid in _children(self._pid):
            if pid in self._running or (self._marks and not _inner(pid)):
                continue
            _signal(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _end_all(self) -> None:
        for top in list(self._running):
            self._kill(top)
        self._sweep()


def main() -> None:
    """Serve the socket that the first argument numbers."""
    if LINUX:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    # The server ends it, not a Ctrl-C that is meant for the server.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Launcher(connection).serve()


if __name__ == "__main__":
    main()
