"""Where applications run, as the work of a deploy sees it: one place before runtime and gateway.

The runtime and the gateway live in the server's event loop; work is done in threads. These
functions may be called in any thread but the loop's own.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from connectory.contract.scalars import ApplicationType
from connectory.deployments.model import Application, Deployment
from connectory.gateway.model import Route
from connectory.gateway.server import Gateway
from connectory.runtime.model import Program, Runtime, State

T = TypeVar("T")

_PREFIXES: Mapping[ApplicationType, str] = {
    ApplicationType.SERVICE: "service",
    ApplicationType.ASSETS: "assets",
    ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION: "mc-app",
    ApplicationType.MERCHANT_CENTER_CUSTOM_VIEW: "mc-view",
}
#: Types whose artifact is files that are served as they are.
STATIC = frozenset(
    {
        ApplicationType.ASSETS,
        ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION,
        ApplicationType.MERCHANT_CENTER_CUSTOM_VIEW,
    }
)
_LOOK_SECONDS = 0.1


class Hosting:
    """Starts, switches and removes applications on this node."""

    def __init__(self, runtime: Runtime, gateway: Gateway) -> None:
        self._runtime = runtime
        self._gateway = gateway
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which event loop the runtime and the gateway live in; before anything else."""
        self._loop = loop

    def url(self, deployment: Deployment, application: Application) -> str | None:
        """Where an application answers, without its endpoint; None for what is not called."""
        route = route_of(deployment, application)
        return None if route is None else self._gateway.url_of(route)

    def start(self, program: Program, seconds: float, check: Callable[[], None]) -> None:
        """Start a release beside the one that runs, and wait until it is healthy.

        `check` is called all the time; what it raises ends the wait, and what was started.

        Raises:
            StartFailed: it was not healthy in that time.
        """
        try:
            self.wait(self._runtime.run(program, seconds=seconds), check)
        except BaseException:
            self.discard(program.application_id, program.release)
            raise

    def discard(self, application_id: str, release: int) -> None:
        """Stop a release that was started and not switched to, if there is one."""
        self.wait(self._runtime.discard(application_id, release))

    def switch(self, application_id: str, release: int) -> None:
        """Let a release take the calls."""
        self.wait(self._runtime.switch(application_id, release))

    def restore(self, program: Program) -> None:
        """Take over a release that ran before a restart, or that runs on another node."""
        self.wait(self._runtime.restore(program))

    def is_awaited(self, program: Program) -> bool:
        """Whether an older release is awake, whose calls are not to wait for the start of this."""
        return self.wait(self._is_awaited(program))

    def route(
        self, deployment: Deployment, application: Application, *, static: Path | None = None
    ) -> None:
        """Let calls reach an application; `static` is the folder of one that is served as it is."""
        route = route_of(deployment, application, static)
        if route is not None:
            self.wait(self._set_route(route))

    def announce(self, deployment: Deployment, application: Application) -> None:
        """Tell callers of an application to try again until there is a `route` to it."""
        route = route_of(deployment, application)
        if route is not None:
            self.wait(self._announce(route))

    def remove(self, application_ids: Iterable[str]) -> None:
        """Stop applications and let nobody reach them any more."""
        for application_id in application_ids:
            self.wait(self._remove(application_id))

    async def _set_route(self, route: Route) -> None:
        self._gateway.set_route(route)

    async def _announce(self, route: Route) -> None:
        if self._gateway.find(route.application_id, b"") is None:
            self._gateway.set_route(route)

    async def _is_awaited(self, program: Program) -> bool:
        number = self._runtime.serving(program.application_id)
        awake = self._runtime.state(program.application_id) is State.HEALTHY
        return awake and number is not None and number < program.release

    async def _remove(self, application_id: str) -> None:
        self._gateway.drop_route(application_id)
        await self._runtime.remove(application_id)

    def wait(self, call: Coroutine[Any, Any, T], check: Callable[[], None] | None = None) -> T:
        """The result of a call in the event loop; `check` is called all the time meanwhile."""
        if self._loop is None:
            call.close()
            raise RuntimeError("the server is not up yet")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        while True:
            try:
                return future.result(_LOOK_SECONDS if check else None)
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise
                try:
                    if check is not None:
                        check()
                except BaseException:
                    future.cancel()
                    raise


def route_of(
    deployment: Deployment, application: Application, static: Path | None = None
) -> Route | None:
    """The route of an application; None for what is not called from outside."""
    prefix = _PREFIXES.get(application.type)
    if prefix is None:
        return None
    return Route(
        application_id=application.id,
        deployment_id=deployment.id,
        application=application.name,
        slug=application.slug,
        prefix=prefix,
        static=static,
    )
