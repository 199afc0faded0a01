"""`connectory deployment`: deploy Connectors, over HTTP, on any server of the contract."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from connectory.cli.api import Api, ApiFault, with_api
from connectory.cli.applications import named
from connectory.cli.installation import as_json, show, table
from connectory.cli.logs import logs
from connectory.cli.releases import release_before, releases
from connectory.contract.deployments import DeploymentType
from connectory.contract.scalars import Region, is_id
from connectory.specification.faults import visible

#: How often a Deployment that is waited for is looked at.
_POLL_SECONDS = 0.5
_UNDER_WAY = ("Queued", "Deploying", "Undeploying")
_MISSING = 404
#: How titles of entries about scripts that failed begin, on the hosted platform too.
_SCRIPT_FAILED = "Failed during the execution of"

Json = dict[str, Any]


class DeploymentFault(Exception):
    """A Deployment did not become what was waited for; the message says where it is."""


_key = click.argument("key")
_wait = click.option("--wait", is_flag=True, help="Wait until it is done; exit 1 if it failed.")
_strict = click.option(
    "--strict", is_flag=True, help="With --wait: exit 1 also where a script failed."
)
_seconds = click.option(
    "--seconds", default=1_800.0, show_default=True, help="How long to wait at most."
)
_values = click.option(
    "--set",
    "standard",
    metavar="[APP.]KEY=VALUE",
    multiple=True,
    help="A value; without APP, one of all applications. Repeatable.",
)
_secrets = click.option(
    "--secret",
    metavar="[APP.]KEY=FILE",
    multiple=True,
    help="A secret, read from a file (- is the standard input), so that no list of processes"
    " shows it. Repeatable.",
)


@click.group()
def deployment() -> None:
    """Deploy Connectors; KEY is the key or the id of a Deployment.

    The server and the API Client come from CONNECTORY_API_URL, CONNECTORY_CLIENT_ID and
    CONNECTORY_CLIENT_SECRET.
    """


deployment.add_command(logs)
deployment.add_command(releases)


@deployment.command()
@click.argument("connector")
@click.option("--key", "key", help="Key of the Deployment.")
@click.option(
    "--region",
    required=True,
    type=click.Choice([each.value for each in Region]),
    help="Where to deploy.",
)
@click.option(
    "--type",
    "type_",
    type=click.Choice([each.value for each in DeploymentType]),
    help="Type of it.",
)
@click.option("--staged", is_flag=True, help="CONNECTOR is a previewable ConnectorStaged.")
@click.option("--version", type=int, help="Version of the Connector; else the latest.")
@click.option("--schedule", metavar="APP=CRON", multiple=True, help="Schedule of a job.")
@_values
@_secrets
@_wait
@_strict
@_seconds
@as_json
@with_api
def create(
    *,
    api: Api,
    connector: str,
    key: str | None,
    region: str,
    type_: str | None,
    staged: bool,
    version: int | None,
    schedule: Sequence[str],
    standard: Sequence[str],
    secret: Sequence[str],
    wait: bool,
    strict: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Deploy CONNECTOR, given by its key or id."""
    reference: Json = {"id" if is_id(connector) else "key": connector, "staged": staged}
    if version is not None:
        reference["version"] = version
    applications, shared = _configuration(standard, secret, schedule)
    draft: Json = {"connector": reference, "region": region, "configurations": applications}
    draft |= {"globalConfiguration": shared} if shared else {}
    draft |= {"key": key} if key else {}
    draft |= {"type": type_} if type_ else {}
    made = api.post(api.path("deployments"), draft)
    _finish(api, made, wait=wait, strict=strict, seconds=seconds, as_json=as_json)


