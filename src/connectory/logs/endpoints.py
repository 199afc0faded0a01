"""The endpoints of the log, for whoever knows Deployments.

Source: RAML `api.raml` under `/{projectKey}/deployments/…/logs`. `text`, `severity` and `limit`
are additions, and so is following.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from connectory.contract import errors
from connectory.contract.logs import (
    DeploymentLogCursorPagedQueryResponse,
    DeploymentLogSeverity,
)
from connectory.contract.scalars import Id, Key, ProjectKey
from connectory.contract.scopes import VIEW_DEPLOYMENTS
from connectory.http import events
from connectory.http.access import Grant
from connectory.http.answers import Response, of_json
from connectory.http.events import MEDIA_TYPE, EventStream
from connectory.http.table import Endpoint, Request
from connectory.logs.dates import window
from connectory.logs.model import shown
from connectory.logs.service import Logs
from connectory.logs.store import Filter
from connectory.logs.tokens import position_of, token_of

#: Asks again and again whether a Deployment that is followed is still there, in events.
_CHECKED_EVENTS = 50


class Found(Struct, frozen=True, kw_only=True):
    """A Deployment whose log is asked for, and the names of its applications."""

    deployment_id: str
    applications: Collection[str]


#: Finds the Deployment that a path names (`projectKey`, and `id` or `key`), for a grant.
#:
#: Raises ResourceNotFound: there is none that the grant may see.
Find = Callable[[Mapping[str, str], Grant], Awaitable[Found]]

_Application = Annotated[str, Meta(description="Name of the application; without it, of all.")]
_Severity = Annotated[
    DeploymentLogSeverity, Meta(description="Entries of this severity, or a graver one.")
]
_Text = Annotated[
    str, Meta(description="Entries that have this in their details; ASCII in either case.")
]


class LogParameters(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which entries are wanted."""

    page_token: Annotated[str, Meta(description="`next` of the page before.")] = ""
    application_name: _Application = ""
    start_date: Annotated[
        str,
        Meta(
            description="The earliest instant, at most 30 days ago; in UTC where no zone is said.",
            examples=["2026-01-31T08:30:00Z"],
        ),
    ] = ""
    end_date: Annotated[str, Meta(description="The latest instant, likewise.")] = ""
    severity: _Severity = DeploymentLogSeverity.DEFAULT
    text: _Text = ""
    limit: Annotated[int, Meta(ge=1, le=1_000, description="The most entries of a page.")] = 100


