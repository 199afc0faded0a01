"""`connectory client`: the API Clients of Projects."""

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.contract.scopes import format_scope
from connectory.identity import store
from connectory.identity.administration import Administration, Credentials
from connectory.identity.model import Client
from connectory.kernel.clock import HOUR, system_clock, to_rfc3339
from connectory.settings import Settings


@click.group()
def client() -> None:
    """Create, list, rotate and revoke API Clients."""


@client.command("create")
@click.option("--project", "project_key", required=True, metavar="KEY", help="Its Project.")
@click.option(
    "--scope",
    required=True,
    help='What it may do, such as "view_connectors manage_connectors"; `:KEY` may be left out.',
)
@as_json
@with_settings
def create(settings: Settings, project_key: str, scope: str, as_json: bool) -> None:
    """Create an API Client. Its secret is shown this once."""
    with opened(settings) as database, database.write() as connection:
        administration = Administration(connection, actor=actor(), now=system_clock())
        credentials = administration.create_client(project_key, scope)
    _show_credentials(credentials, as_json)


@client.command("rotate")
@click.argument("client_id")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 365),
    default=24,
    show_default=True,
    help="How long the secret that it has still holds.",
)
@as_json
@with_settings
def rotate(settings: Settings, client_id: str, overlap_hours: int, as_json: bool) -> None:
    """Give a client a second secret, while the first still holds for a time."""
    with opened(settings) as database, database.write() as connection:
        administration = Administration(connection, actor=actor(), now=system_clock())
        credentials = administration.rotate_client(client_id, overlap=overlap_hours * HOUR)
    _show_credentials(credentials, as_json)


@client.command("revoke")
@click.argument("client_id")
@with_settings
def revoke(settings: Settings, client_id: str) -> None:
    """End a client and all its tokens, on every node within a second."""
    with opened(settings) as database, database.write() as connection:
        Administration(connection, actor=actor(), now=system_clock()).revoke_client(client_id)
    click.echo(f"revoked the client {client_id} and all its tokens")


@client.command("list")
@click.option("--project", "project_key", metavar="KEY", help="Only those of one Project.")
@as_json
@with_settings
def list_(settings: Settings, project_key: str | None, as_json: bool) -> None:
    """List API Clients."""
    with opened(settings) as database, database.read() as connection:
        clients = store.list_clients(connection, project_key)
    if as_json:
        show([_shown(each) for each in clients])
    elif clients:
        rows = [
            (
                each.id,
                each.project_key,
                "revoked" if each.revoked_at is not None else "active",
                format_scope(each.permissions, each.project_key),
            )
            for each in clients
        ]
        table([("CLIENT", "PROJECT", "STATE", "SCOPE"), *rows])
    else:
        click.echo("there is no client; `connectory client create` makes one")


def _show_credentials(credentials: Credentials, as_json: bool) -> None:
    if as_json:
        show(credentials)
        return
    click.echo(f"client id      {credentials.client_id}")
    click.echo(f"client secret  {credentials.client_secret}   (shown this once)")
    click.echo(f"scope          {credentials.scope}")


def _shown(client: Client) -> dict[str, object]:
    shown: dict[str, object] = {
        "clientId": client.id,
        "projectKey": client.project_key,
        "scope": format_scope(client.permissions, client.project_key),
        "createdAt": to_rfc3339(client.created_at),
    }
    if client.revoked_at is not None:
        shown["revokedAt"] = to_rfc3339(client.revoked_at)
    return shown
