"""Commands of the program as processes of their own, forked from one that has imported it.

Two thirds of what a short command takes are imports. Here they are made once, by a process that
forks for every command; what then runs is the entry point, in its own process, with its own
environment and streams. What is about the start itself uses the installed command.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import coverage

#: What the process that forks imports: this module, and what commands import when they are called.
_PRELOADED = (
    "tests.processes",
    "alembic.command",
    "connectory.app",
    "connectory.cli.catalogue",
    "connectory.cli.certifying",
    "connectory.cli.clients",
    "connectory.cli.databases",
    "connectory.cli.faults",
    "connectory.cli.main",
    "connectory.cli.operating",
    "connectory.cli.operators",
    "connectory.cli.projects",
    "connectory.cli.repositories",
    "connectory.cli.serving",
    "connectory.cli.worker",
    "connectory.cli.working",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

#: multiprocessing looks after all its processes whenever it starts one, and not for threads.
_one_by_one = threading.Lock()


class Process:
    """A command that runs; it is used like a `subprocess.Popen`."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        stdin: Path = Path(os.devnull),
        stdout: Path = Path(os.devnull),
        stderr: Path = Path(os.devnull),
        first: Callable[[], None] | None = None,
    ) -> None:
        """Start it, in this process's working folder; it calls `first` before the command."""
        forking = multiprocessing.get_context("forkserver")
        forking.set_forkserver_preload(list(_PRELOADED))
        streams = (str(stdin), str(stdout), str(stderr))
        self._arguments = arguments
        self._process = forking.Process(
            target=_run,
            args=(arguments, dict(environment), str(Path.cwd()), streams, first),
            daemon=True,
        )
        with _one_by_one:
            self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, or less than 0: the signal that ended it; None while it runs."""
        with _one_by_one:
            return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, when it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        multiprocessing.connection.wait([self._process.sentinel], seconds)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, seconds or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class FedProcess:
    """A command that is given its input bit by bit, and can be killed."""

    def __init__(self, *arguments: str, environment: Mapping[str, str]) -> None:
        """Start it."""
        self._folder = tempfile.TemporaryDirectory()
        self._said = Path(self._folder.name, "said")
        stdin = Path(self._folder.name, "stdin")
        os.mkfifo(stdin)
        self._said.touch()  # one that is killed at once says nothing
        self._process = Process(
            arguments, environment=environment, stdin=stdin, stdout=self._said, stderr=self._said
        )
        self._input = stdin.open("wb", buffering=0)  # waits until the command has opened it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it behind, however the block ends."""
        self.kill()
        self._process.wait(10)
        self.close()
        self._folder.cleanup()

    def give(self, text: bytes) -> None:
        """Write to its input.

        Raises:
            BrokenPipeError: it has ended.
        """
        while text:
            text = text[self._input.write(text) :]

    def close(self) -> None:
        """Say that there is no more input."""
        self._input.close()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said, when it has ended; it gets no more input."""
        self.close()
        code = self._process.wait(60)
        return code, self._said.read_text()


def _run(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    folder: str,
    streams: tuple[str, str, str],
    first: Callable[[], None] | None,
) -> None:
    """What the child does."""
    for number, path in enumerate(streams):
        writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND  # two streams may share a file
        opened = os.open(path, writing if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdin.buffer.raw.name = "<stdin>"
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["connectory", *arguments]
    from connectory.cli.main import main  # noqa: PLC0415 - only the process that forks imports it

    measuring = coverage.Coverage.current()
    if measuring is not None and not environment.get("COVERAGE_PROCESS_CONFIG"):
        measuring.stop()
        measuring = None
    if first is not None:
        first()
    try:
        main(list(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # A process that was forked runs no exit handlers, and coverage.py's is one.
        if measuring is not None:
            measuring.stop()
            measuring.save()
