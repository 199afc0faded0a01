"""`connectory project`: the Projects that clients belong to."""

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.contract.scalars import Region
from connectory.identity import store
from connectory.identity.administration import Administration
from connectory.identity.model import Project
from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.settings import Settings


@click.group()
def project() -> None:
    """Create and list Projects."""


@project.command("create")
@click.argument("key")
@click.option(
    "--region",
    required=True,
    type=click.Choice([each.value for each in Region]),
    help="Where it is.",
)
@click.option("--production", is_flag=True, help="It is in production: may deploy to production.")
@as_json
@with_settings
def create(settings: Settings, key: str, region: str, production: bool, as_json: bool) -> None:
    """Create the Project KEY."""
    with opened(settings) as database, database.write() as connection:
        administration = Administration(connection, actor=actor(), now=system_clock())
        made = administration.create_project(key, region, production=production)
    if as_json:
        show(_shown(made))
    else:
        click.echo(f"created the Project {made.key} in {made.region}")


@project.command("list")
@as_json
@with_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List all Projects."""
    with opened(settings) as database, database.read() as connection:
        projects = store.list_projects(connection)
    if as_json:
        show([_shown(each) for each in projects])
    elif projects:
        rows = [
            (each.key, each.region, "yes" if each.production else "no", to_rfc3339(each.created_at))
            for each in projects
        ]
        table([("KEY", "REGION", "PRODUCTION", "CREATED"), *rows])
    else:
        click.echo("there is no Project yet; `connectory project create KEY --region R` makes one")


def _shown(project: Project) -> dict[str, object]:
    return {
        "key": project.key,
        "region": project.region,
        "production": project.production,
        "createdAt": to_rfc3339(project.created_at),
    }
