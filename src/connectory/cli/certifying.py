"""`connectory certification`: review what is to be certified."""

from typing import Any

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.database.documents import Damages
from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from connectory.specification.faults import visible
from connectory.staging import certification as reviews
from connectory.staging.certification import Review
from connectory.staging.model import Staged, shown


def _not_blank(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
    if value is not None and not value.strip():
        raise click.BadParameter("say something")
    return value


_key = click.argument("key")
_comment = click.option(
    "--comment", required=True, callback=_not_blank, help="What the creator is told."
)
_optional_comment = click.option("--comment", callback=_not_blank, help="What the creator is told.")


@click.group()
def certification() -> None:
    """Review Connectors that are to be certified, and so public.

    KEY is the key or the id of a ConnectorStaged.
    """


@certification.command("list")
@as_json
@with_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List what waits for a reviewer or is with one; what waits longest comes first."""
    with opened(settings) as database, database.read() as connection:
        cases = [reviews.case(each) for each in reviews.waiting(connection, Damages())]
    if as_json:
        show(cases)
    elif cases:
        heading = ("KEY OR ID", "PROJECT", "REPOSITORY", "TAG", "COMMIT", "REVIEWER", "SINCE")
        rows = [
            (
                each.connector_staged.key or each.connector_staged.id,
                each.project,
                visible(each.connector_staged.repository.url),
                visible(each.connector_staged.repository.tag),
                each.commit[:12],
                each.reviewer or "-",
                each.since,
            )
            for each in cases
        ]
        table([heading, *rows])
    else:
        click.echo("nothing waits for a reviewer")


@certification.command("take")
@_key
@as_json
@with_settings
def take(settings: Settings, key: str, as_json: bool) -> None:
    """Take the review of KEY, so that others and the creator see who has it."""
    with opened(settings) as database, database.write() as connection:
        done = reviews.take(connection, reviews.named(connection, key), _review())
    _show(done, as_json, "approve or reject it when you have seen it")


@certification.command("approve")
@_key
@_optional_comment
@as_json
@with_settings
def approve(settings: Settings, key: str, comment: str | None, as_json: bool) -> None:
    """Certify KEY, which was taken, and publish it for everybody."""
    with opened(settings) as database, database.write() as connection:
        done = reviews.approve(connection, reviews.named(connection, key), _review(), comment)
    _show(done, as_json, "certified and published for everybody")


@certification.command("reject")
@_key
@_comment
@as_json
@with_settings
def reject(settings: Settings, key: str, comment: str, as_json: bool) -> None:
    """Send KEY, which was taken, back to its creator."""
    with opened(settings) as database, database.write() as connection:
        done = reviews.reject(connection, reviews.named(connection, key), _review(), comment)
    _show(done, as_json, "the creator is told why, and can publish it again")


@certification.command("comment")
@_key
@_comment
@as_json
@with_settings
def comment(settings: Settings, key: str, comment: str, as_json: bool) -> None:
    """Tell the creator of KEY something while the review goes on."""
    with opened(settings) as database, database.write() as connection:
        done = reviews.remark(connection, reviews.named(connection, key), _review(), comment)
    _show(done, as_json, "the creator sees the comment")


def _review() -> Review:
    return Review(reviewer=actor(), now=system_clock())


def _show(subject: Staged, as_json: bool, meaning: str) -> None:
    if as_json:
        show(shown(subject))
    else:
        click.echo(f"{subject.key or subject.id} is {subject.status} now: {meaning}")
