"""`connectory serve`: the server."""

import asyncio
import ipaddress
import json
import logging
import signal
import sys
from pathlib import Path

import click
import uvloop

from connectory import app
from connectory.catalogue import demo
from connectory.cli.demo import KEY, URL, publish_demo_connector, with_demo_connector
from connectory.cli.installation import opened, with_settings
from connectory.database import sealed, serving
from connectory.database.engine import Database
from connectory.http import server
from connectory.identity import store
from connectory.identity.administration import Administration
from connectory.identity.model import IdentityError
from connectory.kernel.clock import system_clock
from connectory.operations import logging as log_lines
from connectory.settings import Settings

log = logging.getLogger("connectory.serve")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=7070, show_default=True, type=click.IntRange(1, 65535), help="Port of it."
)
@click.option(
    "--demo", "with_demo", is_flag=True, help="With a demo Project, client and catalogue."
)
@with_settings
def serve(settings: Settings, host: str, port: int, with_demo: bool) -> None:
    """Run the server until it is told to stop (SIGTERM, or Ctrl-C)."""
    if with_demo and not _is_loopback(host):
        raise click.UsageError("--demo has a secret that everyone knows: it takes loopback only")
    log_lines.configure()
    server.check_address(host, port)
    with opened(settings) as database, serving.being_served(database, settings.data):
        sealed.begin(database, settings, system_clock())
        if with_demo:
            settings = with_demo_connector(settings)
            _make_demo(database)
        elif not _is_loopback(host):
            _refuse_demo_client(database)
        uvloop.run(_serve(settings, database, host, port, with_demo=with_demo))


async def _serve(
    settings: Settings, database: Database, host: str, port: int, *, with_demo: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    trusted = frozenset({URL}) if with_demo else frozenset()
    node = app.compose(settings, database, system_clock, trusted=trusted)
    address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def listening() -> None:
        log.info("serving %s", address, extra={"address": address})
        if with_demo:
            _greet(address, len(node.catalogue))

    await app.serve(node, host=host, port=port, listening=listening, stop=stop)
    log.info("stopped")


def _make_demo(database: Database) -> None:
    now = system_clock()
    with database.write() as connection:
        if store.find_project(connection, demo.PROJECT_KEY) is None:
            administration = Administration(connection, actor="command:demo", now=now)
            administration.create_project(demo.PROJECT_KEY, demo.REGION, production=False)
            administration.create_client(
                demo.PROJECT_KEY,
                "manage_project manage_api_clients",
                new_id=lambda: demo.CLIENT_ID,
                new_secret=lambda: demo.CLIENT_SECRET,
            )
    demo.import_demo_catalogue(database, actor="command:demo", now=now)
    publish_demo_connector(database, actor="command:demo", now=now)


def _refuse_demo_client(database: Database) -> None:
    """Keep the demo's client from being served to others: everyone knows its secret.

    Raises:
        IdentityError: it is there.
    """
    with database.read() as connection:
        client = store.find_client(connection, demo.CLIENT_ID)
    if client is not None and client.revoked_at is None:
        raise IdentityError(
            "this installation has the demo's client, whose secret everyone knows; end it with"
            f" `connectory client revoke {demo.CLIENT_ID}`, or serve on loopback"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _command() -> str:
    """How this program is called from the folder that it was started in."""
    own, here = Path(sys.executable).with_name("connectory"), Path.cwd()
    return str(own.relative_to(here) if own.is_relative_to(here) else own)


def _greet(address: str, connectors: int) -> None:
    token, url = (f'sed \'s/.*"{name}":"\\([^"]*\\).*/\\1/\'' for name in ("access_token", "url"))
    deployments = f"{address}/{demo.PROJECT_KEY}/deployments"
    draft = json.dumps(
        {"key": KEY, "connector": {"key": KEY}, "configurations": [], "region": demo.REGION},
        separators=(",", ":"),
    )
    command = _command()
    sys.stdout.write(f"""
  Connectory serves {connectors} Connectors of a demo catalogue.

    API        {address}
    reference  {address}/docs
    client     {demo.CLIENT_ID}
    secret     {demo.CLIENT_SECRET}

  Try, in another terminal:

    TOKEN=$(curl -s -u {demo.CLIENT_ID}:{demo.CLIENT_SECRET} \\
      -d grant_type=client_credentials {address}/oauth/token | {token})
    curl -s -H "Authorization: Bearer $TOKEN" "{address}/connectors/search?text=payment&limit=3"
    curl -s -H "Authorization: Bearer $TOKEN" {address}/connectors/key=adyen-payment

  Deploy a connector, call it, and read its log:

    curl -s -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
      -d '{draft}' \\
      {deployments}
    curl -s "$(curl -s -H "Authorization: Bearer $TOKEN" {deployments}/key={KEY} \\
      | {url})?name=you"
    curl -s -H "Authorization: Bearer $TOKEN" {deployments}/key={KEY}/logs

  Send it a message, run its job, break it and bring the release before back:

    export CONNECTORY_API_URL={address} CONNECTORY_CLIENT_ID={demo.CLIENT_ID} \\
      CONNECTORY_CLIENT_SECRET={demo.CLIENT_SECRET}
    {command} send listener --sample order-created --wait
    {command} run-job tidy --wait
    {command} deployment redeploy {KEY} --set service.GREETING=ouch --wait
    {command} deployment rollback {KEY} --wait
    {command} logs {KEY}

  Ctrl-C stops it.
""")
    sys.stdout.flush()
