"""`connectory webhook`: a Project is told what happens, over HTTP, on any server of ours."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from connectory.cli.api import Api, with_api
from connectory.cli.installation import as_json, show, table
from connectory.contract.webhooks import WebhookEvent
from connectory.specification.faults import visible

_PAGE = 100

Json = dict[str, Any]


@click.group()
def webhook() -> None:
    """Have a Project told what happens, by signed requests."""


_id = click.argument("id_", metavar="ID")


@webhook.command()
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([each.value for each in WebhookEvent]),
    help="Repeatable; without it, everything is told.",
)
@as_json
@with_api
def create(api: Api, url: str, events: Sequence[str], *, as_json: bool) -> None:
    """Make a webhook; its secret is shown once."""
    draft: Json = {"url": url} | ({"events": list(events)} if events else {})
    made = api.post(api.path("webhooks"), draft)
    if as_json:
        show(made)
        return
    click.echo(f"webhook  {made['id']}")
    click.echo(f"secret   {made['secret']}")
    click.echo("The secret is not shown again. Check the signature of what you get.", err=True)


@webhook.command("list")
@as_json
@with_api
def list_(api: Api, *, as_json: bool) -> None:
    """List webhooks, the oldest first."""
    found = api.get(api.path("webhooks"))["results"]
    if as_json:
        show(found)
    elif found:
        rows = [(each["id"], visible(each["url"]), " ".join(each["events"])) for each in found]
        table([("ID", "URL", "EVENTS"), *rows])


@webhook.command()
@_id
@as_json
@with_api
def delete(api: Api, id_: str, *, as_json: bool) -> None:
    """Delete a webhook; what it has not told yet is not told."""
    deleted = api.delete(api.path("webhooks", id_))
    if as_json:
        show(deleted)
    else:
        click.echo(f"webhook {deleted['id']} is deleted")


@webhook.command()
@_id
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@as_json
@with_api
def deliveries(api: Api, id_: str, limit: int, *, as_json: bool) -> None:
    """List what a webhook has told and is to tell, the latest first."""
    found = list(_deliveries(api, id_, limit))
    if as_json:
        show(found)
    elif found:
        heading = ("ID", "EVENT", "AT", "STATE", "ATTEMPTS", "LAST ANSWER")
        table([heading, *map(_row, found)])


@webhook.command()
@_id
@click.argument("delivery")
@as_json
@with_api
def retry(api: Api, id_: str, delivery: str, *, as_json: bool) -> None:
    """Have a delivery sent now, whatever became of it."""
    found = api.post(api.path("webhooks", id_, "deliveries", delivery, "retry"), None)
    if as_json:
        show(found)
    else:
        click.echo(f"delivery {found['id']} is on its way")


def _deliveries(api: Api, id_: str, limit: int) -> Iterator[Json]:
    path = api.path("webhooks", id_, "deliveries")
    token: str | None = None
    while limit > 0:
        page = api.get(path, {"limit": min(limit, _PAGE), "pageToken": token})
        yield from page["data"]
        limit -= len(page["data"])
        token = page["next"]
        if not token:
            return


def _row(found: Json) -> tuple[str, ...]:
    attempts = found["attempts"]
    last = "not sent yet"
    if attempts:
        status = f"{attempts[-1]['status']} " if attempts[-1]["status"] else ""
        answer = next(iter(attempts[-1]["answer"].splitlines()), "")
        last = visible((status + answer)[:80])
    count = str(len(attempts))
    return (found["id"], found["type"], found["createdAt"], found["state"], count, last)