class FollowParameters(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which entries are followed."""

    application_name: _Application = ""
    severity: _Severity = DeploymentLogSeverity.DEFAULT
    text: _Text = ""
    tail: Annotated[
        int, Meta(ge=0, le=1_000, description="How many of those that are there come first.")
    ] = 10


_EXAMPLE = {
    "data": [
        {
            "type": "APPLICATION_TEXT",
            "deploymentId": "5ab3edcd-9d23-4934-8f48-256805253119",
            "applicationName": "service",
            "severity": "DEFAULT",
            "timestamp": "2026-01-31T08:30:00.123Z",
            "details": {"message": "Listening on port: 8080"},
        }
    ],
    "next": "",
}


def log_endpoints(find: Find, logs: Logs) -> list[Endpoint]:
    """The endpoints of the log of the Deployments that `find` finds."""
    return [
        *_of_one(find, logs, "{id}", {"id": Id}, "id"),
        *_of_one(find, logs, "key={key}", {"key": Key}, "key"),
    ]


async def query_logs(
    logs: Logs, found: Found, parameters: LogParameters
) -> DeploymentLogCursorPagedQueryResponse:
    """A page of the log of a Deployment that was found, the oldest entries first.

    Raises:
        DeploymentApplicationDoesNotExist: it has no such application.
        DeploymentLogInvalidDate: a date cannot be.
        DeploymentLogInvalidPageToken: the token is not of a page of this query.
    """
    wanted = _filter(found, parameters)
    start, end = window(
        parameters.start_date,
        parameters.end_date,
        now=logs.now(),
        kept_days=logs.bounds.kept_days,
    )
    bound = (wanted, parameters.start_date, parameters.end_date)
    after = position_of(parameters.page_token, bound) if parameters.page_token else None
    entries, more = await logs.query(
        wanted, start=start, end=end, after=after, limit=parameters.limit
    )
    last = entries[-1] if more else None
    return DeploymentLogCursorPagedQueryResponse(
        data=tuple(shown(each.entry) for each in entries),
        next="" if last is None else token_of((last.entry.at, last.id), bound),
    )


def follow_logs(
    logs: Logs,
    found: Found,
    parameters: FollowParameters,
    last_event_id: str,
    check: Callable[[], Awaitable[object]],
) -> EventStream:
    """The log of a Deployment that was found, as it is written: `log` events.

    After `last_event_id` where that is the id of one. `check` is called now and then; the stream
    ends when it raises an error of the contract.

    Raises:
        DeploymentApplicationDoesNotExist: it has no such application.
    """
    wanted = _filter(found, parameters)
    number = last_event_id if last_event_id.isascii() and last_event_id.isdigit() else ""
    after = int(number) if number and len(number) <= 18 else None  # noqa: PLR2004 - 64 bits

    async def told() -> AsyncIterator[bytes]:
        turns = 0
        async for entries in logs.follow(wanted, after=after, tail=parameters.tail):
            yield b"".join(events.event("log", shown(each.entry), str(each.id)) for each in entries)
            turns += 1
            if turns % _CHECKED_EVENTS == 0:
                try:
                    await check()
                except (errors.ApiError, errors.ApiErrors):
                    return

    return EventStream(told)


def _filter(found: Found, parameters: LogParameters | FollowParameters) -> Filter:
    application = parameters.application_name or None
    if application is not None and application not in found.applications:
        raise errors.DeploymentApplicationDoesNotExist(application)
    return Filter(
        deployment_id=found.deployment_id,
        application=application,
        severity=parameters.severity,
        text=parameters.text,
    )


def _of_one(
    find: Find, logs: Logs, place: str, parameters: dict[str, Any], by: str
) -> list[Endpoint]:
    async def query(request: Request) -> Response:
        found = await find(request.path, request.allowed)
        return of_json(await query_logs(logs, found, request.query))

    async def follow(request: Request) -> Response:
        async def check() -> Found:
            return await find(request.path, request.allowed)

        last = events.last_event_id(request.headers)
        return follow_logs(logs, await check(), request.query, last, check)

    common: dict[str, Any] = {
        "method": "GET",
        "tag": "Deployments",
        "permissions": VIEW_DEPLOYMENTS,
        "parameters": {"projectKey": ProjectKey, **parameters},
    }
    return [
        Endpoint(
            path=f"/{{projectKey}}/deployments/{place}/logs",
            summary=f"Query logs from Deployment by {by}",
            description="The oldest entries come first. Without dates, all that is kept: 30 days.",
            query=LogParameters,
            success=(200, DeploymentLogCursorPagedQueryResponse),
            errors=(
                errors.ResourceNotFound,
                errors.DeploymentApplicationDoesNotExist,
                errors.DeploymentLogInvalidDate,
                errors.DeploymentLogInvalidPageToken,
            ),
            example=_EXAMPLE,
            handler=query,
            **common,
        ),
        Endpoint(
            path=f"/{{projectKey}}/deployments/{place}/logs/follow",
            summary=f"Follow logs from Deployment by {by}",
            description="Server-sent events: a `log` for each entry, as `/logs` shows it, in the"
            " order in which they come; `Last-Event-ID` goes on where a stream broke off. It stays"
            " open until the Deployment is deleted or the token ends.",
            addition=True,
            query=FollowParameters,
            produces=MEDIA_TYPE,
            errors=(errors.ResourceNotFound, errors.DeploymentApplicationDoesNotExist),
            handler=follow,
            **common,
        ),
    ]
