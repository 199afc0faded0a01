"""Whether a program on a port of loopback is well."""

import asyncio
import contextlib

from connectory.runtime.model import HealthCheck

LOOPBACK = "127.0.0.1"

#: A forwarder accepts connections before the program listens, and resets them at once. One that is
#: still open after this many seconds has reached the program.
_SETTLES_SECONDS = 0.1
_CONNECT_SECONDS = 2.0
_SUCCESS = range(200, 400)


async def is_open(port: int) -> bool:
    """Whether somebody accepts connections, and keeps them."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    try:
        async with asyncio.timeout(_SETTLES_SECONDS):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        writer.close()


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
