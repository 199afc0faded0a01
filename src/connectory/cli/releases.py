"""`connectory deployment releases`: the releases of a Deployment, and what each of them changed."""

from collections.abc import Iterator
from typing import Any

import click

from connectory.cli.api import Api, with_api
from connectory.cli.installation import as_json, show, table
from connectory.contract.scalars import is_id
from connectory.specification.faults import visible

_PAGE = 100
_COMMIT_DIGITS = 12

Json = dict[str, Any]


class ReleaseFault(Exception):
    """There is no release to go back to; the message says why."""


@click.command()
@click.argument("key")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0, 500))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0, 10_000))
@as_json
@with_api
def releases(api: Api, key: str, limit: int, offset: int, as_json: bool) -> None:
    """List the releases of a Deployment, the newest first, and what each of them changed.

    The one that takes the calls has a star.
    """
    page = api.get(_path(api, key), {"limit": limit, "offset": offset})
    if as_json:
        show(page["results"])
    elif page["results"]:
        heading = ("RELEASE", "OUTCOME", "CREATED", "CONNECTOR", "COMMIT", "BY", "CHANGES")
        table([heading, *map(_row, page["results"])])
        left = page["total"] - page["offset"] - page["count"]
        if left > 0:
            click.echo(f"and {left} more (--offset {page['offset'] + page['count']})", err=True)


def release_before(api: Api, key: str) -> int:
    """The latest release that was deployed before the one that takes the calls.

    Raises:
        ReleaseFault: there is none.
    """
    serving = None
    for each in _all(api, key):
        if each["serving"]:
            serving = each["number"]
        elif serving is not None and each["outcome"] == "deployed":
            return int(each["number"])
    if serving is None:
        raise ReleaseFault(f"no release of {key} takes calls: say which with --release")
    raise ReleaseFault(f"no release of {key} was deployed before release {serving}")


def _all(api: Api, key: str) -> Iterator[Json]:
    offset, total = 0, 1
    while offset < total:
        page = api.get(_path(api, key), {"limit": _PAGE, "offset": offset})
        yield from page["results"]
        offset, total = offset + _PAGE, page["total"]


def _path(api: Api, key: str) -> str:
    return api.path("deployments", key if is_id(key) else f"key={key}", "releases")


def _row(release: Json) -> tuple[str, ...]:
    connector = release["connector"]
    return (
        f"{release['number']}{'*' if release['serving'] else ''}",
        release["outcome"],
        release["createdAt"],
        f"{visible(connector.get('key') or connector['id'])} version {connector['version']}",
        release.get("commit", "")[:_COMMIT_DIGITS],
        visible(release["actor"]),
        visible("; ".join(_changes(release))),
    )


def _changes(release: Json) -> Iterator[str]:
    if "rollbackTo" in release:
        yield f"back to release {release['rollbackTo']}"
    changes = release.get("changes")
    if changes is None:
        return
    if "connectorVersion" in changes:
        versions = changes["connectorVersion"]
        yield f"version {versions['before']} → {versions['after']}"
    elif "commit" in changes:
        yield "another commit"
    for each in (*changes["applications"], *changes["configuration"]):
        yield f"{_name(each)} {each['change']}{' (secured)' if each.get('secured') else ''}"
    for each in changes["scopes"]:
        yield f"scope {each['scope']} {each['change']}"
    for each in changes["scripts"]:
        yield f"{each['script']} of {each['applicationName']} changed"
    for what, kind in (("schedule", "schedules"), ("retry policy", "retryPolicies")):
        for each in changes[kind]:
            yield f"{what} of {each['applicationName']} changed"


def _name(change: Json) -> str:
    """`application.KEY`, `KEY` of all applications, or the application."""
    return ".".join(change[name] for name in ("applicationName", "key") if name in change)
