"""A node lives: its parts begin in one order, and end in the other, within one bound."""

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable

from connectory.app.node import Node
from connectory.http import server
from connectory.kernel.drain import Drain

#: Objects that are made, and not freed, before the collector looks at the young ones.
_COLLECTED_AFTER = 10_000
#: How long a thread, such as one that builds an index, goes on when requests want the interpreter.
_SWITCH_SECONDS = 0.0005

log = logging.getLogger(__name__)


async def serve(
    node: Node, *, host: str, port: int, listening: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve a node's endpoints until `stop` is set; then finish what was accepted."""
    settings = node.settings
    # Requests make hardly any cycles, and to look for them after every 700 objects, as Python
    # does, takes a thirtieth of the time of all requests.
    gc.set_threshold(_COLLECTED_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopped, drain = asyncio.Event(), Drain(settings.drain_seconds)
    async with (
        node.follower.following(),
        node.catalogue_following.kept_up(),
        node.running.running(drain.left, built_here=node.following.built_here),
        node.following.following(),
        _sharing(node),
        node.messages.delivering(drain.left),
        node.jobs.running(drain.left),
        node.webhooks.sending(drain.left),
        node.worker.working(drain.left),
        node.identity.sweeping(),
    ):
        draining = asyncio.create_task(_drain(node, drain, stop, stopped), name="drain")
        try:
            await server.serve(
                node.application,
                host=host,
                port=port,
                read_timeout=settings.read_timeout,
                write_timeout=settings.write_timeout,
                drain_seconds=settings.drain_seconds,
                listening=listening,
                stop=stopped,
            )
        finally:
            draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await draining


@contextlib.asynccontextmanager
async def _sharing(node: Node) -> AsyncIterator[None]:
    """Look after this node's share of the applications while the block runs."""
    with node.shards.holding():
        yield


async def _drain(node: Node, drain: Drain, stop: asyncio.Event, stopped: asyncio.Event) -> None:
    """On a stop, say no to load balancers first, and have everything take nothing new after that.

    From then on all that is under way has the same seconds, side by side.
    """
    await stop.wait()
    node.readiness.draining = True
    node.worker.retire()
    log.info("stopping: requests that were accepted are finished")
    await asyncio.sleep(node.settings.shutdown_delay)
    drain.begin()
    for each in (node.messages, node.jobs, node.webhooks, node.running.gateway):
        each.retire()
    node.stopping.set()
    stopped.set()
