"""What the launcher's child does before it is the program: of the standard library alone.

It joins control groups, lays files out, bounds itself and drops root, in this order.
"""

import contextlib
import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from typing import Any, NoReturn

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
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
            _libc.syscall(_MOVE_MOUNT, tree, b"", -100, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH),
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
        (os.open(source, getattr(os, "O_PATH", 0) | os.O_CLOEXEC), writable)
        for source, writable in stage["binds"]
    ]
    at = stage["at"]
    _mounted("stage", at, "tmpfs", 0, "mode=755,size=1m")
    if stage["tun"]:
        os.mknod(f"{at}/tun", stat.S_IFCHR | 0o666, _TUN)
        os.chmod(f"{at}/tun", 0o666)  # noqa: PTH101, S103 - as most systems have it
        _mounted(f"{at}/tun", "/dev/net/tun", "none", _MS_BIND, "")
    try:
        users = _users(user)
    except OSError:
        users = -1
    for number, (source, writable) in enumerate(opened):
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
                _given(os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=source), user)
        os.close(source)


def _bounded(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        limit = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))


def _dropped(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _bound_to(parent: int, *, no_new_privileges: bool) -> None:
    """See to it that it ends with its parent; after a change of user, which forgets it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if no_new_privileges:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _connected(descriptors: list[int]) -> None:
    stdout, stderr, *rest = descriptors
    stdin = rest[0] if rest else os.open(os.devnull, os.O_RDONLY)
    # Moved out of the way first: one of them may be 0, 1 or 2.
    for number, each in enumerate([os.dup(each) for each in (stdin, stdout, stderr)]):
        os.dup2(each, number)


def become(spec: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
    """Become the program of a `launching.Start`; descriptors are of stdout, stderr, maybe stdin.

    Raises:
        OSError: a step failed; the process is of no use any more.
    """
    os.setsid()
    for group in spec["groups"]:
        with open(group, "w") as file:  # noqa: PTH123
            file.write("0")
    user = spec["user"]
    if spec["stage"]:
        _staged(spec["stage"], user)
    _bounded(spec["limits"])
    if user is not None:
        _dropped(user)
    if LINUX:
        _bound_to(parent, no_new_privileges=spec["no_new_privileges"])
    os.umask(0o022)
    os.chdir(spec["folder"])
    _connected(descriptors)
    # What the server ignores, such as SIGPIPE, a program would ignore as well.
    for each in range(1, signal.NSIG):
        if each not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(each, signal.SIG_DFL)
    os.execve(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606
