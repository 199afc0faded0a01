"""One node, joined."""

import asyncio
from collections.abc import Collection, Sequence

from msgspec import Struct

from connectory.app.calling import calling_of
from connectory.app.core import core_of, ground_of
from connectory.app.hosting import running_of
from connectory.app.interface import interface_of
from connectory.app.working import working_of
from connectory.catalogue.following import Following as CatalogueFollowing
from connectory.catalogue.service import Catalogue
from connectory.database.engine import Database
from connectory.database.feed import Follower
from connectory.database.shards import Shards
from connectory.deployments.following import Following, following_of
from connectory.deployments.running import Running, refusal_of
from connectory.http import server
from connectory.http.table import Endpoint
from connectory.identity.service import Identity
from connectory.kernel.clock import Clock
from connectory.messages.service import Messages
from connectory.operations.readiness import Readiness
from connectory.schedule.service import Jobs
from connectory.settings import Settings
from connectory.webhooks.service import Webhooks
from connectory.work.service import Worker


class Node(Struct, frozen=True, kw_only=True):
    """The parts of one node that begin and end with it, and what it answers with."""

    settings: Settings
    identity: Identity
    catalogue: Catalogue
    catalogue_following: CatalogueFollowing
    follower: Follower
    worker: Worker
    running: Running
    shards: Shards
    following: Following
    messages: Messages
    jobs: Jobs
    webhooks: Webhooks
    readiness: Readiness
    endpoints: Sequence[Endpoint]
    application: server.Asgi
    #: Set when answers without an end are to end.
    stopping: asyncio.Event


def compose(
    settings: Settings,
    database: Database,
    clock: Clock,
    more: Sequence[Endpoint] = (),
    *,
    trusted: Collection[str] = (),
    hosts: bool = True,
) -> Node:
    """Make a node.

    `more` are endpoints that a test or a benchmark adds to the table; `trusted` the addresses of
    repositories whose code is run also where nothing confines it. One that does not host
    applications leaves deploys to those that do.
    """
    ground = ground_of(settings, database, clock)
    core, running = core_of(ground), running_of(ground)
    calling = calling_of(ground, running.gateway)
    refusal = refusal_of(running.containment, trusted, unconfined=settings.run_unconfined == "on")
    working = working_of(ground, core, running, calling, refusal=refusal, hosts=hosts)
    interface = interface_of(ground, core, running, calling, working, more=more)
    return Node(
        settings=settings,
        identity=core.identity,
        catalogue=core.catalogue,
        catalogue_following=core.catalogue_following,
        follower=core.follower,
        worker=working.worker,
        running=running,
        shards=calling.shards,
        following=following_of(running, ground.sources, refusal, settings.start_seconds),
        messages=calling.messages,
        jobs=calling.jobs,
        webhooks=calling.webhooks,
        readiness=interface.readiness,
        endpoints=interface.endpoints,
        application=interface.application,
        stopping=interface.stopping,
    )
