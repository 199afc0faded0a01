"""Load and gauges: wrk, a lean keep-alive client, quantiles, the memory of processes."""

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

CONNECTIONS = 32

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

#: Every request is made before the run, so that the load generator does next to nothing for one.
_SCRIPT = """
local paths = {{ {paths} }}
local headers = {{ ["Authorization"] = "Bearer {token}" }}
local requests, last = {{}}, 0
function init(_)
  for place, path in ipairs(paths) do
    requests[place] = wrk.format("GET", path, headers)
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
"""


class Lacking(Exception):
    """This machine lacks something that a measure needs; the message says what."""


class Wrk:
    """Runs of wrk: many connections, as fast as the server answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = shutil.which("wrk")
        if found is None:
            raise Lacking("wrk is not installed (Debian: wrk)")
        self._command = found

    def script(self, name: str, paths: Iterable[str], token: str) -> Path:
        """A script for runs over these paths, one after the other, again and again."""
        file = self._folder / f"{name}.lua"
        quoted = ",".join(f'"{path}"' for path in paths)
        file.write_text(_SCRIPT.format(paths=quoted, token=token))
        return file

    def requests_per_second(self, url: str, script: Path, seconds: float) -> float:
        """How many requests a second a server answers.

        Raises:
            AssertionError: an answer had another status than 2xx, or there was none.
        """
        done = subprocess.run(
            [
                *(self._command, "--threads", "1", "--connections", str(CONNECTIONS)),
                *("--duration", f"{seconds:g}", "--script", str(script), url),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        found = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
        assert found, done.stdout
        assert "Non-2xx" not in done.stdout, done.stdout
        assert "Socket errors" not in done.stdout, done.stdout
        return float(found[1])


class Client:
    """One keep-alive connection; reads answers whole and understands nothing of them."""

    def __init__(self, url: str, token: str = "") -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._headers = f"Host: {host}:{port}\r\n"
        if token:
            self._headers += f"Authorization: Bearer {token}\r\n"
        self._socket = self._connected()

    def _connected(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=60)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def timed(
        self, target: str, *, method: str = "GET", form: str = "", json: str = ""
    ) -> tuple[float, bytes]:
        """Send a request; the seconds to the answer's last byte, and its body.

        Raises:
            AssertionError: the status is not 200.
        """
        request = f"{method} {target} HTTP/1.1\r\n{self._headers}"
        if form:
            request += "Content-Type: application/x-www-form-urlencoded\r\n"
            request += f"Content-Length: {len(form)}\r\n"
        if json:
            request += f"Content-Type: application/json\r\nContent-Length: {len(json)}\r\n"
        message = f"{request}\r\n{form}{json}".encode()
        receive = self._socket.recv
        began = time.perf_counter()
        self._socket.sendall(message)
        answer = receive(262_144)
        end = answer.find(b"\r\n\r\n")
        while end < 0:
            answer += _more(receive(262_144))
            end = answer.find(b"\r\n\r\n")
        length = _LENGTH.search(answer, 0, end)
        assert length, answer[:end]
        whole = end + 4 + int(length[1])
        while len(answer) < whole:
            answer += _more(receive(262_144))
        seconds = time.perf_counter() - began
        assert answer.startswith(b"HTTP/1.1 200"), f"{target}: {answer[:300]!r}"
        return seconds, answer[end + 4 :]

    def body(self, target: str) -> bytes:
        """The body of an answer."""
        return self.timed(target)[1]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _more(piece: bytes) -> bytes:
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


def wait_for_answer(url: str, path: str, process: "subprocess.Popen[str]", limit: float) -> None:
    """Wait until a path answers 200, or where it is empty, until the port is open.

    Asks every two milliseconds.

    Raises:
        AssertionError: the process ended, or the limit in seconds passed.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        with (
            contextlib.suppress(OSError, AssertionError),
            contextlib.closing(Client(url)) as client,
        ):
            if path:
                client.timed(path)
            return
        time.sleep(0.002)
    raise AssertionError(f"{url}{path} did not answer within {limit:g} s")


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return quantile(values, 0.5)


def proportional_bytes(pid: int) -> int:
    """The memory of a process and all its descendants: pages that several map are shared out."""
    return sum(_proportional(each) for each in _tree(pid))


def resident_bytes(pid: int) -> int:
    """The resident memory of one process."""
    return _kilobytes("VmRSS", Path(f"/proc/{pid}/status").read_text())


def peak_bytes(pid: int) -> int:
    """The most resident memory that one process has had; 0 where it has ended."""
    return peak_of(Path(f"/proc/{pid}/status").read_text())


def peak_of(status: str) -> int:
    """The same from the text of a /proc/PID/status."""
    return _kilobytes("VmHWM", status)


def _kilobytes(name: str, status: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _proportional(pid: int) -> int:
    return _kilobytes("Pss", Path(f"/proc/{pid}/smaps_rollup").read_text())
