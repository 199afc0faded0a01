"""The composition root: the only place where the objects of a node are made and joined."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from connectory import __version__
from connectory.building.first_use import FirstUse as FirstBuild
from connectory.building.model import FOLDER, Maker
from connectory.catalogue import endpoints as catalogue_endpoints
from connectory.catalogue.service import Catalogue
from connectory.containment.first_use import FirstUse
from connectory.containment.model import Containment, Network
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.feed import Follower, Freshness
from connectory.database.secrets import KeyRing, load_key_ring
from connectory.database.serving import is_served_by_one
from connectory.database.shards import Shards
from connectory.deployments import endpoints as deployment_endpoints
from connectory.deployments import measuring, release_endpoints
from connectory.deployments.environment import Commerce
from connectory.deployments.following import Following, following_of
from connectory.deployments.handlers import deploying
from connectory.deployments.hosting import Hosting
from connectory.deployments.measuring import Outcomes, ScriptOutcomes
from connectory.deployments.programs import Programs
from connectory.deployments.releases import Releases
from connectory.deployments.running import Running, crash_loops, refusal_of
from connectory.deployments.service import Deployments
from connectory.deployments.turns import Turns
from connectory.gateway.addresses import Addresses
from connectory.gateway.server import Gateway
from connectory.http import reference, server
from connectory.http.application import Application, with_correlation_id
from connectory.http.requestlog import Measures
from connectory.http.table import Endpoint
from connectory.identity import endpoints as identity_endpoints
from connectory.identity.service import Identity
from connectory.kernel.clock import Clock
from connectory.logs.endpoints import log_endpoints
from connectory.logs.service import Bounds as LogBounds
from connectory.logs.service import Logs
from connectory.messages import endpoints as message_endpoints
from connectory.messages import measuring as message_measuring
from connectory.messages.service import Messages
from connectory.operations import endpoints as operations_endpoints
from connectory.operations.metrics import Metrics, Reading
from connectory.operations.readiness import Readiness
from connectory.runtime.processes import Processes
from connectory.schedule import endpoints as job_endpoints
from connectory.schedule import measuring as job_measuring
from connectory.schedule.service import Jobs
from connectory.settings import Settings
from connectory.sources.service import Sources
from connectory.specification import endpoints as specification_endpoints
from connectory.staging import certification_endpoints
from connectory.staging import endpoints as staging_endpoints
from connectory.staging.certification import Certifications
from connectory.staging.checks import checks
from connectory.staging.model import Kind
from connectory.staging.service import KINDS, Limits, Staging
from connectory.staging.work import Checking
from connectory.webhooks import endpoints as webhook_endpoints
from connectory.webhooks import measuring as webhook_measuring
from connectory.webhooks.service import Webhooks
from connectory.work import service as work
from connectory.work.lease import Handler
from connectory.work.service import Worker

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """The parts of one node, joined."""

    settings: Settings
    database: Database
    identity: Identity
    catalogue: Catalogue
    follower: Follower
    staging: Staging
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
    freshness = Freshness()
    identity = Identity(database, freshness, clock, settings.token_seconds)
    catalogue = Catalogue(database, settings.cache_bytes)
    measures = Measures()
    readiness = Readiness(database)
    follower = Follower(database, (identity, catalogue), freshness)
    sources = Sources(settings, database, clock)
    key_ring = functools.cache(lambda: load_key_ring(settings))
    running = _running(settings, database, clock, key_ring)
    refusal = refusal_of(running.containment, trusted, unconfined=settings.run_unconfined == "on")
    handlers = _checking(settings, running, sources, follower, refusal)
    shards = Shards(database)
    jobs = Jobs(database, clock, running.gateway, shards)
    messages = Messages(
        database,
        clock,
        running.gateway,
        shards,
        kept_days=settings.messages_kept_days,
        dead_kept_days=settings.dead_letters_kept_days,
        acknowledged_kept=settings.messages_acknowledged_kept,
    )
    outcomes, scripts = Outcomes(), ScriptOutcomes()
    webhooks = Webhooks(
        database,
        clock,
        key_ring,
        most=settings.max_webhooks,
        private=settings.webhook_private_addresses == "on",
    )
    turns = Turns(settings.deploys_per_project)
    if hosts:
        handlers |= deploying(
            settings,
            running,
            sources,
            key_ring,
            refusal=refusal,
            turns=turns,
            outcomes=outcomes,
            script_outcomes=scripts,
            listeners=(messages, jobs),
        )
    worker = _worker(settings, database, clock, handlers)
    staging = Staging(
        database,
        catalogue,
        sources,
        clock,
        Limits(drafts=settings.max_drafts, requests=settings.max_requests),
        work_queued=worker.wake,
        catalogue_changed=follower.catch_up,
    )
    deployments = Deployments(
        database,
        clock,
        turns,
        most=settings.max_deployments,
        key_ring=key_ring,
        work_queued=worker.wake,
    )
    certifications = Certifications(database, clock, catalogue_changed=follower.catch_up)
    endpoints = [
        *catalogue_endpoints.endpoints(catalogue),
        *staging_endpoints.endpoints(staging),
        *certification_endpoints.endpoints(certifications),
        *deployment_endpoints.endpoints(deployments),
        *release_endpoints.endpoints(Releases(database, key_ring)),
        *log_endpoints(deployment_endpoints.finding(deployments), running.logs),
        *message_endpoints.endpoints(messages, deployments),
        *job_endpoints.endpoints(jobs, deployments),
        *webhook_endpoints.endpoints(webhooks),
        *identity_endpoints.endpoints(identity),
        *specification_endpoints.endpoints(),
        *operations_endpoints.endpoints(
            readiness,
            _metrics(
                measures,
                catalogue,
                database,
                worker,
                running=running,
                outcomes=outcomes,
                scripts=scripts,
                messages=messages,
                jobs=jobs,
                webhooks=webhooks,
            ),
        ),
        *more,
    ]
    endpoints += reference.endpoints(endpoints, version=__version__)
    stopping = asyncio.Event()
    return Node(
        settings=settings,
        database=database,
        identity=identity,
        catalogue=catalogue,
        follower=follower,
        staging=staging,
        worker=worker,
        running=running,
        shards=shards,
        following=following_of(running, sources, refusal, settings.start_seconds),
        messages=messages,
        jobs=jobs,
        webhooks=webhooks,
        readiness=readiness,
        endpoints=endpoints,
        application=_with_cors(
            Application(
                endpoints,
                identity,
                settings,
                measures,
                unavailable=(DatabaseUnavailable,),
                stopping=stopping,
            ),
            settings,
        ),
        stopping=stopping,
    )


async def serve(
    node: Node, *, host: str, port: int, listening: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve a node's endpoints until `stop` is set; then finish what was accepted."""
    settings = node.settings
    stopped = asyncio.Event()
    async with (
        node.follower.following(),
        node.catalogue.tidied(),
        node.running.running(settings.drain_seconds, built_here=node.following.built_here),
        node.following.following(),
        _sharing(node),
        node.messages.delivering(settings.drain_seconds),
        node.jobs.running(settings.drain_seconds),
        node.webhooks.sending(settings.drain_seconds),
        node.worker.working(settings.drain_seconds),
    ):
        background = (
            asyncio.create_task(node.identity.sweep_forever(), name="sweep"),
            asyncio.create_task(_drain(node, stop, stopped), name="drain"),
        )
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
            for task in background:
                task.cancel()
            for task in background:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@contextlib.asynccontextmanager
