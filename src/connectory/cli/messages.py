"""`connectory send` and `connectory message`: messages to event applications, over HTTP."""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from connectory.cli.api import Api, with_api
from connectory.cli.applications import Json, Place, named, the_one
from connectory.cli.installation import as_json, show, table
from connectory.contract.messages import MessageState
from connectory.messages.samples import FORMATS, NAMES, sample
from connectory.specification.faults import visible

#: How often a message that is waited for is looked at.
_POLL_SECONDS = 0.2
_PAGE = 100


class MessageFault(Exception):
    """A message did not go where it was meant to; the message says why."""


@click.command()
@click.argument("target", metavar="TOPIC|APPLICATION")
@click.option("--sample", "name", type=click.Choice(NAMES), help="A message of the platform.")
@click.option("--file", "file", metavar="FILE", help="A message from a file; - is the input.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="Format of the sample.",
)
@click.option("--deployment", "key", metavar="KEY", help="Of which Deployment the application is.")
@click.option("--attribute", metavar="NAME=VALUE", multiple=True, help="Repeatable.")
@click.option("--wait", is_flag=True, help="Wait until it is acknowledged; exit 1 if it died.")
@click.option("--seconds", default=60.0, show_default=True, help="How long to wait at most.")
@as_json
@with_api
def send(
    *,
    api: Api,
    target: str,
    name: str | None,
    file: str | None,
    format_: str,
    key: str | None,
    attribute: Sequence[str],
    wait: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Send a message to an event application, by its name or by its topic.

    A topic is written in full: projects/{projectKey}/topics/{name}.
    """
    if (name is None) == (file is None):
        raise click.UsageError("one of --sample and --file is wanted")
    given = dict(_attributes(attribute))
    data = _read(file) if file is not None else _sample(api, str(name), format_)
    place = _place(api, target, key)
    message: Json = {"data": b64encode(data).decode()}
    message |= {"attributes": given} if given else {}
    topic = place.application["topic"]
    answer = api.post(f"/v1/{topic}:publish", {"messages": [message]})
    (id_,) = answer["messageIds"]
    if wait:
        _show(_settled(api, place, id_, seconds), as_json=as_json)
    elif as_json:
        show({"messageId": id_, "topic": topic})
    else:
        click.echo(f"message {id_} is on its way to {place.name}")


@click.group()
def message() -> None:
    """See the messages to a Deployment, and what became of them; KEY is its key or id."""


_key = click.argument("key")
_application = click.option("--application", metavar="NAME", help="Of one application only.")


@message.command("list")
@_key
@click.option(
    "--state",
    type=click.Choice([each.value for each in MessageState]),
    default=MessageState.DEAD.value,
    show_default=True,
    help="Where they are.",
)
@_application
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@as_json
@with_api
def list_(
    *, api: Api, key: str, state: str, application: str | None, limit: int, as_json: bool
) -> None:
    """List messages, the latest first."""
    found = list(_listed(api, key, state, application, limit))
    if as_json:
        show(found)
    elif found:
        heading = ("ID", "APPLICATION", "PUBLISHED", "ATTEMPTS", "LAST ANSWER")
        table([heading, *map(_row, found)])


@message.command("show")
@_key
@click.argument("id_", metavar="ID")
@as_json
@with_api
def show_(api: Api, key: str, id_: str, as_json: bool) -> None:
    """Show a message: what is in it, and each of its latest deliveries."""
    _show(api.get(api.path("deployments", named(key), "messages", id_)), as_json=as_json)


@message.command()
@_key
@click.argument("ids", metavar="[ID]…", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All dead letters.")
@_application
@as_json
@with_api
def replay(
    *, api: Api, key: str, ids: Sequence[str], all_: bool, application: str | None, as_json: bool
) -> None:
    """Have dead letters delivered again."""
    _act(api, key, "replay", ids, all_=all_, application=application, as_json=as_json)


@message.command()
@_key
@click.argument("ids", metavar="[ID]…", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All dead letters.")
@_application
@as_json
@with_api
def drop(
    *, api: Api, key: str, ids: Sequence[str], all_: bool, application: str | None, as_json: bool
) -> None:
    """Remove dead letters."""
    _act(api, key, "drop", ids, all_=all_, application=application, as_json=as_json)


@message.command("topic-key")
@_key
@click.argument("application")
@as_json
@with_api
def topic_key(api: Api, key: str, application: str, as_json: bool) -> None:
    """Make a key that lets whoever has it publish to an application, and nothing else."""
    path = api.path("deployments", named(key), "topics", application, "key")
    made = api.post(path, None)
    if as_json:
        show(made)
    else:
        click.echo(f"topic  {made['topic']}")
        click.echo(f"key    {made['key']}")
        click.echo("The key is not shown again. Send it as a bearer token.", err=True)


def _act(
    api: Api,
    key: str,
    action: str,
    ids: Sequence[str],
    *,
    all_: bool,
    application: str | None,
    as_json: bool,
) -> None:
    if bool(ids) == all_:
        raise click.UsageError("either ids or --all is wanted")
    body: Json = {"action": action}
    body |= {"ids": list(ids)} if ids else {}
    body |= {"applicationName": application} if application else {}
    done = api.post(api.path("deployments", named(key), "dead-letters"), body)
    if as_json:
        show(done)
    else:
        click.echo(f"{done['count']} dead letters {action}{'ped' if action == 'drop' else 'ed'}")


def _place(api: Api, target: str, key: str | None) -> Place:
    """The event application that is meant, by its name or topic."""

    def fits(application: Json) -> bool:
        topic = application.get("topic")
        return bool(topic) and target in (topic, application["applicationName"])

    return the_one(api, key, target, fits, "event application")


def _settled(api: Api, place: Place, id_: str, seconds: float) -> Json:
    """A message when it is waited for no more."""
    deadline = time.monotonic() + seconds
    path = api.path("deployments", place.deployment["id"], "messages", id_)
    while True:
        found: Json = api.get(path)
        if found["state"] == MessageState.DEAD:
            raise MessageFault(f"message {id_} is a dead letter: {_last(found)}")
        if found["state"] == MessageState.ACKNOWLEDGED:
            return found
        if time.monotonic() > deadline:
            raise MessageFault(f"message {id_} is still waiting: {_last(found)}")
        time.sleep(_POLL_SECONDS)


def _listed(api: Api, key: str, state: str, application: str | None, limit: int) -> Iterator[Json]:
    path = api.path("deployments", named(key), "messages")
    query: dict[str, str | int | None] = {"state": state, "applicationName": application}
    token: str | None = None
    while limit > 0:
        page = api.get(path, {**query, "limit": min(limit, _PAGE), "pageToken": token})
        yield from page["data"]
        limit -= len(page["data"])
        token = page["next"]
        if not token:
            return


def _sample(api: Api, name: str, format_: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(sample(name, format_, project_key=api.project_key, now=now)).encode()


def _read(file: str) -> bytes:
    try:
        with click.open_file(file, "rb") as opened:
            return bytes(opened.read())
    except OSError as error:
        raise MessageFault(f"the message cannot be read: {error}") from None


def _attributes(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--attribute {each}: NAME=VALUE is wanted")
        yield name, value


def _row(found: Json) -> tuple[str, ...]:
    return (
        found["id"],
        found["applicationName"],
        found["publishedAt"],
        str(found["attemptCount"]),
        _last(found),
    )


def _last(found: Json) -> str:
    if not found["attempts"]:
        return "not delivered yet"
    last = found["attempts"][-1]
    status = f"{last['status']} " if last["status"] else ""
    return visible((status + next(iter(last["answer"].splitlines()), ""))[:80])


def _show(found: Json, *, as_json: bool) -> None:
    if as_json:
        show(found)
        return
    click.echo(f"message {found['id']} to {found['applicationName']}: {found['state']}")
    click.echo(f"  published      {found['publishedAt']}")
    if found.get("nextAttemptAt"):
        click.echo(f"  next attempt   {found['nextAttemptAt']}")
    if found.get("settledAt"):
        click.echo(f"  {found['state']:<14} {found['settledAt']}")
    click.echo(f"  correlation id {visible(found['correlationId'])}")
    for attempt in found["attempts"]:
        answer = next(iter(attempt["answer"].splitlines()), "")
        status = attempt["status"] or "no answer"
        told = f"  attempt        {attempt['at']} {status} {attempt['milliseconds']} ms {answer}"
        click.echo(visible(told.rstrip()))
    for name, value in found["message"].get("attributes", {}).items():
        click.echo(f"  attribute      {visible(f'{name}={value}')}")
    data = b64decode(found["message"].get("data", "")).decode(errors="replace")
    for line in data.splitlines():
        click.echo(f"  {visible(line)}")
