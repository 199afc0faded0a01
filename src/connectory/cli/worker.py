"""`connectory worker`: background work without an API."""

import asyncio
import logging
import signal

import click
import uvloop

from connectory import app
from connectory.cli.installation import opened, with_settings
from connectory.database import sealed, serving
from connectory.database.engine import Database
from connectory.kernel.clock import system_clock
from connectory.kernel.drain import Drain
from connectory.operations import logging as log_lines
from connectory.settings import Settings

log = logging.getLogger("connectory.worker")


@click.command()
@with_settings
def worker(settings: Settings) -> None:
    """Do background work, without an API, until told to stop (SIGTERM, or Ctrl-C).

    For a PostgreSQL database. With the embedded one, the server is the one worker.
    """
    if not settings.database_url:
        raise click.UsageError(
            "the embedded database has one server, which does the work; workers of their own want"
            " PostgreSQL (--database-url)"
        )
    if settings.work_concurrency == 0:
        raise click.UsageError("CONNECTORY_WORK_CONCURRENCY is 0: this worker would do nothing")
    log_lines.configure()
    with opened(settings) as database, serving.being_served(database, settings.data):
        sealed.begin(database, settings, system_clock())
        uvloop.run(_work(settings, database))


async def _work(settings: Settings, database: Database) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    node = app.compose(settings, database, system_clock, hosts=False)
    try:
        async with node.worker.working(Drain(settings.drain_seconds).left):
            log.info("working as %s", node.worker.owner)
            await stop.wait()
            log.info("stopping: steps that run are finished")
    finally:
        node.running.containment.close()
    log.info("stopped")