async def _sharing(node: Node) -> AsyncIterator[None]:
    """Look after this node's share of the applications while the block runs."""
    with node.shards.holding():
        yield


async def _drain(node: Node, stop: asyncio.Event, stopped: asyncio.Event) -> None:
    """On a stop, say no to load balancers first, and stop to accept after that."""
    await stop.wait()
    node.readiness.draining = True
    node.worker.retire()
    log.info("stopping: requests that were accepted are finished")
    await asyncio.sleep(node.settings.shutdown_delay)
    node.stopping.set()
    stopped.set()


def _checking(
    settings: Settings,
    running: Running,
    sources: Sources,
    follower: Follower,
    refusal: Callable[[str], str],
) -> dict[str, Handler]:
    """The work of preview and publish requests."""
    database, clock = running.database, running.clock
    made = checks(
        settings, clock, settings.data / "checks", builder=running.builds, refusal=refusal
    )

    def checking(kind: Kind) -> Checking:
        return Checking(kind, database, sources, made, clock, catalogue_changed=follower.hint)

    return {kind: checking(kind) for kind in KINDS}


def _running(
    settings: Settings, database: Database, clock: Clock, key_ring: Callable[[], KeyRing]
) -> Running:
    """What builds, runs, routes and logs the Deployments of a node."""
    logs = Logs(
        database,
        clock,
        LogBounds(
            kept_days=settings.logs_kept_days,
            all_bytes=settings.logs_bytes,
            deployment_bytes=settings.logs_deployment_bytes,
            lines_per_second=settings.logs_lines_per_second,
        ),
    )
    containment = FirstUse(lambda: _found_containment(settings))
    builds = FirstBuild(settings.data / FOLDER, lambda: _made_builder(settings, containment))
    runtime = Processes(
        containment,
        output=logs.output,
        crash_loops=crash_loops(database, clock),
        network=Network(settings.application_network),
        idle_seconds=settings.idle_seconds,
        start_seconds=settings.start_seconds,
    )
    gateway = Gateway(
        runtime,
        Addresses(
            settings.data / "gateway" / "ports.json",
            url=settings.gateway_url,
            ports=settings.gateway_ports.numbers,
        ),
        answered=logs.answered,
        trusted_proxies=settings.trusted_proxies,
    )
    hosting = Hosting(runtime, gateway)
    commerce = Commerce(api_url=settings.commerce_api_url, auth_url=settings.commerce_auth_url)
    return Running(
        database=database,
        clock=clock,
        containment=containment,
        builds=builds,
        runtime=runtime,
        gateway=gateway,
        hosting=hosting,
        programs=Programs(builds, hosting, commerce, key_ring, mask=logs.mask),
        logs=logs,
        releases_kept=settings.releases_kept,
        host=settings.gateway_host,
        port=settings.gateway_port if settings.gateway_url else 0,
    )


