"""`connectory operator`: who reviews Connectors by HTTP."""

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.identity import store
from connectory.identity.administration import Administration
from connectory.identity.model import Operator
from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.settings import Settings


@click.group()
def operator() -> None:
    """Create, list and revoke operators, who use the API under /operator/."""


@operator.command("create")
@click.argument("name")
@as_json
@with_settings
def create(settings: Settings, name: str, as_json: bool) -> None:
    """Create the operator NAME. The token is shown this once.

    A NAME that was revoked can be given a new token.
    """
    with opened(settings) as database, database.write() as connection:
        administration = Administration(connection, actor=actor(), now=system_clock())
        made = administration.create_operator(name)
    if as_json:
        show(made)
    else:
        click.echo(f"operator  {made.name}")
        click.echo(f"token     {made.token}   (shown this once)")


@operator.command("list")
@as_json
@with_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List operators, without their tokens."""
    with opened(settings) as database, database.read() as connection:
        operators = store.list_operators(connection)
    if as_json:
        show([_shown(each) for each in operators])
    elif operators:
        rows = [
            (
                each.name,
                "revoked" if each.revoked_at is not None else "active",
                to_rfc3339(each.created_at),
            )
            for each in operators
        ]
        table([("OPERATOR", "STATE", "CREATED"), *rows])
    else:
        click.echo("there is no operator; `connectory operator create NAME` makes one")


@operator.command("revoke")
@click.argument("name")
@with_settings
def revoke(settings: Settings, name: str) -> None:
    """End the token of the operator NAME, on every node at once."""
    with opened(settings) as database, database.write() as connection:
        Administration(connection, actor=actor(), now=system_clock()).revoke_operator(name)
    click.echo(f"revoked the token of the operator {name}")


def _shown(operator: Operator) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": operator.name,
        "createdAt": to_rfc3339(operator.created_at),
    }
    if operator.revoked_at is not None:
        shown["revokedAt"] = to_rfc3339(operator.revoked_at)
    return shown
