"""One process of a program: started, heard, waited for, and ended without a trace."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connectory.containment.model import (
    APPLICATION_PORT,
    Confinement,
    Contained,
    Containment,
    Mount,
    Network,
)
from connectory.runtime.health import LOOPBACK
from connectory.runtime.lines import Lines
from connectory.runtime.model import Output, Program, StartFailed

log = logging.getLogger(__name__)

#: Ports of loopback that lead to programs; below those that systems give to outgoing connections.
PORTS = range(30_000, 32_768)

#: How many lines of output a failure shows.
TAIL_LINES = 20

WORKSPACE = "/workspace"
LIBRARIES = "/tmp/lib"  # noqa: S108 - where a program sees them, in a file view of its own

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLL_SECONDS = 0.2
_LAST_WORDS_SECONDS = 1.0

_Result = TypeVar("_Result")


class Ports:
    """Free ports of loopback. One that was given back comes round last."""

    def __init__(self, numbers: range = PORTS) -> None:
        self._numbers = numbers
        self._next = int.from_bytes(os.urandom(4)) % len(numbers)
        self._taken: set[int] = set()

    def take(self) -> int:
        """A port on which nothing listens.

        Raises:
            StartFailed: there is none.
        """
        for _ in self._numbers:
            port = self._numbers[self._next]
            self._next = (self._next + 1) % len(self._numbers)
            if port not in self._taken and _is_free(port):
                self._taken.add(port)
                return port
        raise StartFailed(f"every port from {self._numbers[0]} to {self._numbers[-1]} is taken")

    def give_back(self, port: int) -> None:
        """It is free again."""
        self._taken.discard(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return True
    return False


@dataclass(kw_only=True)
class Surroundings:
    """What instances are made with."""

    containment: Containment
    ports: Ports
    #: Runs the calls that block.
    threads: Executor
    output: Output
    clock: Callable[[], float]
    network: Network = Network.PUBLIC
    #: How long a program may take to end by itself.
    grace_seconds: float = 10.0

    async def blocking(self, function: Callable[[], _Result]) -> _Result:
        """Call in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function)