def _found_containment(settings: Settings) -> Containment:
    # A start of a server that runs nothing waits for none of this.
    from connectory.containment.probe import find_containment  # noqa: PLC0415

    return find_containment(settings.data)


def _made_builder(settings: Settings, containment: Containment) -> Maker:
    from connectory.building.service import Builds  # noqa: PLC0415

    return Builds.of(settings, containment, os.environ)


def _worker(
    settings: Settings, database: Database, clock: Clock, handlers: Mapping[str, Handler]
) -> Worker:
    return Worker(
        database,
        clock,
        handlers,
        limits=work.Limits(
            concurrency=settings.work_concurrency,
            per_project=settings.work_per_project,
            kept_days=settings.work_kept_days,
        ),
        is_alone=is_served_by_one,
    )


def _metrics(
    measures: Measures,
    catalogue: Catalogue,
    database: Database,
    worker: Worker,
    *,
    running: Running,
    outcomes: Outcomes,
    scripts: ScriptOutcomes,
    messages: Messages,
    jobs: Jobs,
    webhooks: Webhooks,
) -> Metrics:
    return Metrics(
        measures,
        (
            *_gauges(catalogue, database, worker),
            *measuring.gauges(running.runtime, running.logs),
            *message_measuring.gauges(messages),
            *job_measuring.gauges(jobs),
        ),
        (
            *_counters(catalogue),
            *measuring.counters(outcomes, scripts, running.logs),
            *message_measuring.counters(messages),
            *job_measuring.counters(jobs),
            *webhook_measuring.counters(webhooks),
        ),
    )


def _gauges(catalogue: Catalogue, database: Database, worker: Worker) -> Sequence[Reading]:
    return (
        Reading("connectory_connectors", "Published Connectors.", lambda: len(catalogue)),
        Reading(
            "connectory_cache_bytes", "Memory of cached Connectors.", lambda: catalogue.cache.bytes
        ),
        Reading(
            "connectory_database_connections",
            "Connections to the database that are open.",
            lambda: database.open_connections,
        ),
        Reading(
            "connectory_database_connections_busy",
            "Connections to the database that are in use.",
            lambda: database.busy_connections,
        ),
        Reading(
            "connectory_work",
            "Pieces of background work, on all nodes.",
            lambda: worker.backlog.queued,
            {"state": "queued"},
        ),
        Reading(
            "connectory_work",
            "Pieces of background work, on all nodes.",
            lambda: worker.backlog.running,
            {"state": "running"},
        ),
        Reading(
            "connectory_work_oldest_seconds",
            "How long the oldest piece of queued work has been due.",
            worker.oldest_seconds,
        ),
    )


def _counters(catalogue: Catalogue) -> Sequence[Reading]:
    return (
        Reading(
            "connectory_cache_hits", "Connectors that the cache had.", lambda: catalogue.cache.hits
        ),
        Reading(
            "connectory_cache_misses", "Connectors that it had not.", lambda: catalogue.cache.misses
        ),
    )


def _with_cors(application: server.Asgi, settings: Settings) -> server.Asgi:
    if not settings.cors_origins:
        return application
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415 - for the few that want it

    return with_correlation_id(
        CORSMiddleware(
            application,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "If-None-Match",
                "Last-Event-ID",
                "X-Correlation-ID",
            ),
            expose_headers=("ETag", "X-Correlation-ID", "WWW-Authenticate", "Retry-After"),
        )
    )
