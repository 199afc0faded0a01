"""`connectory work`: what there is of background work."""

from typing import Any

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.database import audit
from connectory.database.audit import Act
from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.settings import Settings
from connectory.work import store
from connectory.work.model import OPEN, Work, WorkError, WorkState


@click.group()
def work() -> None:
    """List and cancel background work."""


@work.command("list")
@click.option(
    "--state",
    type=click.Choice([*map(str, WorkState), "open", "all"]),
    default="open",
    show_default=True,
    help="Which; open is queued and running.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@as_json
@with_settings
def list_(settings: Settings, state: str, limit: int, as_json: bool) -> None:
    """List background work, newest first."""
    states = {"open": OPEN, "all": tuple(WorkState)}.get(state) or (WorkState(state),)
    with opened(settings) as database, database.read() as connection:
        pieces = list(store.newest(connection, states=states, limit=limit))
    if as_json:
        show([_shown(piece) for piece in pieces])
    elif pieces:
        heading = ("ID", "KIND", "PROJECT", "SUBJECT", "STATE", "AFTER STEP", "SINCE", "LAST ERROR")
        table([heading, *map(_row, pieces)])
    else:
        click.echo("there is no such work")


@work.command("cancel")
@click.argument("id_", metavar="ID")
@with_settings
def cancel(settings: Settings, id_: str) -> None:
    """Cancel the background work ID: it goes no further than the steps that have ended."""
    now = system_clock()
    with opened(settings) as database, database.write() as connection:
        piece = store.find(connection, id_)
        if piece is None:
            raise WorkError(f"there is no work '{id_}'; `connectory work list` shows what there is")
        if not store.request_cancel(connection, id_, now=now):
            raise WorkError(f"work '{id_}' has ended already: it is {piece.state}")
        act = Act(
            at=now,
            actor=actor(),
            action="work:cancel",
            subject=id_,
            details={"kind": piece.kind, "project": piece.project, "subject": piece.subject},
        )
        audit.record(connection, act)
    click.echo(f"work {id_} goes no further; the next worker that sees it marks it cancelled")


def _row(piece: Work) -> tuple[str, ...]:
    return (
        piece.id,
        piece.kind,
        piece.project,
        piece.subject,
        "to be cancelled" if piece.cancel_requested and piece.state in OPEN else piece.state,
        piece.step or "-",
        to_rfc3339(piece.created_at),
        " ".join((piece.last_error or "-").split())[:80],
    )


def _shown(piece: Work) -> dict[str, Any]:
    instants = {
        "createdAt": piece.created_at,
        "startedAt": piece.started_at,
        "finishedAt": piece.finished_at,
    }
    shown = {
        "id": piece.id,
        "kind": piece.kind,
        "project": piece.project,
        "subject": piece.subject,
        "state": piece.state,
        "step": piece.step,
        "attempt": piece.attempt,
        "failures": piece.failures,
        "owner": piece.lease_owner,
        "cancelRequested": piece.cancel_requested,
        "lastError": piece.last_error,
    }
    shown |= {name: to_rfc3339(at) for name, at in instants.items() if at is not None}
    return {name: value for name, value in shown.items() if value is not None}
