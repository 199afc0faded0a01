"""The composition root: the only place where the objects of a node are made and joined."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

from connectory import __version__
from connectory.catalogue import endpoints as catalogue_endpoints
from connectory.catalogue.service import Catalogue
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.feed import Follower, Freshness
from connectory.database.secrets import load_key_ring
from connectory.database.serving import is_served_by_one
from connectory.deployments import endpoints as deployment_endpoints
from connectory.deployments.service import Deployments
from connectory.deployments.service import Limits as DeploymentLimits
from connectory.http import reference, server
from connectory.http.application import Application, with_correlation_id
from connectory.http.requestlog import Measures
from connectory.http.table import Endpoint
from connectory.identity import endpoints as identity_endpoints
from connectory.identity.service import Identity
from connectory.kernel.clock import Clock
from connectory.operations import endpoints as operations_endpoints
from connectory.operations.metrics import Metrics, Reading
from connectory.operations.readiness import Readiness
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
from connectory.work import service as work
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
    readiness: Readiness
    endpoints: Sequence[Endpoint]
    application: server.Asgi
    #: Set when answers without an end are to end.
    stopping: asyncio.Event


def compose(
    settings: Settings, database: Database, clock: Clock, more: Sequence[Endpoint] = ()
) -> Node:
    """Make a node; `more` are endpoints that a test or a benchmark adds to the table."""
    freshness = Freshness()
    identity = Identity(database, freshness, clock, settings.token_seconds)
    catalogue = Catalogue(database, settings.cache_bytes)
    measures = Measures()
    readiness = Readiness(database)
    follower = Follower(database, (identity, catalogue), freshness)
    sources = Sources(settings, database, clock)
    worker = _worker(settings, database, clock, sources, follower)
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
        DeploymentLimits(deployments=settings.max_deployments, deploying=settings.work_per_project),
        key_ring=functools.cache(lambda: load_key_ring(settings)),
        work_queued=worker.wake,
    )
    certifications = Certifications(database, clock, catalogue_changed=follower.catch_up)
    endpoints = [
        *catalogue_endpoints.endpoints(catalogue),
        *staging_endpoints.endpoints(staging),
        *certification_endpoints.endpoints(certifications),
        *deployment_endpoints.endpoints(deployments),
        *identity_endpoints.endpoints(identity),
        *specification_endpoints.endpoints(),
        *operations_endpoints.endpoints(readiness, _metrics(measures, catalogue, database, worker)),
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
    async with node.follower.following(), node.worker.working(settings.drain_seconds):
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


async def _drain(node: Node, stop: asyncio.Event, stopped: asyncio.Event) -> None:
    """On a stop, say no to load balancers first, and stop to accept after that."""
    await stop.wait()
    node.readiness.draining = True
    node.worker.retire()
    log.info("stopping: requests that were accepted are finished")
    await asyncio.sleep(node.settings.shutdown_delay)
    node.stopping.set()
    stopped.set()


def _worker(
    settings: Settings, database: Database, clock: Clock, sources: Sources, follower: Follower
) -> Worker:
    made = checks(settings, clock, settings.data / "checks")

    def checking(kind: Kind) -> Checking:
        return Checking(kind, database, sources, made, clock, catalogue_changed=follower.hint)

    return Worker(
        database,
        clock,
        {kind: checking(kind) for kind in KINDS},
        limits=work.Limits(
            concurrency=settings.work_concurrency,
            per_project=settings.work_per_project,
            kept_days=settings.work_kept_days,
        ),
        is_alone=is_served_by_one,
    )


def _metrics(
    measures: Measures, catalogue: Catalogue, database: Database, worker: Worker
) -> Metrics:
    gauges = (
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
    counters = (
        Reading(
            "connectory_cache_hits", "Connectors that the cache had.", lambda: catalogue.cache.hits
        ),
        Reading(
            "connectory_cache_misses", "Connectors that it had not.", lambda: catalogue.cache.misses
        ),
    )
    return Metrics(measures, gauges, counters)


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
