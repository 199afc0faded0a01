"""What runs, and what is told of it: the one interface of runtimes.

A runtime is told which releases of which applications should run; it starts them, watches over
their health, starts them again with backoff, lets idle ones sleep, and wakes them. Everything is
said in these types, so that processes, containers and Kubernetes stand behind one protocol.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from connectory.building.model import Artifact
from connectory.containment.model import Bounds


class HealthCheck(Struct, frozen=True, kw_only=True):
    """As connect.yaml has it; without one, an open port is health."""

    path: str
    interval_seconds: int = 10
    timeout_seconds: int = 5
    unhealthy_threshold: int = 3


class Program(Struct, frozen=True, kw_only=True):
    """A release of an application that is to run.

    Attributes:
        application_id: The `id` of the ApplicationDeployment: its place in the gateway.
        release: Number of the release; a higher one follows a lower one.
        deployment_id: Whose it is.
        application: Its name.
        artifact: What runs.
        environment: All of its values, secured ones among them; never shown, never logged.
        warm: Whether it stays up when idle.
        health_check: How its health is told; None: its port opens.
        bounds: How much it may use.
        drain_seconds: How long calls that are under way when it is replaced may go on; None: as
            long as a request may take.
    """

    application_id: str
    release: int
    deployment_id: str
    application: str
    artifact: Artifact
    environment: Mapping[str, str]
    warm: bool = False
    health_check: HealthCheck | None = None
    bounds: Bounds = Bounds()
    drain_seconds: float | None = None


class State(enum.StrEnum):
    """Where a program is."""

    SLEEPING = "sleeping"  #: Stopped because nobody called; the next call starts it.
    STARTING = "starting"
    HEALTHY = "healthy"
    FAILING = "failing"  #: It died or is not healthy, and will be started again.
    STOPPED = "stopped"


class Output(Protocol):
    """Takes the lines that programs print; called in any thread, must not block for long."""

    def __call__(self, program: Program, stream: str, line: bytes) -> None:
        """Take a line without its end; `stream` is `stdout` or `stderr`."""


class StartFailed(Exception):
    """A program did not become healthy. The message is for people: why, exit code, last lines.

    Attributes:
        reason: The same without the lines, which are the owner's alone: fit for whoever calls.
    """

    def __init__(self, reason: str, *, output: str = "") -> None:
        super().__init__(f"{reason}; its last lines:\n{output}" if output else reason)
        self.reason = reason


class Runtime(Protocol):
    """Runs programs. All methods but `start` and `stop` are coroutines of the server's loop."""

    async def run(self, program: Program, *, seconds: float) -> None:
        """Start a program beside whatever release runs, and return when it is healthy.

        It serves nothing yet: `switch` lets it.

        Raises:
            StartFailed: it was not healthy in that time; nothing of it is left.
        """

    async def discard(self, application_id: str, release: int) -> None:
        """Stop a release that was never switched to; nothing happens where there is none."""

    async def switch(self, application_id: str, release: int) -> None:
        """Let a release that is healthy take the calls; the one before drains and is stopped."""

    async def restore(self, program: Program) -> None:
        """Take over a release that was switched to before a restart, or on another node.

        It replaces an older one, which drains, and nothing where that or a later one runs. Idle
        ones sleep until called. Returns at once; what fails is tried again with backoff.
        """

    async def remove(self, application_id: str) -> None:
        """Stop every release of an application; nothing of it is left when this returns."""

    async def address(self, application_id: str) -> tuple[str, int]:
        """Host and port of the release that takes the calls, woken where it sleeps.

        Whoever calls says when the call ends, by `released`, so that an application with calls
        under way neither sleeps nor is stopped.

        Raises:
            KeyError: there is none.
            StartFailed: it did not wake.
        """

    def ready(self, application_id: str) -> tuple[str, int] | None:
        """The same at once, where it is awake; None where `address` is to be awaited."""

    def released(self, application_id: str, address: tuple[str, int]) -> None:
        """A call to an address that `address` or `ready` gave has ended."""

    def state(self, application_id: str) -> State:
        """Where the release that takes the calls is."""

    def serving(self, application_id: str) -> int | None:
        """The number of the release that takes the calls; None where none does."""


#: Hears that an application crashes again and again, or is well again: (program, message or "").
CrashLoops = Callable[[Program, str], None]