class Instance:
    """A process that was started. `calls` is how many requests to it are under way."""

    def __init__(self, program: Program, surroundings: Surroundings, port: int) -> None:
        self.program = program
        self.address = (LOOPBACK, port)
        self.calls = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._surroundings = surroundings
        self._contained: Contained | None = None
        self._lines: list[Lines] = []
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._polling: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, program: Program, surroundings: Surroundings) -> "Instance":
        """Start a process of a program; it need not be well yet.

        Raises:
            StartFailed: it could not be started; nothing of it is left.
        """
        instance = cls(program, surroundings, surroundings.ports.take())
        try:
            confinement = confined(program, instance.address[1], surroundings.network)
            contained, *pipes = await surroundings.blocking(
                lambda: _spawn(surroundings.containment, confinement)
            )
        except OSError as error:
            surroundings.ports.give_back(instance.address[1])
            raise StartFailed(f"{program.application} could not be started: {error}") from None
        instance._contained = contained
        waiting = [*pipes]
        try:
            instance._watch(contained)
            for name in ("stdout", "stderr"):
                await instance._listen(name, waiting.pop(0))
        except (OSError, RuntimeError) as error:  # of the event loop
            log.warning("%s is not listened to: %r", program.application_id, error)
            for each in waiting:
                os.close(each)
            await instance.stop(0)
            raise StartFailed(f"{program.application} could not be started: {error}") from None
        return instance

    def failure(self, what: str) -> StartFailed:
        """What befell it, with the last lines that it printed."""
        tail = b"\n".join(self._tail).decode(errors="replace")
        return StartFailed(what, output=tail)

    @property
    def pid(self) -> int:
        """The outermost process; 0 where it is over."""
        return self._contained.pid if self._contained else 0

    @property
    def exit_words(self) -> str:
        """How it ended."""
        code = self._contained.poll() if self._contained else None
        if code is None:
            return "ended"
        return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"

    async def last_words(self) -> None:
        """Wait until what a process that has ended printed has been read; not for long."""
        if self._lines:
            await asyncio.wait({lines.done for lines in self._lines}, timeout=_LAST_WORDS_SECONDS)

    async def stop(self, grace_seconds: float | None = None) -> None:
        """End it: asked first, then by force. No process, port or stream of it is left."""
        contained, blocking = self._contained, self._surroundings.blocking
        if contained is None:
            return
        grace = self._surroundings.grace_seconds if grace_seconds is None else grace_seconds
        if not self.ended.done():
            with contextlib.suppress(OSError):
                await blocking(contained.terminate)
            await asyncio.wait({self.ended}, timeout=grace)
        with contextlib.suppress(OSError):
            await blocking(contained.kill)  # what it left behind, too
        await asyncio.wait({self.ended}, timeout=grace)
        await self.last_words()
        for lines in self._lines:
            lines.close()
        if self._polling is not None:
            self._polling.cancel()
        self._contained = None
        self._surroundings.ports.give_back(self.address[1])

    def _watch(self, contained: Contained) -> None:
        """Set `ended` when the process has; without a thread for each, where the system can."""
        loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(contained.pid)
                try:
                    loop.add_reader(descriptor, self._noticed, contained, descriptor)
                except (OSError, RuntimeError):  # the event loop still knows it as another's
                    os.close(descriptor)
                else:
                    return
        self._polling = loop.create_task(self._poll(contained))

    def _noticed(self, contained: Contained, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        os.close(descriptor)
        # Its exit code may come a moment later than its end.
        self._polling = loop.create_task(self._poll(contained))

    async def _poll(self, contained: Contained) -> None:
        pause = 0.001
        while contained.poll() is None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _POLL_SECONDS)
        if not self.ended.done():
            self.ended.set_result(None)

    async def _listen(self, name: str, pipe: int) -> None:
        """Hear what comes by a pipe, which is closed when it has ended."""

        def take(line: bytes) -> None:
            self._tail.append(line)
            self._surroundings.output(self.program, name, line)

        loop = asyncio.get_running_loop()
        lines = Lines(take, self._surroundings.clock)
        # uvloop closes the descriptor, and then the file: by then another thread may have been
        # given the same number, and would lose its pipe, its socket or its database.
        closes = isinstance(loop, asyncio.BaseEventLoop)
        file = os.fdopen(pipe, "rb", buffering=0, closefd=closes)
        try:
            await loop.connect_read_pipe(lambda: lines, file)
        except BaseException:
            file.close()
            raise
        self._lines.append(lines)


def confined(program: Program, port: int, network: Network) -> Confinement:
    """How a program is run, with a port of loopback that leads to it."""
    artifact = program.artifact
    mounts = [Mount(source=artifact.folder, target=WORKSPACE)]
    if artifact.libraries is not None:
        mounts.append(Mount(source=artifact.libraries, target=LIBRARIES))
    mounts += [Mount(source=tool, target=str(tool)) for tool in artifact.tools]
    return Confinement(
        command=artifact.command,
        environment=environment(program),
        mounts=mounts,
        folder=WORKSPACE,
        network=network,
        port=port,
        bounds=program.bounds,
    )


def environment(program: Program) -> Mapping[str, str]:
    """All variables of a program: ours, then its own, then those that nobody else may set.

    The last are Cloud Run's, which the hosted platform reserves.
    """
    tools = [str(_programs(tool)) for tool in program.artifact.tools]
    return {
        "HOME": "/tmp",  # noqa: S108 - its own
        "LANG": "C.UTF-8",
        "NODE_ENV": "production",
        "NO_UPDATE_NOTIFIER": "1",
        "PATH": ":".join([*tools, _SYSTEM_PATH]),
        **program.environment,
        "PORT": str(APPLICATION_PORT),
        "K_SERVICE": program.application,
        "K_CONFIGURATION": program.application,
        "K_REVISION": f"{program.application}-{program.release:05d}",
    }


def _programs(tool: Path) -> Path:
    return tool / "bin" if (tool / "bin").is_dir() else tool


def _spawn(containment: Containment, confinement: Confinement) -> tuple[Contained, int, int]:
    stdout, stdout_end = os.pipe()
    stderr, stderr_end = os.pipe()
    try:
        contained = containment.start(confinement, stdout=stdout_end, stderr=stderr_end)
    except BaseException:
        os.close(stdout)
        os.close(stderr)
        raise
    finally:
        os.close(stdout_end)
        os.close(stderr_end)
    return contained, stdout, stderr
