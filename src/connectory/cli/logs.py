"""`connectory logs`: what a Deployment printed, and the requests that it answered."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from connectory.cli.api import Api, with_api
from connectory.cli.installation import as_json, show

_SEVERITIES = (
    "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY",
)  # fmt: skip
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_is_id = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
#: What would move a terminal's cursor or change its colours: what is printed can be anything.
_control = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@click.command()
@click.argument("key")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--application", metavar="NAME", help="Of one application only.")
@click.option(
    "--severity",
    type=click.Choice(_SEVERITIES, case_sensitive=False),
    help="Of this severity, or a graver one.",
)
@click.option("--text", metavar="TEXT", help="What has this in it; ASCII in either case.")
@click.option(
    "--since", metavar="WHEN", help="From then on: 30s, 10m, 2h, 7d, or a date.  [not --follow]"
)
@as_json
@with_api
def logs(
    *,
    api: Api,
    key: str,
    follow: bool,
    application: str | None,
    severity: str | None,
    text: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    """Show the log of the Deployment KEY (or of its id), the oldest entries first.

    The server is the one of CONNECTORY_API_URL, or --api-url; CONNECTORY_CLIENT_ID and
    CONNECTORY_CLIENT_SECRET are those of an API Client with view_connectors_deployments.
    """
    if follow and since:
        raise click.UsageError("--since is of what is there, --follow of what comes: choose one")
    path = api.path("deployments", key if _is_id(key) else f"key={key}", "logs")
    wanted: dict[str, str | None] = {
        "applicationName": application,
        "severity": severity and severity.upper(),
        "text": text,
    }
    if follow:
        entries = _followed(api, f"{path}/follow", wanted)
    else:
        entries = _paged(api, path, wanted | {"startDate": _start(since)})
    for entry in entries:
        # A server that does not know these filters sends more than was asked for.
        if _matches(entry, wanted["severity"], text):
            if as_json:
                show(entry)
            else:
                click.echo(_line(entry))


def _paged(api: Api, path: str, wanted: Mapping[str, str | None]) -> Iterator[Mapping[str, Any]]:
    token: str | None = None
    while True:
        page = api.get(path, {**wanted, "pageToken": token})
        yield from page["data"]
        token = page.get("next")
        if not token:
            return


def _followed(api: Api, path: str, wanted: Mapping[str, str | None]) -> Iterator[Mapping[str, Any]]:
    for event in api.events(path, wanted):
        if event.name == "log":
            yield event.data


def _start(since: str | None) -> str | None:
    """The date of `--since`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", since or "")
    if found is None:
        return since
    ago = timedelta(**{_UNITS[found[2]]: int(found[1])})
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _matches(entry: Mapping[str, Any], severity: str | None, text: str | None) -> bool:
    if severity is not None:
        given = entry.get("severity", _SEVERITIES[0])
        rank = _SEVERITIES.index(given) if given in _SEVERITIES else 0
        if rank < _SEVERITIES.index(severity):
            return False
    return text is None or text.lower() in _content(entry).lower()


def _line(entry: Mapping[str, Any]) -> str:
    """An entry as a person reads it: time, application, severity, what it says."""
    severity = entry.get("severity", "DEFAULT")
    mark = "" if severity == "DEFAULT" else f"{severity} "
    line = f"{entry.get('timestamp')} {entry.get('applicationName')} {mark}{_content(entry)}"
    return _control.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def _content(entry: Mapping[str, Any]) -> str:
    details = entry.get("details")
    if not isinstance(details, dict):
        return json.dumps(details, ensure_ascii=False)
    if entry.get("type") == "HTTP_REQUEST":
        parts = (details.get(name) for name in ("requestMethod", "requestUrl", "status", "latency"))
        return " ".join(str(each) for each in parts if each is not None)
    if entry.get("type") == "APPLICATION_TEXT" and isinstance(details.get("message"), str):
        return str(details["message"])
    return json.dumps(details, ensure_ascii=False)
