"""What /metrics tells: the readings of all areas."""

from collections.abc import Sequence

from connectory.app.calling import Calling
from connectory.app.core import Core, Ground
from connectory.app.working import Working
from connectory.catalogue.service import Catalogue
from connectory.database.documents import Damages
from connectory.database.engine import Database
from connectory.deployments import measuring
from connectory.deployments.running import Running
from connectory.http.requestlog import Measures
from connectory.messages import measuring as message_measuring
from connectory.operations.metrics import Metrics, Reading
from connectory.schedule import measuring as job_measuring
from connectory.webhooks import measuring as webhook_measuring
from connectory.work.service import Worker


def metrics_of(
    measures: Measures,
    ground: Ground,
    *,
    core: Core,
    running: Running,
    calling: Calling,
    working: Working,
) -> Metrics:
    """The metrics of a node; `measures` are those of its requests."""
    return Metrics(
        measures,
        (
            *_gauges(core.catalogue, ground.database, working.worker),
            *measuring.gauges(running.runtime, running.logs),
            *message_measuring.gauges(calling.messages),
            *job_measuring.gauges(calling.jobs),
        ),
        (
            *_counters(core.catalogue, ground.damages),
            *measuring.counters(working.outcomes, working.scripts, running.logs),
            *message_measuring.counters(calling.messages),
            *job_measuring.counters(calling.jobs),
            *webhook_measuring.counters(calling.webhooks),
        ),
    )


def _gauges(catalogue: Catalogue, database: Database, worker: Worker) -> Sequence[Reading]:
    return (
        Reading("connectory_connectors", "Published Connectors.", lambda: len(catalogue)),
        Reading(
            "connectory_connectors_scanned",
            "Connectors whose texts each search looks through, until they are indexed.",
            lambda: catalogue.scanned,
        ),
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


def _counters(catalogue: Catalogue, damages: Damages) -> Sequence[Reading]:
    return (
        Reading(
            "connectory_damaged_reads",
            "How often a record was met that cannot be read.",
            lambda: damages.met,
        ),
        Reading(
            "connectory_cache_hits", "Connectors that the cache had.", lambda: catalogue.cache.hits
        ),
        Reading(
            "connectory_cache_misses", "Connectors that it had not.", lambda: catalogue.cache.misses
        ),
    )