@deployment.command("list")
@click.option(
    "--type",
    "type_",
    type=click.Choice([each.value for each in DeploymentType]),
    help="Only of this type.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0, 500))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0, 10_000))
@as_json
@with_api
def list_(api: Api, type_: str | None, limit: int, offset: int, as_json: bool) -> None:
    """List the Deployments of the Project, the newest first."""
    query = {"deploymentType": type_, "limit": limit, "offset": offset}
    page = api.get(api.path("deployments"), query)
    if as_json:
        show(page["results"])
    elif page["results"]:
        heading = ("KEY OR ID", "TYPE", "CONNECTOR", "VERSION", "REGION", "STATUS")
        table([heading, *map(_row, page["results"])])
        left = page["total"] - page["offset"] - page["count"]
        if left > 0:
            click.echo(f"and {left} more (--offset {page['offset'] + page['count']})", err=True)


@deployment.command("show")
@_key
@as_json
@with_api
def show_(api: Api, key: str, as_json: bool) -> None:
    """Show a Deployment: its status, its applications, and what happened in its latest deploy."""
    found = api.get(api.path("deployments", named(key)))
    if as_json:
        show(found)
        return
    _describe(found)


@deployment.command()
@_key
@click.option("--update-connector", is_flag=True, help="Take the Connector's latest version.")
@click.option("--skip-scripts", is_flag=True, help="Leave scripts out.")
@click.option("--schedule", metavar="APP=CRON", multiple=True, help="Schedule of a job.")
@_values
@_secrets
@_wait
@_strict
@_seconds
@as_json
@with_api
def redeploy(
    *,
    api: Api,
    key: str,
    update_connector: bool,
    skip_scripts: bool,
    schedule: Sequence[str],
    standard: Sequence[str],
    secret: Sequence[str],
    wait: bool,
    strict: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Deploy again; values that are not given stay as they are."""
    path = api.path("deployments", named(key))
    applications, shared = _configuration(standard, secret, schedule)
    action: Json = {
        "action": "redeploy",
        "updateConnector": update_connector,
        "skipScripts": skip_scripts,
    }
    action |= {"configurationValues": applications} if applications else {}
    action |= {"globalConfiguration": shared} if shared else {}
    version = api.get(path)["version"]
    made = api.post(path, {"version": version, "actions": [action]})
    _finish(api, made, wait=wait, strict=strict, seconds=seconds, as_json=as_json)


@deployment.command()
@_key
@click.option(
    "--release",
    type=click.IntRange(1),
    help="Which one; else the latest that was deployed before the one that takes the calls.",
)
@click.option("--skip-scripts", is_flag=True, help="Leave scripts out.")
@_wait
@_strict
@_seconds
@as_json
@with_api
def rollback(
    *,
    api: Api,
    key: str,
    release: int | None,
    skip_scripts: bool,
    wait: bool,
    strict: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Bring an earlier release back, with all that it had, without building. Of Connectory only."""
    path = api.path("deployments", named(key))
    version = api.get(path)["version"]
    number = release_before(api, key) if release is None else release
    action: Json = {"action": "rollback", "release": number, "skipScripts": skip_scripts}
    made = api.post(path, {"version": version, "actions": [action]})
    _finish(api, made, wait=wait, strict=strict, seconds=seconds, as_json=as_json)


@deployment.command()
@_key
@click.option("--skip-scripts", is_flag=True, help="Leave preUndeploy scripts out.")
@_wait
@_seconds
@as_json
@with_api
def delete(
    *, api: Api, key: str, skip_scripts: bool, wait: bool, seconds: float, as_json: bool
) -> None:
    """Undeploy, and delete."""
    query = {"skipScripts": "true"} if skip_scripts else None
    gone = api.delete(api.path("deployments", named(key)), query)
    if wait:
        deadline = time.monotonic() + seconds
        while (found := _found(api, gone["id"])) is not None:
            gone = found
            if found["status"] not in _UNDER_WAY:
                raise DeploymentFault(_why(found))
            _pause(found, deadline)
    if as_json:
        show(gone)
    else:
        click.echo(f"{gone.get('key') or gone['id']} is {'gone' if wait else gone['status']}")


def _finish(
    api: Api, made: Json, *, wait: bool, strict: bool, seconds: float, as_json: bool
) -> None:
    """Show what a deploy has come to, after it where that is wanted, scripts that failed last."""
    if wait:
        made = _settled(api, made, seconds, quiet=as_json)
    if as_json:
        show(made)
    else:
        _describe(made)
    if wait and made["status"] != "Deployed":
        raise DeploymentFault(_why(made))
    failed = [each for each in _entries(made) if _is_failed_script(each)] if wait else []
    for entry in failed:
        click.echo(_line(entry), err=True)
    if failed and strict:
        raise DeploymentFault(f"{_name(made)} is {made['status']}, and a script failed")


def _is_failed_script(entry: Json) -> bool:
    return bool(entry["type"] == "Warning" and entry["title"].startswith(_SCRIPT_FAILED))


def _settled(api: Api, made: Json, seconds: float, *, quiet: bool) -> Json:
    """A Deployment when nothing is under way, saying on the way what happens."""
    deadline, told = time.monotonic() + seconds, 0
    while True:
        for entry in () if quiet else _entries(made)[told:]:
            click.echo(_line(entry), err=True)
        told = len(_entries(made))
        if made["status"] not in _UNDER_WAY:
            return made
        _pause(made, deadline)
        made = api.get(api.path("deployments", made["id"]))


def _pause(found: Json, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise DeploymentFault(f"{_name(found)} is still {found['status']}")
    time.sleep(_POLL_SECONDS)


def _found(api: Api, id_: str) -> Json | None:
    try:
        found: Json = api.get(api.path("deployments", id_))
    except ApiFault as fault:
        if fault.status == _MISSING:
            return None
        raise
    return found


def _configuration(
    standard: Sequence[str], secret: Sequence[str], schedules: Sequence[str]
) -> tuple[list[Json], Json]:
    """The options as `configurations` and `globalConfiguration`."""
    applications: dict[str, Json] = {}
    shared: Json = {}

    def of(application: str) -> Json:
        if not application:
            return shared
        blank = {
            "applicationName": application,
            "standardConfiguration": [],
            "securedConfiguration": [],
        }
        return applications.setdefault(application, blank)

    for application, key, value in _pairs("--set", standard):
        values = of(application).setdefault("standardConfiguration", [])
        values.append({"key": key, "value": value})
    for application, key, name in _pairs("--secret", secret):
        values = of(application).setdefault("securedConfiguration", [])
        values.append({"key": key, "value": _read(name)})
    for given in schedules:
        application, equals, cron = given.partition("=")
        if not equals:
            raise click.UsageError(f"--schedule {given}: APP=CRON is wanted")
        of(application)["schedule"] = cron
    return list(applications.values()), shared


def _pairs(option: str, given: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Application ("" for all), key and value of each."""
    for each in given:
        place, equals, value = each.partition("=")
        application, _, key = place.rpartition(".")
        if not equals or not key:
            raise click.UsageError(f"{option} {place}: [APP.]KEY=… is wanted")
        yield application, key, value


def _read(name: str) -> str:
    """A secret from a file, without the line's end that editors leave."""
    try:
        with click.open_file(name, encoding="utf-8") as file:
            return str(file.read()).removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeError) as error:
        raise DeploymentFault(f"the secret cannot be read: {error}") from None


def _row(found: Json) -> tuple[str, ...]:
    connector = found["connector"]
    return (
        _name(found),
        found["type"],
        visible(connector.get("key") or connector["name"]),
        str(connector["version"]),
        found["deployedRegion"],
        found["status"],
    )


def _describe(found: Json) -> None:
    connector = found["connector"]
    name = visible(connector.get("key") or connector["name"])
    click.echo(f"{_name(found)}: {found['status']} ({found['type']})")
    click.echo(f"  id         {found['id']}")
    click.echo(f"  connector  {name} version {connector['version']}")
    click.echo(f"  region     {found['deployedRegion']}")
    for application in found["applications"]:
        where = application.get("url") or application.get("schedule") or ""
        click.echo(f"  {application['applicationName']}  {visible(where)}".rstrip())
    for entry in _entries(found):
        click.echo(f"  {_line(entry)}")


def _entries(found: Json) -> list[Json]:
    report: Mapping[str, Any] = found["details"].get("build", {}).get("report", {})
    return list(report.get("entries", ()))


def _line(entry: Json) -> str:
    where = f" [{entry['application']}]" if entry.get("application") else ""
    text = f"{entry['type']}{where}: {entry['title']}"
    message = entry.get("message")
    return (
        visible(text)
        if not message
        else f"{visible(text)}\n    " + "\n    ".join(map(visible, message.splitlines()))
    )


def _name(found: Json) -> str:
    return str(found.get("key") or found["id"])


def _why(found: Json) -> str:
    said = f"{_name(found)} is {found['status']}"
    errors = [each for each in _entries(found) if each["type"] == "Error"]
    if not errors:
        return said
    last = errors[-1]
    where = f" of {last['application']}" if last.get("application") else ""
    reason = next(iter(last.get("message", "").splitlines()), "")
    return visible(f"{said}: {last['title']}{where}: {reason}".removesuffix(": "))
