"""What clients meet: the endpoints of all areas, and the application that answers."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from connectory import __version__
from connectory.app.calling import Calling
from connectory.app.core import Core, Ground
from connectory.app.measuring import metrics_of
from connectory.app.working import Working
from connectory.catalogue import endpoints as catalogue_endpoints
from connectory.database.engine import DatabaseUnavailable
from connectory.deployments import endpoints as deployment_endpoints
from connectory.deployments import release_endpoints
from connectory.deployments.releases import Releases
from connectory.deployments.retention import Kept
from connectory.deployments.running import Running
from connectory.deployments.service import Deployments
from connectory.http import reference, server
from connectory.http.application import Application, with_correlation_id
from connectory.http.requestlog import Measures
from connectory.http.table import Endpoint
from connectory.identity import endpoints as identity_endpoints
from connectory.logs.endpoints import log_endpoints
from connectory.messages import endpoints as message_endpoints
from connectory.operations import endpoints as operations_endpoints
from connectory.operations.readiness import Readiness
from connectory.schedule import endpoints as job_endpoints
from connectory.settings import Settings
from connectory.specification import endpoints as specification_endpoints
from connectory.staging import certification_endpoints
from connectory.staging import endpoints as staging_endpoints
from connectory.staging.certification import Certifications
from connectory.staging.service import Limits, Staging
from connectory.webhooks import endpoints as webhook_endpoints


class Interface(Struct, frozen=True, kw_only=True):
    """The parts."""

    readiness: Readiness
    endpoints: Sequence[Endpoint]
    application: server.Asgi
    #: Set when answers without an end are to end.
    stopping: asyncio.Event


def interface_of(
    ground: Ground,
    core: Core,
    running: Running,
    calling: Calling,
    working: Working,
    *,
    more: Sequence[Endpoint],
) -> Interface:
    """The parts, joined; `more` are endpoints beside our own."""
    measures, readiness = Measures(), Readiness(ground.database)
    staging = _staging(ground, core, working)
    endpoints = [
        *catalogue_endpoints.endpoints(core.catalogue),
        *_staging_endpoints(ground, core, staging),
        *_deployment_endpoints(ground, running, calling, working),
        *webhook_endpoints.endpoints(calling.webhooks),
        *identity_endpoints.endpoints(core.identity),
        *specification_endpoints.endpoints(),
        *operations_endpoints.endpoints(
            readiness,
            metrics_of(
                measures,
                ground.database,
                core=core,
                running=running,
                calling=calling,
                working=working,
            ),
        ),
        *more,
    ]
    endpoints += reference.endpoints(endpoints, version=__version__)
    stopping = asyncio.Event()
    application = Application(
        endpoints,
        core.identity,
        ground.settings,
        measures,
        unavailable=(DatabaseUnavailable,),
        stopping=stopping,
    )
    return Interface(
        readiness=readiness,
        endpoints=endpoints,
        application=_with_cors(application, ground.settings),
        stopping=stopping,
    )


def _staging(ground: Ground, core: Core, working: Working) -> Staging:
    settings = ground.settings
    return Staging(
        ground.database,
        core.catalogue,
        ground.sources,
        ground.clock,
        Limits(drafts=settings.max_drafts, requests=settings.max_requests),
        work_queued=working.worker.wake,
        catalogue_changed=core.follower.catch_up,
    )


def _staging_endpoints(ground: Ground, core: Core, staging: Staging) -> Sequence[Endpoint]:
    certifications = Certifications(
        ground.database, ground.clock, catalogue_changed=core.follower.catch_up
    )
    return (
        *staging_endpoints.endpoints(staging),
        *certification_endpoints.endpoints(certifications),
    )


def _deployment_endpoints(
    ground: Ground, running: Running, calling: Calling, working: Working
) -> Sequence[Endpoint]:
    deployments = Deployments(
        ground.database,
        ground.clock,
        working.turns,
        most=ground.settings.max_deployments,
        kept=Kept(latest=ground.settings.release_history, built=ground.settings.releases_kept),
        key_ring=ground.key_ring,
        work_queued=working.worker.wake,
    )
    return (
        *deployment_endpoints.endpoints(deployments),
        *release_endpoints.endpoints(Releases(ground.database, ground.key_ring)),
        *log_endpoints(deployment_endpoints.finding(deployments), running.logs),
        *message_endpoints.endpoints(calling.messages, deployments),
        *job_endpoints.endpoints(calling.jobs, deployments),
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
