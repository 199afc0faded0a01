"""The endpoints of Deployments.

Source: RAML `api.raml` under `/{projectKey}/deployments`. A create and an update answer 201, a
delete 202: what they ask for happens in the background.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from connectory.catalogue.model import parse_sort
from connectory.catalogue.paging import Paging
from connectory.contract import errors
from connectory.contract.deployments import (
    Deployment,
    DeploymentDraft,
    DeploymentPagedQueryResponse,
    DeploymentType,
    DeploymentUpdate,
)
from connectory.contract.scalars import Id, IntegrationType, Key, ProjectKey
from connectory.contract.scopes import MANAGE_DEPLOYMENTS, VIEW_DEPLOYMENTS
from connectory.deployments import events
from connectory.deployments.model import shown
from connectory.deployments.service import Deployments, Name, Query
from connectory.http.access import Grant
from connectory.http.answers import Response, of_json
from connectory.http.events import MEDIA_TYPE
from connectory.http.table import Endpoint, Request
from connectory.logs.endpoints import Find, Found


class DeploymentQuery(Paging, frozen=True, kw_only=True):
    """Which Deployments are wanted."""

    integration_types: Annotated[
        tuple[IntegrationType, ...], Meta(description="Integration type of the Connector.")
    ] = ()
    deployment_type: (
        Annotated[DeploymentType, Meta(description="Type of the Deployment.")] | UnsetType
    ) = UNSET


class DeploymentDeletion(Struct, frozen=True, kw_only=True, rename="camel"):
    """How a Deployment is deleted; an addition to the contract."""

    skip_scripts: Annotated[bool, Meta(description="Whether preUndeploy scripts are left out.")] = (
        False
    )


_EXAMPLE = {
    "id": "13c72c44-7a8e-44f2-a570-b5e991f7021a",
    "key": "acme-payments-live",
    "version": 2,
    "type": "sandbox",
    "connector": {
        "id": "5ab3edcd-9d23-4934-8f48-256805253119",
        "key": "acme-payments",
        "version": 4,
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
        "certified": True,
        "supportedRegions": ["europe-west1.gcp"],
    },
    "details": {
        "build": {
            "id": "a317ce94-5149-45ec-8717-d1c05b49005a",
            "report": {
                "entries": [
                    {
                        "type": "Information",
                        "title": "Build succeeded",
                        "message": "Node 20.20.2, npm 11.19.1",
                        "application": "payments",
                        "createdAt": "2026-01-31T08:30:00.123Z",
                    }
                ]
            },
        }
    },
    "deployedRegion": "europe-west1.gcp",
    "applications": [
        {
            "id": "c9c3b342-c2ca-41ed-afa1-0242ac120002",
            "applicationName": "payments",
            "standardConfiguration": [],
            "securedConfiguration": [{"key": "ACME_API_KEY", "value": "****"}],
            "url": "https://service-x2k1m9c0w7h3t5q8z4b6n0ae.apps.example.com/payments",
        }
    ],
    "preview": False,
    "status": "Deployed",
}

_OF_CONFIGURATION = (
    errors.DeploymentUnknownApplicationConfigurationKey,
    errors.DeploymentUnknownGlobalConfigurationKey,
    errors.DeploymentMissingGlobalConfigurationKey,
    errors.DeploymentEmptyRequiredGlobalConfigurationKey,
    errors.DeploymentApplicationRequired,
    errors.DeploymentInvalidRetryPolicy,
    errors.DeploymentRetryPolicyOverrideNotAllowed,
)
_OF_CREATE = (
    errors.InvalidJsonInput,
    errors.DuplicateField,
    errors.ConnectorReferenceNotFound,
    errors.ConnectorStagedNotPreviewable,
    errors.DeploymentInvalidType,
    errors.DeploymentProductionDeactivated,
    errors.DeploymentUnsupportedRegion,
    errors.DeploymentUnknownApplicationConfiguration,
    *_OF_CONFIGURATION,
    errors.LimitExceeded,
)
_OF_UPDATE = (
    errors.InvalidJsonInput,
    errors.ResourceNotFound,
    errors.ConcurrentModification,
    errors.DeploymentInvalidStatusTransition,
    errors.DeploymentApplicationDoNotBelong,
    errors.DeploymentConnectorUpdateFailure,
    *_OF_CONFIGURATION,
)
_PROJECT = {"projectKey": ProjectKey}


def name_of(path: Mapping[str, str]) -> Name:
    """The Deployment that a path names, by its id or its key."""
    id_ = path.get("id")
    return Name(key=path["key"]) if id_ is None else Name(id=id_.lower())


def finding(deployments: Deployments) -> Find:
    """Finds the Deployment whose log a path asks for."""

    async def find(path: Mapping[str, str], grant: Grant) -> Found:
        if path["projectKey"] != grant.project_key:
            raise errors.AuthorizationError
        found = await deployments.get(name_of(path), grant.project)
        return Found(
            deployment_id=found.id, applications={each.name for each in found.applications}
        )

    return find


def endpoints(deployments: Deployments) -> list[Endpoint]:
    """The endpoints of this slice."""
    return [
        *_of_all(deployments),
        *_of_one(deployments, "{id}", {"id": Id}, "ID"),
        *_of_one(deployments, "key={key}", {"key": Key}, "Key"),
    ]


def _of_all(deployments: Deployments) -> list[Endpoint]:
    async def create(request: Request) -> Response:
        draft: DeploymentDraft = request.body
        return of_json(shown(await deployments.create(draft, request.own)), 201)

    async def query(request: Request) -> Response:
        parameters: DeploymentQuery = request.query
        type_ = parameters.deployment_type
        query = Query(
            type=type_ if isinstance(type_, DeploymentType) else None,
            integration_types=parameters.integration_types,
            sort=tuple(map(parse_sort, parameters.sort)),
            offset=parameters.offset,
            limit=parameters.limit,
        )
        total, found = await deployments.query(query, request.own.project)
        return of_json(
            DeploymentPagedQueryResponse(
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
            path="/{projectKey}/deployments",
            summary="Create Deployment",
            description="Answers when the Deployment is accepted; it is built and started in the"
            " background. Of a Connector that has an API Client made for itself, it needs the"
            " scope `manage_api_clients:{projectKey}` as well.",
            tag="Deployments",
            permissions=MANAGE_DEPLOYMENTS,
            parameters=_PROJECT,
            body=DeploymentDraft,
            success=(201, Deployment),
            errors=_OF_CREATE,
            example=_EXAMPLE,
            handler=create,
        ),
        Endpoint(
            method="GET",
            path="/{projectKey}/deployments",
            summary="Query Deployments",
            description="Retrieves the Deployments of your Project. Without `sort`, the newest"
            " come first.",
            tag="Deployments",
            permissions=VIEW_DEPLOYMENTS,
            parameters=_PROJECT,
            query=DeploymentQuery,
            success=(200, DeploymentPagedQueryResponse),
            errors=(errors.InvalidQueryParam,),
            example={"offset": 0, "limit": 3, "total": 1, "count": 1, "results": [_EXAMPLE]},
            handler=query,
        ),
    ]


def _of_one(
    deployments: Deployments,
    place: str,
    parameters: Mapping[str, Any],
    by: str,
) -> list[Endpoint]:
    async def get(request: Request) -> Response:
        project = request.own.project
        return of_json(shown(await deployments.get(name_of(request.path), project)))

    async def update(request: Request) -> Response:
        body: DeploymentUpdate = request.body
        grant = request.own
        return of_json(shown(await deployments.update(name_of(request.path), body, grant)), 201)

    async def delete(request: Request) -> Response:
        parameters: DeploymentDeletion = request.query
        gone = await deployments.delete(
            name_of(request.path), request.own, skip_scripts=parameters.skip_scripts
        )
        return of_json(shown(gone), 202)

    async def follow(request: Request) -> Response:
        return await events.stream(deployments, name_of(request.path), request.own.project)

    common: dict[str, Any] = {
        "path": f"/{{projectKey}}/deployments/{place}",
        "tag": "Deployments",
        "parameters": {**_PROJECT, **parameters},
        "example": _EXAMPLE,
    }
    return [
        Endpoint(
            method="GET",
            summary=f"Get Deployment by {by}",
            permissions=VIEW_DEPLOYMENTS,
            success=(200, Deployment),
            errors=(errors.ResourceNotFound,),
            handler=get,
            **common,
        ),
        Endpoint(
            method="POST",
            summary=f"Redeploy Deployment by {by}",
            description="Takes one action, `redeploy`. Values that are left out stay as they are;"
            " the release before serves until the new one is healthy. Of Connectory alone is"
            " the action `rollback`: it brings back a release that was deployed, without building.",
            permissions=MANAGE_DEPLOYMENTS,
            body=DeploymentUpdate,
            success=(201, Deployment),
            errors=_OF_UPDATE,
            handler=update,
            **common,
        ),
        Endpoint(
            method="DELETE",
            summary=f"Delete Deployment by {by}",
            description="Answers when it is accepted; it is gone when it is undeployed. Before"
            " anything is stopped, the preUndeploy scripts run; where one fails it is"
            " `UndeployFailed`, and runs on.",
            permissions=MANAGE_DEPLOYMENTS,
            query=DeploymentDeletion,
            success=(202, Deployment),
            errors=(errors.ResourceNotFound,),
            handler=delete,
            **common,
        ),
        Endpoint(
            method="GET",
            path=f"/{{projectKey}}/deployments/{place}/events",
            summary=f"Follow Deployment by {by}",
            description="Server-sent events: `status` first and whenever it changes (`id`,"
            " `version`, `status`), and `report` for each entry of the report of the latest"
            " deploy (`build`, `index`, `entry`). The stream ends when the Deployment is gone.",
            tag="Deployments",
            permissions=VIEW_DEPLOYMENTS,
            parameters=common["parameters"],
            success=(200, None),
            produces=MEDIA_TYPE,
            errors=(errors.ResourceNotFound,),
            addition=True,
            handler=follow,
        ),
    ]
