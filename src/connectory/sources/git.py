"""The git command, run so that nothing but its arguments decides what it does.

It gets an environment of its own, no configuration of the machine or the user, a time limit, limits
of memory and of the size of a file, and a process group that is killed with it.
"""

import contextlib
import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from connectory.sources.model import FetchTimeout, SourceError

#: Settings of git that hold for every call.
_OPTIONS = (
    "core.askPass=",
    "core.bigFileThreshold=16m",
    "core.fsync=none",  # what is not whole after a power cut is fetched anew
    "core.hooksPath=/dev/null",
    "core.packedGitLimit=256m",
    "core.packedGitWindowSize=32m",
    "credential.helper=",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # one pack: few files, and one size to watch
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "http.emptyAuth=false",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "http.proxy=",
    "http.sslVerify=true",
    "maintenance.auto=false",
    "pack.threads=1",
    "pack.windowMemory=128m",
    "protocol.version=2",
    "safe.bareRepository=explicit",
    "safe.directory=*",
    "transfer.advertiseSID=false",
    "transfer.bundleURI=false",
)
#: Hostile packs make git ask for memory that it then does not get.
_MEMORY_KILOBYTES = 2 * 2**20
_LIMITED = 'ulimit -v "$1" 2>/dev/null; ulimit -f "$2"; ulimit -c 0; shift 2; exec "$@"'
#: The first version that heeds `http.curloptResolve`.
_OLDEST = (2, 37)
_VERSION_SECONDS = 10
_MOST_ERRORS = 16 * 2**10
_CHUNK = 2**17
#: How often a process is looked after while it says nothing.
_WATCH_SECONDS = 0.05


class GitFailed(Exception):
    """Git ended with a fault; `errors` is what it said."""

    def __init__(self, status: int, errors: str) -> None:
        super().__init__(errors)
        self.status = status
        self.errors = errors


class Process:
    """A git process that runs; its output comes in pieces."""

    def __init__(
        self, popen: "subprocess.Popen[bytes]", deadline: float, watch: Callable[[], None]
    ) -> None:
        self._popen = popen
        self._deadline = deadline
        self._watch = watch
        self._watched_at = time.monotonic()
        self._errors = bytearray()
        self._selector = selectors.DefaultSelector()
        for stream in (popen.stdout, popen.stderr):
            assert stream is not None  # noqa: S101 - both are pipes
            self._selector.register(stream, selectors.EVENT_READ)

    def pieces(self) -> Iterator[bytes]:
        """The output, until the process ends well.

        Raises:
            GitFailed: it ended otherwise.
            FetchTimeout: it took too long.
        """
        while self._selector.get_map():
            for key, _ in self._selector.select(_WATCH_SECONDS):
                piece = os.read(key.fd, _CHUNK)
                if not piece:
                    self._selector.unregister(key.fileobj)
                elif key.fileobj is self._popen.stdout:
                    yield piece
                elif len(self._errors) < _MOST_ERRORS:
                    self._errors += piece
            self._look_after()
        try:
            status = self._popen.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _too_slow() from None
        if status:
            raise GitFailed(status, self._errors.decode(errors="replace"))

    def _look_after(self) -> None:
        now = time.monotonic()
        if now > self._deadline:
            raise _too_slow()
        if now - self._watched_at > _WATCH_SECONDS:
            self._watch()
            self._watched_at = time.monotonic()

    def close(self) -> None:
        """End the process and all that it started."""
        if self._popen.returncode is None:  # while it is not reaped, no other group has its number
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        self._selector.close()
        for stream in (self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()


def _too_slow() -> FetchTimeout:
    return FetchTimeout("the repository took too long to answer; try again later")


def _nothing() -> None:
    pass


class Git:
    """Runs git commands with limits."""

    def __init__(self, *, file_bytes: int) -> None:
        self._blocks = str(file_bytes // 512 + 1)
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "XDG_CONFIG_HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_ASKPASS": "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "SSH_ASKPASS_REQUIRE": "never",
        }

    @functools.cached_property
    def _command(self) -> str:
        """The git command, if it is one that can be held to pinned addresses.

        Raises:
            SourceError: there is none.
        """
        command = shutil.which("git")
        if command is None:
            raise SourceError("git is not installed on the server: its operator must install it")
        done = subprocess.run(  # noqa: S603 - no argument of others
            [command, "version"],
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=_VERSION_SECONDS,
        )
        found = re.match(rb"git version (\d+)\.(\d+)", done.stdout)
        if found is None or (int(found[1]), int(found[2])) < _OLDEST:
            wanted = ".".join(map(str, _OLDEST))
            raise SourceError(f"the server's git is too old: its operator must install {wanted}")
        return command

    @contextlib.contextmanager
    def running(
        self,
        arguments: Sequence[str],
        *,
        deadline: float,
        environment: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        folder: Path | None = None,
        watch: Callable[[], None] = _nothing,
    ) -> Iterator[Process]:
        """Start git; it is killed when the block ends.

        `deadline` is an instant of `time.monotonic()`; `watch` is called several times a second
        and may raise; `folder` is the repository that it works on.
        """
        options = [part for option in _OPTIONS for part in ("-c", option)]
        where = [f"--git-dir={folder}"] if folder is not None else []
        popen = subprocess.Popen(  # noqa: S603 - the command and its options are ours
            [
                *("/bin/sh", "-c", _LIMITED, "sh", str(_MEMORY_KILOBYTES), self._blocks),
                *(self._command, "--no-pager", *options, *where, *arguments),
            ],
            env={**self._environment, **(environment or {})},
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        process = Process(popen, deadline, watch)
        try:
            yield process
        finally:
            process.close()

    def output(
        self,
        arguments: Sequence[str],
        *,
        most: int,
        deadline: float,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        watch: Callable[[], None] = _nothing,
    ) -> bytes:
        """Run git to its end; what it printed.

        Raises:
            GitFailed: it ended with a fault, or printed more than `most` bytes.
            FetchTimeout: it took too long.
        """
        printed = bytearray()
        with self.running(
            arguments, deadline=deadline, environment=environment, folder=folder, watch=watch
        ) as process:
            for piece in process.pieces():
                printed += piece
                if len(printed) > most:
                    raise GitFailed(-1, "it answered with more than it was asked for")
        return bytes(printed)
