"""The server's side of the launcher: what it starts, and how that ends.

The launcher is started when something first runs, and again should it have ended.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

#: Isolated, without site-packages: it needs nothing of them, and starts in a few milliseconds.
_PROGRAM = """import sys
sys.path.insert(0, sys.argv[2])
from connectory.containment.launcher import main
main()
"""
_ISOLATED = ("-I", "-S", "-B", "-c")
_SOURCE = Path(__file__).parents[2]
_ENDED_WITH_LAUNCHER = -signal.SIGKILL
#: Shells, bubblewrap and pasta tell a signal as an exit code of 128 and its number.
_SIGNALLED = 128


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What root lays out for a user that could not reach it.

    Attributes:
        at: A folder to lay it out in; each of `binds` appears there by its number.
        tun: Whether a network device must be made that the user may open.
        binds: Each source, and whether it is written to.
    """

    at: str
    tun: bool
    binds: Sequence[tuple[str, bool]]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A program for the launcher to start.

    Attributes:
        command: Path and arguments.
        environment: All of its environment.
        folder: Where it starts.
        limits: Soft and hard limits by their names without `RLIMIT_`.
        user: Number of the user and group that it runs as; None: as the server.
        groups: Files that put whoever writes to them into a control group.
        stage: What is laid out for it first.
        mark: A variable of its environment, `NAME=value`, that tells whatever it starts from what
            others start; only where it has no process namespace, which tells it better.
        no_new_privileges: Whether it must not gain any by what it executes; bubblewrap sees to
            that itself, and pasta needs to regain what it has in its own namespace.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str = "/"
    limits: Mapping[str, int] = {}
    user: int | None = None
    groups: Sequence[str] = ()
    stage: Stage | None = None
    mark: str = ""
    no_new_privileges: bool = False


class Launched:
    """A program that the launcher started."""

    def __init__(self, launcher: "Launcher", number: int, ended: Callable[[], None]) -> None:
        self._launcher = launcher
        self._number = number
        self._when_ended = ended
        self._told = threading.Event()
        self._over = threading.Event()
        self._code = 0
        self._error: OSError | None = None
        self.pid = 0

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._code if self._over.is_set() else None

    def wait(self, seconds: float | None = None) -> int:
        """The same, once it has ended and nothing of it is left.

        Raises:
            TimeoutError: it has not, in that time.
        """
        if not self._over.wait(seconds):
            raise TimeoutError(f"process {self.pid} still runs after {seconds} seconds")
        return self._code

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM to the program itself)."""
        if not self._over.is_set():
            self._launcher.send({"id": self._number, "signal": "terminate"})

    def kill(self) -> None:
        """End it and everything that it started; nothing of it is left when this ends."""
        if not self._over.is_set():
            self._launcher.send({"id": self._number, "signal": "kill"})
            self._over.wait()

    # What the launcher tells of it.

    def take(self, answer: Mapping[str, Any]) -> None:
        """Take an answer of the launcher."""
        if "pid" in answer:
            self.pid = answer["pid"]
        elif "error" in answer:
            number, message = answer["error"]
            self._error = OSError(number, message)
            self._end(_ENDED_WITH_LAUNCHER)
        else:
            code = answer["exit"]
            self._end(_SIGNALLED - code if code > _SIGNALLED else code)
        self._told.set()

    def lost(self) -> None:
        """The launcher has ended, and with it the program."""
        if self.pid and not self._over.is_set():
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
        self._error = OSError("what starts programs has ended")
        self._end(_ENDED_WITH_LAUNCHER)
        self._told.set()

    def started(self) -> None:
        """Wait until it has been started.

        Raises:
            OSError: it could not be.
        """
        self._told.wait()
        if self._error is not None and not self.pid:
            raise self._error

    def _end(self, code: int) -> None:
        if not self._over.is_set():
            self._code = code
            self._when_ended()
            self._over.set()


class Launcher:
    """Starts programs in a process of its own; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._launched: dict[int, Launched] = {}
        self._number = 0

    def start(
        self,
        start: Start,
        *,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
        stdin: int | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> Launched:
        """Start a program. `ended` is called once it has, before whoever waits for it hears of it.

        Raises:
            OSError: it could not be started; `ended` has been called.
        """
        opened: list[int] = []
        try:
            given = [_descriptor(stdout, opened)]
            given.append(given[0] if stderr == subprocess.STDOUT else _descriptor(stderr, opened))
            if stdin is not None:
                given.append(stdin)
            with self._lock:
                self._number += 1
                launched = Launched(self, self._number, ended)
                try:
                    self._begin()
                    self._launched[self._number] = launched
                    self._send({"id": self._number, "start": msgspec.to_builtins(start)}, given)
                except OSError:
                    self._launched.pop(self._number, None)
                    ended()
                    raise
            launched.started()
        finally:
            for each in opened:
                os.close(each)
        return launched

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request about a program; one that comes too late is of no matter."""
        with self._lock, contextlib.suppress(OSError):
            self._send(request, [])

    def close(self) -> None:
        """End the launcher, and with it all that it started."""
        with self._lock:
            connection, process, reader = self._connection, self._process, self._reader
            self._connection = self._process = self._reader = None
            if connection is not None:
                connection.shutdown(socket.SHUT_WR)
        if connection is not None and process is not None and reader is not None:
            process.wait()
            reader.join()
            connection.close()

    def _begin(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._connection is not None:
            self._connection.close()
        ours, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: a Ctrl-C is for the server, which ends what runs in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *_ISOLATED, _PROGRAM, str(theirs.fileno()), str(_SOURCE)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={},
            )
        self._connection = ours
        self._reader = threading.Thread(
            target=self._read, args=(ours,), name="containment", daemon=True
        )
        self._reader.start()

    def _send(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        if self._connection is None:
            raise ConnectionError("nothing runs")
        body = msgspec.json.encode(request)
        head = struct.pack(">I", len(body))
        if descriptors:
            socket.send_fds(self._connection, [head], descriptors)
        else:
            self._connection.sendall(head)
        self._connection.sendall(body)

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as answers, contextlib.suppress(OSError):
            while len(head := answers.read(4)) == 4:  # noqa: PLR2004
                answer = msgspec.json.decode(answers.read(struct.unpack(">I", head)[0]))
                with self._lock:
                    over = "exit" in answer or "error" in answer
                    table = self._launched
                    launched = table.pop(answer["id"]) if over else table.get(answer["id"])
                if launched is not None:
                    launched.take(answer)
        with self._lock:
            lost, self._launched = self._launched, {}
        for launched in lost.values():
            launched.lost()


def _descriptor(output: IO[bytes] | int, opened: list[int]) -> int:
    """The descriptor of what a program's output goes to; those opened here are closed by `start`.

    As for `subprocess`, `DEVNULL` is one; pipes are made by the caller, whose they are.
    """
    if not isinstance(output, int):
        return output.fileno()
    if output == subprocess.DEVNULL:
        opened.append(os.open(os.devnull, os.O_WRONLY))
        return opened[-1]
    return output
