"""The endpoints of ConnectorStaged.

Source: RAML `api.raml` under `/connectors/drafts`. An update answers 201, a delete 200 with the
ConnectorStaged.
"""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from connectory.catalogue.model import parse_sort
from connectory.catalogue.paging import Paging
from connectory.contract import errors
from connectory.contract.scalars import Id, IntegrationType, Key
from connectory.contract.scopes import MANAGE_CONNECTORS, VIEW_CONNECTORS
from connectory.contract.staged import (
    ConnectorStaged,
    ConnectorStagedDraft,
    ConnectorStagedPagedQueryResponse,
    ConnectorUpdate,
)
from connectory.http.answers import Response, of_json
from connectory.http.events import MEDIA_TYPE
from connectory.http.table import Endpoint, Request
from connectory.staging import events
from connectory.staging.model import shown
from connectory.staging.service import Name, Query, Staging


class QueryParameters(Paging, frozen=True, kw_only=True):
    """Which ConnectorStaged are wanted."""

    is_private: (
        Annotated[bool, Meta(description="Whether private or public ones are wanted.")] | UnsetType
    ) = UNSET
    integration_types: Annotated[
        tuple[IntegrationType, ...], Meta(description="Integration type of a ConnectorStaged.")
    ] = ()


_EXAMPLE = {
    "id": "5ab3edcd-9d23-4934-8f48-256805253119",
    "key": "acme-payments",
    "version": 3,
    "name": "Acme Payments",
    "description": "Takes payments through Acme.",
    "integrationTypes": ["psp"],
    "creator": {"email": "connect@acme.example", "company": "Acme"},
    "repository": {"url": "https://github.com/acme/payments.git", "tag": "v1.4.0"},
    "configurations": [
        {
            "applicationName": "payments",
            "applicationType": "service",
            "standardConfiguration": [],
            "securedConfiguration": [
                {"key": "ACME_API_KEY", "description": "Key of the account", "required": True}
            ],
        }
    ],
    "private": True,
    "privateProjects": ["europe-west1.gcp:acme-shop"],
    "supportedRegions": ["europe-west1.gcp"],
    "status": "Draft",
    "alreadyListed": False,
    "hasChanges": False,
    "isPreviewable": "true",
    "previewableReport": {
        "entries": [
            {
                "type": "Information",
                "title": "Connector specification file validation check succeeded",
                "createdAt": "2026-01-31T08:30:00.123Z",
            }
        ]
    },
}

_OF_REPOSITORY = (
    errors.GitRepositoryNotReachable,
    errors.ConnectorSpecificationFileNotFound,
    errors.ConnectorSpecificationFileNotValid,
)
_OF_UPDATE = (
    errors.InvalidJsonInput,
    errors.ResourceNotFound,
    errors.ConcurrentModification,
    *_OF_REPOSITORY,
    errors.ConnectorStagedNotPrivate,
    errors.ConnectorStagedPreviewRequestUnderProcess,
    errors.ConnectorStagedInCertification,
    errors.ConnectorAlreadyCertified,
    errors.ConnectorStagedInProcess,
    errors.CertificationRequired,
    errors.ConnectorNotListed,
    errors.LimitExceeded,
)


def endpoints(staging: Staging) -> list[Endpoint]:
    """The endpoints of this slice."""
    return [
        *_of_all(staging),
        *_of_one(staging, "{id}", {"id": Id}, "ID", lambda path: Name(id=path["id"].lower())),
        *_of_one(staging, "key={key}", {"key": Key}, "Key", lambda path: Name(key=path["key"])),
    ]


