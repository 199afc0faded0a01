"""The endpoints of a Deployment's releases: an addition to the published contract."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from connectory.contract import errors
from connectory.contract.releases import DeploymentReleasePagedQueryResponse
from connectory.contract.scalars import Id, Key, ProjectKey
from connectory.contract.scopes import VIEW_DEPLOYMENTS
from connectory.deployments.endpoints import name_of
from connectory.deployments.releases import Releases
from connectory.http.answers import Response, of_json
from connectory.http.table import Endpoint, Request


class ReleaseQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which releases are wanted."""

    limit: Annotated[int, Meta(ge=0, le=500, description="Number of results requested.")] = 20
    offset: Annotated[int, Meta(ge=0, le=10_000, description="Number of results skipped.")] = 0


_EXAMPLE = {
    "offset": 0,
    "limit": 1,
    "total": 3,
    "count": 1,
    "results": [
        {
            "number": 3,
            "outcome": "deployed",
            "serving": True,
            "createdAt": "2026-01-31T08:30:00.123Z",
            "finishedAt": "2026-01-31T08:30:02.456Z",
            "actor": "client:2fGkw8tJm4sVxQ7nPbZ1aRcD",
            "connector": {
                "id": "5ab3edcd-9d23-4934-8f48-256805253119",
                "key": "acme-payments",
                "version": 4,
                "tag": "v1.4.0",
            },
            "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "changes": {
                "since": 2,
                "connectorVersion": {"before": 3, "after": 4},
                "applications": [],
                "configuration": [
                    {
                        "applicationName": "payments",
                        "key": "ACME_REGION",
                        "change": "changed",
                        "secured": False,
                        "before": "eu",
                        "after": "us",
                    },
                    {
                        "applicationName": "payments",
                        "key": "ACME_API_KEY",
                        "change": "changed",
                        "secured": True,
                    },
                ],
                "scopes": [{"scope": "manage_payments", "change": "added"}],
                "scripts": [],
                "schedules": [],
                "retryPolicies": [],
            },
        }
    ],
}


def endpoints(releases: Releases) -> list[Endpoint]:
    """The endpoints of the releases."""
    return [
        _of_one(releases, "{id}", {"id": Id}, "ID"),
        _of_one(releases, "key={key}", {"key": Key}, "Key"),
    ]


def _of_one(
    releases: Releases,
    place: str,
    parameters: Mapping[str, Any],
    by: str,
) -> Endpoint:
    async def query(request: Request) -> Response:
        wanted: ReleaseQuery = request.query
        project = request.own.project
        page = await releases.page(
            name_of(request.path), project, offset=wanted.offset, limit=wanted.limit
        )
        return of_json(page)

    return Endpoint(
        method="GET",
        path=f"/{{projectKey}}/deployments/{place}/releases",
        summary=f"Query Releases of Deployment by {by}",
        description="The deploys, redeploys and rollbacks, the newest first, each with what it"
        " changed since the one before that was deployed. Of a secret it is told that it changed,"
        " and nothing of its value. One whose `outcome` is `deployed` can be brought back by the"
        " action `rollback`.",
        tag="Deployments",
        permissions=VIEW_DEPLOYMENTS,
        parameters={"projectKey": ProjectKey, **parameters},
        query=ReleaseQuery,
        success=(200, DeploymentReleasePagedQueryResponse),
        errors=(errors.ResourceNotFound, errors.InvalidQueryParam),
        example=_EXAMPLE,
        addition=True,
        handler=query,
    )
