"""Whether a confined program listens, told by its own network and not by what leads to it.

A forwarder accepts connections before the program does, and only then finds that nobody is there:
that a connection is open says nothing. The kernel lists who listens in each network.
"""

import os
from collections.abc import Iterator
from pathlib import Path

#: The state of a socket that listens, in /proc/net/tcp.
_LISTENS = "0A"
#: How the program is called that makes networks and leads to them, whichever build of it runs.
_FORWARDER = "pasta"


def listens(pid: int, port: int) -> bool | None:
    """Whether something listens on a port in a network of a process's descendants.

    None: they have no network of their own, or that cannot be told here.
    """
    own = _network(os.getpid())
    if own is None:
        return None
    for each in _descendants(pid):
        network = _network(each)
        if network is not None and network != own:
            return _listed(each, port)
    # Before a forwarder has made the network, and after what is in it has ended, nobody listens.
    return False if _name(pid).startswith(_FORWARDER) else None


def _descendants(pid: int) -> Iterator[int]:
    """A process's descendants, parents first."""
    waiting = [pid]
    while waiting:
        parent = waiting.pop(0)
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        except OSError:
            continue
        children = [int(each) for each in text.split()]
        yield from children
        waiting += children


def _name(pid: int) -> str:
    """Of a process's program; as a forwarder's for one that has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii")
    except (OSError, UnicodeError):
        return _FORWARDER


def _network(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116 - one call, many times a second
    except OSError:
        return None


def _listed(pid: int, port: int) -> bool | None:
    wanted = f":{port:04X}"
    told = None
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        told = False
        for line in lines[1:]:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == _LISTENS:
                return True
    return told
