"""What builds, runs, routes and logs the Deployments of a node."""

import os

from connectory.app.core import Ground
from connectory.building.first_use import FirstUse as FirstBuild
from connectory.building.model import FOLDER, Maker
from connectory.containment.first_use import FirstUse
from connectory.containment.model import Containment, Network
from connectory.deployments.environment import Commerce
from connectory.deployments.hosting import Hosting
from connectory.deployments.programs import Programs
from connectory.deployments.running import Running, crash_loops
from connectory.gateway.addresses import Addresses
from connectory.gateway.server import Gateway
from connectory.logs.service import Bounds as LogBounds
from connectory.logs.service import Logs
from connectory.runtime.processes import Processes
from connectory.settings import Settings


def running_of(ground: Ground) -> Running:
    """The parts, joined; nothing is looked for on the machine before it is used."""
    settings, database, clock = ground.settings, ground.database, ground.clock
    logs = _logs(ground)
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
    gateway = _gateway(settings, runtime, logs)
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
        programs=Programs(builds, hosting, commerce, ground.key_ring, mask=logs.mask),
        logs=logs,
        releases_kept=settings.releases_kept,
        host=settings.gateway_host,
        port=settings.gateway_port if settings.gateway_url else 0,
    )


def _logs(ground: Ground) -> Logs:
    settings = ground.settings
    bounds = LogBounds(
        kept_days=settings.logs_kept_days,
        all_bytes=settings.logs_bytes,
        deployment_bytes=settings.logs_deployment_bytes,
        lines_per_second=settings.logs_lines_per_second,
    )
    return Logs(ground.database, ground.clock, bounds)


def _gateway(settings: Settings, runtime: Processes, logs: Logs) -> Gateway:
    addresses = Addresses(
        settings.data / "gateway" / "ports.json",
        url=settings.gateway_url,
        ports=settings.gateway_ports.numbers,
    )
    return Gateway(
        runtime, addresses, answered=logs.answered, trusted_proxies=settings.trusted_proxies
    )


def _found_containment(settings: Settings) -> Containment:
    # A start of a server that runs nothing waits for none of this.
    from connectory.containment.probe import find_containment  # noqa: PLC0415

    return find_containment(settings.data)


def _made_builder(settings: Settings, containment: Containment) -> Maker:
    from connectory.building.service import Builds  # noqa: PLC0415

    return Builds.of(settings, containment, os.environ)