def _of_all(staging: Staging) -> list[Endpoint]:
    async def create(request: Request) -> Response:
        draft: ConnectorStagedDraft = request.body
        return of_json(shown(await staging.create(draft, request.allowed)), 201)

    async def query(request: Request) -> Response:
        parameters: QueryParameters = request.query
        private = parameters.is_private
        query = Query(
            private=None if private is UNSET else private,
            integration_types=parameters.integration_types,
            sort=tuple(map(parse_sort, parameters.sort)),
            offset=parameters.offset,
            limit=parameters.limit,
        )
        total, found = await staging.query(query, request.allowed.project)
        return of_json(
            ConnectorStagedPagedQueryResponse(
                offset=query.offset,
                limit=query.limit,
                total=total,
                count=len(found),
                results=tuple(map(shown, found)),
            )
        )

    return [
        Endpoint(
            method="POST",
            path="/connectors/drafts",
            summary="Create ConnectorStaged",
            description="Reads the repository's connect.yaml at the tag, and answers when it has.",
            tag="ConnectorStaged",
            permissions=MANAGE_CONNECTORS,
            body=ConnectorStagedDraft,
            success=(201, ConnectorStaged),
            errors=(
                errors.InvalidJsonInput,
                errors.DuplicateField,
                *_OF_REPOSITORY,
                errors.LimitExceeded,
            ),
            example=_EXAMPLE,
            handler=create,
        ),
        Endpoint(
            method="GET",
            path="/connectors/drafts",
            summary="Query ConnectorStaged",
            description="Retrieves the ConnectorStaged of your Project. Without `sort`, the newest"
            " come first.",
            tag="ConnectorStaged",
            permissions=VIEW_CONNECTORS,
            query=QueryParameters,
            success=(200, ConnectorStagedPagedQueryResponse),
            errors=(errors.InvalidQueryParam,),
            example={"offset": 0, "limit": 3, "total": 1, "count": 1, "results": [_EXAMPLE]},
            handler=query,
        ),
    ]


def _of_one(
    staging: Staging, place: str, parameters: dict[str, Any], by: str, name: Callable[[Any], Name]
) -> list[Endpoint]:
    async def get(request: Request) -> Response:
        return of_json(shown(await staging.get(name(request.path), request.allowed.project)))

    async def update(request: Request) -> Response:
        body: ConnectorUpdate = request.body
        return of_json(shown(await staging.update(name(request.path), body, request.allowed)), 201)

    async def delete(request: Request) -> Response:
        return of_json(shown(await staging.delete(name(request.path), request.allowed)))

    async def follow(request: Request) -> Response:
        return await events.stream(staging, name(request.path), request.allowed.project)

    common: dict[str, Any] = {
        "path": f"/connectors/drafts/{place}",
        "tag": "ConnectorStaged",
        "parameters": parameters,
        "example": _EXAMPLE,
    }
    return [
        Endpoint(
            method="GET",
            summary=f"Get ConnectorStaged by {by}",
            permissions=VIEW_CONNECTORS,
            success=(200, ConnectorStaged),
            errors=(errors.ResourceNotFound,),
            handler=get,
            **common,
        ),
        Endpoint(
            method="POST",
            summary=f"Update ConnectorStaged by {by}",
            description="Applies all actions or none, and costs one version.",
            permissions=MANAGE_CONNECTORS,
            body=ConnectorUpdate,
            success=(201, ConnectorStaged),
            errors=_OF_UPDATE,
            handler=update,
            **common,
        ),
        Endpoint(
            method="DELETE",
            summary=f"Delete ConnectorStaged by {by}",
            description="Unlists the Connector that was published from it; where that is deployed,"
            " it runs on.",
            permissions=MANAGE_CONNECTORS,
            success=(200, ConnectorStaged),
            errors=(errors.ResourceNotFound, errors.ConnectorStagedInProcess),
            handler=delete,
            **common,
        ),
        Endpoint(
            method="GET",
            summary=f"Follow ConnectorStaged by {by}",
            description="Server-sent events: `status` first and whenever it changes (`id`,"
            " `version`, `status`, `isPreviewable`, `alreadyListed`, `waitingFor`), and `report`"
            " for each report entry as it is added (`report`: `previewable` or `publishing`,"
            " `index`, `entry`). It stays open until the ConnectorStaged is deleted or the token"
            " ends.",
            addition=True,
            permissions=VIEW_CONNECTORS,
            produces=MEDIA_TYPE,
            errors=(errors.ResourceNotFound,),
            handler=follow,
            path=f"/connectors/drafts/{place}/events",
            tag="ConnectorStaged",
            parameters=parameters,
        ),
    ]
