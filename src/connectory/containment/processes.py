"""What the kernel tells of processes, on Linux: of the standard library alone.

Where there is no /proc, nothing is found.
"""

import contextlib
import os
import signal
import time


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status; empty where the process is gone, or there is no /proc."""
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:  # noqa: PTH123
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def children(pid: int) -> list[int]:
    """The processes that a process, or any of its threads, has for children."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123
                found += [int(each) for each in file.read().split()]
    return found


def send(pid: int, number: int) -> None:
    """Send a signal; to what has ended, or is not ours, it is of no matter."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def inner_number(pid: int) -> int:
    """Its number in a process namespace of its own; 0 where it has none."""
    numbers = _status(pid).get("NSpid", "").split()
    return int(numbers[-1]) if len(numbers) > len(_own_numbers()) else 0


def name(pid: int) -> str:
    """What it executes, by the first 15 letters of its name; a program can change its own."""
    return _status(pid).get("Name", "")


def _own_numbers() -> list[str]:
    return _status(os.getpid()).get("NSpid", "").split()


def stopped_tree(top: int) -> list[int]:
    """A process and what it started, stopped, so that nothing is started while they are counted.

    Namespaces of processes are not entered: they end with the first of their processes.
    """
    send(top, signal.SIGSTOP)
    until = time.monotonic() + 0.1
    while _status(top).get("State", "Z")[0] not in "TtZX" and time.monotonic() < until:
        time.sleep(0.0005)
    found = [top]
    if not inner_number(top):
        for child in children(top):
            found += stopped_tree(child)
    return found


def environment(pid: int) -> list[bytes]:
    """The environment that a process was started with, `NAME=value` each."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return file.read().split(b"\0")
    except OSError:
        return []
