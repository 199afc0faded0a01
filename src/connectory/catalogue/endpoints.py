"""The three reads of the catalogue: by id, by key, search.

Source: RAML `api.raml` under `/connectors`, and the documentation page.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from connectory.catalogue.model import SORT_EXPECTED, SORT_PATTERN, Query, parse_sort
from connectory.catalogue.service import Catalogue
from connectory.contract.connectors import Connector, ConnectorSearchPagedQueryResponse
from connectory.contract.errors import InvalidQueryParam, ResourceNotFound
from connectory.contract.scalars import Id, IntegrationType, Key
from connectory.contract.scopes import VIEW_CONNECTORS
from connectory.http.answers import Response
from connectory.http.table import Endpoint, Request


class SearchParameters(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a search may ask for."""

    text: Annotated[
        str,
        Meta(
            description="Found where it occurs in `name` or `description`, upper and lower case"
            " alike; all characters are literal.",
            examples=["payment"],
        ),
    ] = ""
    limit: Annotated[
        int, Meta(ge=0, le=500, description="Number of results requested.", examples=[3])
    ] = 20
    offset: Annotated[int, Meta(ge=0, le=10_000, description="Number of results skipped.")] = 0
    sort: Annotated[
        tuple[
            Annotated[str, Meta(pattern=SORT_PATTERN, extra={"expected": SORT_EXPECTED})],
            ...,
        ],
        Meta(
            description="Criteria, the weightiest first: `name`, `key`, `createdAt` or"
            " `lastModifiedAt`, alone or followed by `asc` or `desc`."
        ),
    ] = ()
    private: Annotated[
        bool,
        Meta(description="Whether only private Connectors of your Project are retrieved."),
    ] = False
    company: Annotated[str, Meta(description="Company name of the creator.")] | UnsetType = field(
        name="creator.company", default=UNSET
    )
    id: Annotated[tuple[str, ...], Meta(description="`id` of a Connector.")] = ()
    key: Annotated[tuple[str, ...], Meta(description="`key` of a Connector.")] = ()
    integration_types: Annotated[
        tuple[IntegrationType, ...], Meta(description="Integration type of a Connector.")
    ] = ()


_EXAMPLE = {
    "id": "5ab3edcd-9d23-4934-8f48-256805253119",
    "version": 4,
    "key": "acme-payments",
    "name": "Acme Payments",
    "description": "Takes payments through Acme.",
    "integrationTypes": ["psp"],
    "creator": {"email": "connect@acme.example", "company": "Acme"},
    "repository": {"url": "https://github.com/acme/payments.git", "tag": "v1.4.0"},
    "configurations": [
        {
            "applicationName": "payments",
            "applicationType": "service",
            "standardConfiguration": [
                {"key": "ACME_REGION", "description": "Where payments are taken", "default": "eu"}
            ],
            "securedConfiguration": [
                {"key": "ACME_API_KEY", "description": "Key of the account", "required": True}
            ],
        }
    ],
    "private": False,
    "supportedRegions": ["europe-west1.gcp"],
    "certified": True,
    "documentationUrl": "https://acme.example/docs",
}


def endpoints(catalogue: Catalogue) -> list[Endpoint]:
    """The endpoints of this slice."""

    async def with_id(request: Request) -> Response:
        id_ = request.path["id"]
        found = await catalogue.with_id(id_.lower(), request.allowed.project)
        if found is None:
            raise ResourceNotFound(f"The Resource with id '{id_}' was not found.")
        return found

    async def with_key(request: Request) -> Response:
        key = request.path["key"]
        found = await catalogue.with_key(key, request.allowed.project)
        if found is None:
            raise ResourceNotFound(f"The Resource with key '{key}' was not found.")
        return found

    async def search(request: Request) -> Response:
        parameters: SearchParameters = request.query
        query = Query(
            text=parameters.text,
            private_only=parameters.private,
            company=None if parameters.company is UNSET else parameters.company,
            ids=parameters.id,
            keys=parameters.key,
            integration_types=parameters.integration_types,
            sort=tuple(map(parse_sort, parameters.sort)),
            offset=parameters.offset,
            limit=parameters.limit,
        )
        return await catalogue.search(query, request.allowed.project)

    return [
        Endpoint(
            method="GET",
            path="/connectors/{id}",
            summary="Get Connector by ID",
            tag="Connectors",
            permissions=VIEW_CONNECTORS,
            parameters={"id": Id},
            success=(200, Connector),
            errors=(ResourceNotFound,),
            example=_EXAMPLE,
            etag=True,
            at_hand=catalogue.at_hand,
            handler=with_id,
        ),
        Endpoint(
            method="GET",
            path="/connectors/key={key}",
            summary="Get Connector by Key",
            tag="Connectors",
            permissions=VIEW_CONNECTORS,
            parameters={"key": Key},
            success=(200, Connector),
            errors=(ResourceNotFound,),
            example=_EXAMPLE,
            etag=True,
            handler=with_key,
        ),
        Endpoint(
            method="GET",
            path="/connectors/search",
            summary="Search Connectors",
            description="Retrieves the Connectors that your Project can see and that pass all"
            " filters. The values of one filter are alternatives. Without `sort`, the newest come"
            " first; with `text`, those that have it in their name come before the others.",
            tag="Connectors",
            permissions=VIEW_CONNECTORS,
            query=SearchParameters,
            success=(200, ConnectorSearchPagedQueryResponse),
            errors=(InvalidQueryParam,),
            example={"offset": 0, "limit": 3, "total": 1, "count": 1, "results": [_EXAMPLE]},
            etag=True,
            handler=search,
        ),
    ]
