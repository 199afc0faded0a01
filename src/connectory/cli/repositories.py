"""`connectory git-credential`: what opens the private repositories of Projects."""

from typing import BinaryIO

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.database.secrets import load_key_ring
from connectory.identity import store as identity
from connectory.identity.model import IdentityError
from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.settings import Settings
from connectory.sources.credentials import Credential, Credentials, all_credentials

_LARGEST_SECRET = 2**16


@click.group("git-credential")
def git_credential() -> None:
    """Add, list and remove what opens the private git repositories of Projects."""


@git_credential.command("add")
@click.option("--project", "project_key", required=True, metavar="KEY", help="Its Project.")
@click.option(
    "--prefix",
    required=True,
    metavar="URL",
    help="What it opens: all addresses that start so, such as https://github.com/acme/.",
)
@click.option("--token-file", type=click.File("rb"), help="File of a token (- for standard input).")
@click.option("--ssh-key-file", type=click.File("rb"), help="File of a private SSH key.")
@click.option(
    "--username", default="", help="User of the token, where the host wants a certain one."
)
@as_json
@with_settings
def add(
    *,
    settings: Settings,
    project_key: str,
    prefix: str,
    token_file: BinaryIO | None,
    ssh_key_file: BinaryIO | None,
    username: str,
    as_json: bool,
) -> None:
    """Let a Project use private repositories.

    The secret is encrypted with the installation's key ring, and is never shown again. A second
    credential of the same Project, prefix and kind takes the place of the first.
    """
    file = token_file or ssh_key_file
    if file is None or (token_file and ssh_key_file):
        raise click.UsageError("give one of --token-file and --ssh-key-file")
    secret = file.read(_LARGEST_SECRET)
    with opened(settings) as database, database.write() as connection:
        project = identity.find_project(connection, project_key)
        if project is None:
            raise IdentityError(
                f"there is no Project '{project_key}'; `connectory project list` shows those"
                " there are"
            )
        credential = Credentials(connection, actor=actor(), now=system_clock()).add(
            load_key_ring(settings),
            secret,
            project=f"{project.region}:{project.key}",
            prefix=prefix,
            kind="token" if token_file is not None else "ssh",
            username=username,
        )
    if as_json:
        show(_shown(credential))
    else:
        click.echo(f"added {credential.id}: it opens {credential.prefix} for {credential.project}")


@git_credential.command("list")
@as_json
@with_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List credentials, without their secrets."""
    with opened(settings) as database, database.read() as connection:
        credentials = all_credentials(connection)
    if as_json:
        show([_shown(each) for each in credentials])
    elif credentials:
        rows = [(each.id, each.project, each.kind, each.prefix) for each in credentials]
        table([("CREDENTIAL", "PROJECT", "KIND", "PREFIX"), *rows])
    else:
        click.echo("there is no git credential; `connectory git-credential add` adds one")


@git_credential.command("remove")
@click.argument("credential_id")
@with_settings
def remove(settings: Settings, credential_id: str) -> None:
    """Remove a credential; what it opened stays published."""
    with opened(settings) as database, database.write() as connection:
        removed = Credentials(connection, actor=actor(), now=system_clock()).remove(credential_id)
    click.echo(f"removed the credential of {removed.project} for {removed.prefix}")


def _shown(credential: Credential) -> dict[str, object]:
    return {
        "id": credential.id,
        "project": credential.project,
        "prefix": credential.prefix,
        "kind": credential.kind,
        "username": credential.username,
        "createdAt": to_rfc3339(credential.created_at),
    }
