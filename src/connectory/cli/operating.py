"""`connectory audit` and `settings`."""

import dataclasses
from typing import Any

import click

from connectory.cli.installation import as_json, opened, show, table, with_settings
from connectory.database import audit as audit_log
from connectory.kernel.clock import to_rfc3339
from connectory.settings import Settings, variable


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@as_json
@with_settings
def audit(settings: Settings, limit: int, as_json: bool) -> None:
    """Show who did what, when and on what, newest first."""
    with opened(settings) as database, database.read() as connection:
        acts = list(audit_log.acts(connection, limit=limit))
    if as_json:
        show([_shown(act) for act in acts])
    elif acts:
        rows = [
            (
                to_rfc3339(act.at),
                act.actor,
                act.action,
                act.subject,
                ", ".join(f"{name}={value}" for name, value in act.details.items()),
            )
            for act in acts
        ]
        table([("WHEN", "WHO", "WHAT", "ON", "DETAILS"), *rows])
    else:
        click.echo("nothing was done yet")


@click.command()
@as_json
@with_settings
def settings(settings: Settings, as_json: bool) -> None:
    """Show every setting: its variable, its value here, its default and its meaning."""
    fields = [
        {
            "variable": variable(field.name),
            "value": _spelled(getattr(settings, field.name), field.name),
            "default": _spelled(field.default, field.name),
            "meaning": field.metadata["meaning"],
        }
        for field in dataclasses.fields(settings)
    ]
    if as_json:
        show(fields)
        return
    for field in fields:
        shown = field["value"] or "(empty)"
        default = "" if field["value"] == field["default"] else f"  default: {field['default']}"
        click.echo(f"{field['variable']} = {shown}{default}\n    {field['meaning']}")


def _shown(act: audit_log.Act) -> dict[str, Any]:
    return {
        "at": to_rfc3339(act.at),
        "actor": act.actor,
        "action": act.action,
        "subject": act.subject,
        "details": act.details,
    }


def _spelled(value: Any, name: str) -> str:
    """A value as its variable would have it; a password in the database URL is not shown."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if name == "database_url" and "@" in str(value):
        scheme, _, rest = str(value).partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return f"{value:g}" if isinstance(value, float) else str(value)
