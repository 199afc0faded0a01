"""Whether a program on a port of loopback is well."""

import asyncio
import contextlib
import os
from pathlib import Path

from connectory.containment.model import APPLICATION_PORT
from connectory.containment.processes import children
from connectory.runtime.model import HealthCheck

LOOPBACK = "127.0.0.1"

_CONNECT_SECONDS = 2.0
_SUCCESS = range(200, 400)

#: The program that forwards a port into a network of its own; the processor may be in its name.
_FORWARDERS = ("pasta", "passt")
_LISTENS = "0A"


async def is_open(pid: int, port: int) -> bool:
    """Whether the program of an outermost process accepts connections on a port of loopback.

    A forwarder accepts them before the program does, and cannot say so; there the kernel is asked
    whether somebody listens in the program's network.
    """
    if _name(pid).startswith(_FORWARDERS) and not _listens_within(pid):
        return False
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _listens_within(pid: int) -> bool:
    innermost = pid
    while within := children(innermost):
        innermost = within[-1]
    # Until its network is made, and for what the forwarder does in between, it has children in this
    # machine's network, where somebody else may well listen on that port.
    return _network(innermost) not in (None, _network(os.getpid())) and any(
        local.endswith(f":{APPLICATION_PORT:04X}") and state == _LISTENS
        for table in ("tcp", "tcp6")
        for _, local, _, state, *_ in _rows(Path(f"/proc/{innermost}/net/{table}"))
    )


def _network(pid: int) -> str | None:
    """The network namespace of a process; None where it is over."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 - text, and no path
    except OSError:
        return None


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


async def answers(port: int, check: HealthCheck) -> str:
    """Ask for the path of a health check: "" where a status of 2xx or 3xx came, else what did."""
    try:
        async with asyncio.timeout(check.timeout_seconds):
            status = await _status(port, check.path)
    except TimeoutError:
        return f"no answer within {check.timeout_seconds} s"
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return "" if status in _SUCCESS else f"status {status}"


async def _status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        target = path if path.startswith("/") else f"/{path}"
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: connectory-health\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        line = await reader.readline()
        version, _, rest = line.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError("no answer of HTTP" if line else "the connection was closed")
        return int(rest[:3])
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
