"""The endpoints of operators: what waits for a reviewer, and what reviewers do.

They take an operator's token, and no Project's. All are additions to the published interface.
"""

from typing import Annotated

from msgspec import Meta, Struct

from connectory.contract import errors
from connectory.contract.certification import (
    CertificationPagedQueryResponse,
    CertificationUpdate,
)
from connectory.contract.scalars import Id
from connectory.contract.staged import ConnectorStaged
from connectory.http.answers import Response, of_json
from connectory.http.table import Endpoint, Request
from connectory.staging.certification import Certifications, case
from connectory.staging.model import shown

_TAG = "Certification"


class CertificationQueryParameters(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a query of certifications takes."""

    limit: Annotated[int, Meta(ge=0, le=500, description="Number of results requested.")] = 20
    offset: Annotated[int, Meta(ge=0, le=10_000, description="Number of results skipped.")] = 0


_STAGED = {
    "id": "5ab3edcd-9d23-4934-8f48-256805253119",
    "key": "acme-payments",
    "version": 5,
    "name": "Acme Payments",
    "description": "Takes payments through Acme.",
    "integrationTypes": ["psp"],
    "creator": {"email": "connect@acme.example", "company": "Acme"},
    "repository": {"url": "https://github.com/acme/payments.git", "tag": "v1.4.0"},
    "configurations": [],
    "private": True,
    "privateProjects": [],
    "supportedRegions": ["europe-west1.gcp"],
    "status": "InCertification",
    "alreadyListed": False,
    "hasChanges": False,
    "isPreviewable": "none",
    "waitingFor": {"what": "operator:ann", "since": "2026-01-31T08:30:00.123Z"},
}
_CASE = {
    "project": "europe-west1.gcp:acme-shop",
    "commit": "8f3b0c6d1e2a4f5b9c7d8e0f1a2b3c4d5e6f7a8b",
    "reviewer": "operator:ann",
    "since": "2026-01-31T08:30:00.123Z",
    "connectorStaged": _STAGED,
}


def endpoints(certifications: Certifications) -> list[Endpoint]:
    """The endpoints of operators in this slice."""

    async def query(request: Request) -> Response:
        parameters: CertificationQueryParameters = request.query
        waiting = await certifications.waiting()
        page = waiting[parameters.offset : parameters.offset + parameters.limit]
        return of_json(
            CertificationPagedQueryResponse(
                offset=parameters.offset,
                limit=parameters.limit,
                total=len(waiting),
                count=len(page),
                results=tuple(map(case, page)),
            )
        )

    async def review(request: Request) -> Response:
        body: CertificationUpdate = request.body
        reviewer = request.operator.actor
        after = await certifications.review(request.path["id"].lower(), body, reviewer)
        return of_json(shown(after), 201)

    return [
        Endpoint(
            method="GET",
            path="/operator/certifications",
            summary="Query certifications",
            description="What waits for a reviewer or is with one, of all Projects; what waits"
            " longest comes first.",
            tag=_TAG,
            permissions=None,
            operators=True,
            query=CertificationQueryParameters,
            success=(200, CertificationPagedQueryResponse),
            example={"offset": 0, "limit": 20, "total": 1, "count": 1, "results": [_CASE]},
            addition=True,
            handler=query,
        ),
        Endpoint(
            method="POST",
            path="/operator/certifications/{id}",
            summary="Take, approve or reject a certification, or comment on it",
            description="Costs one version. Who has taken it is the one who approves or rejects"
            " it. An approved Connector is there for everybody when this answers.",
            tag=_TAG,
            permissions=None,
            operators=True,
            parameters={"id": Id},
            body=CertificationUpdate,
            success=(201, ConnectorStaged),
            errors=(
                errors.ResourceNotFound,
                errors.ConcurrentModification,
                errors.ReviewNotPossible,
                errors.ReviewTaken,
            ),
            example=_STAGED,
            addition=True,
            handler=review,
        ),
    ]
