"""The endpoint table as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0.html).

Nothing is written down twice: types and their constraints come from the structs, what fields mean
from the structs' docstrings (`Attributes:`) or `Meta`, and errors from what an endpoint declares
and from what it is by nature. `/openapi.json` is this document, `/docs` a page made of it.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Final

import msgspec

from connectory.contract import errors
from connectory.contract.errors import ApiError
from connectory.contract.scopes import Permission
from connectory.http import answers, bodies, schemas
from connectory.http.schemas import Json, Schemas
from connectory.http.table import Endpoint

ADDITION: Final = schemas.ADDITION
#: The pattern of a text that can be anything (see `http.schemas`); a page need not show it.
TEXT_PATTERN: Final = schemas.TEXT_PATTERN
_CORRELATION_ID: Final = "X-Correlation-ID"

_DESCRIPTION: Final = """\
The published Connect API, and what Connectory adds to it; an addition is marked by
`x-connectory-addition`.

Every answer has an `X-Correlation-ID`, and every error the one body of `ErrorResponse`. HEAD works
wherever GET does. An answer with an `ETag` can be asked for on the condition `If-None-Match`.
Parameters and fields that an endpoint does not know are ignored."""

_SCOPES: Final[Mapping[Permission, str]] = {
    Permission.MANAGE_PROJECT: "Everything that the other scopes allow, but for API Clients.",
    Permission.MANAGE_CONNECTORS: "Create, change and publish ConnectorStaged.",
    Permission.VIEW_CONNECTORS: "Read and search Connectors and ConnectorStaged.",
    Permission.MANAGE_CONNECTORS_DEPLOYMENTS: "Create, redeploy and delete Deployments.",
    Permission.VIEW_CONNECTORS_DEPLOYMENTS: "Read Deployments and their logs.",
    Permission.MANAGE_API_CLIENTS: "Have a Deployment generate an API Client.",
}

_URL: Final = "https://github.com/acme/payments.git"
_NAMED: Final = "id=5ab3edcd-9d23-4934-8f48-256805253119 or key=connector-key"

#: One error of each kind, for the examples.
_EXAMPLES: Final[Mapping[type[ApiError], ApiError]] = {
    type(example): example
    for example in (
        errors.DeploymentInvalidRetryPolicy(
            "mail-sender", "minBackoffSeconds must be less than or equal to maxBackoffSeconds"
        ),
        errors.DeploymentRetryPolicyOverrideNotAllowed("payments"),
        errors.InvalidJsonInput("version: Object missing required field `version`"),
        errors.ConnectorReferenceNotFound("acme-payments", 7),
        errors.ConnectorStagedNotPreviewable("id=… or key=acme-payments", 3),
        errors.DeploymentInvalidType("id=… or key=acme-payments", "preview", "sandbox|production"),
        errors.DeploymentProductionDeactivated(),
        errors.DeploymentUnsupportedRegion("us-central1.gcp"),
        errors.DeploymentUnknownApplicationConfiguration("other"),
        errors.DeploymentUnknownApplicationConfigurationKey("secret", "TOKEN", "payments"),
        errors.DeploymentUnknownGlobalConfigurationKey("standard", "REGION"),
        errors.DeploymentMissingGlobalConfigurationKey("standard", "REGION"),
        errors.DeploymentEmptyRequiredGlobalConfigurationKey("secret", "TOKEN"),
        errors.DeploymentApplicationRequired(),
        errors.DeploymentApplicationDoNotBelong("id=… or key=acme-payments-live", "other"),
        errors.DeploymentConnectorUpdateFailure(
            "id=… or key=acme-payments-live",
            "id=… or key=acme-payments",
            "application 'payments' needs a value for the secret key 'TOKEN'",
        ),
        errors.DeploymentInvalidStatusTransition("Deploying"),
        errors.InvalidQueryParam("limit: expected a whole number from 0 to 500, got '501'"),
        errors.InvalidPathParam("key: 'a key' does not match ^[A-Za-z0-9_-]{2,256}$"),
        errors.ResourceNotFound("The Resource with key 'connector-key' was not found."),
        errors.ConcurrentModification(_NAMED, 3, 4),
        errors.DuplicateField("key", "connector-key"),
        errors.GitRepositoryNotReachable("the repository has no tag and no branch v1.0.1"),
        errors.ConnectorSpecificationFileNotFound(
            _URL, "v1.0.0", "There is no connect.yaml at the root of the repository"
        ),
        errors.ConnectorSpecificationFileNotValid(
            _URL, "v1.0.0", "deployAs.0.endpoint (line 2, column 5): a service has an endpoint"
        ),
        errors.ConnectorStagedNotPrivate(_NAMED),
        errors.ConnectorStagedPreviewRequestUnderProcess(),
        errors.ConnectorStagedInCertification(),
        errors.ConnectorAlreadyCertified(),
        errors.ConnectorStagedInProcess(_NAMED, "Processing"),
        errors.CertificationRequired(),
        errors.ConnectorNotListed(_NAMED),
        errors.ReviewNotPossible(_NAMED, "approved", "ReadyForCertification"),
        errors.ReviewTaken(_NAMED, "operator:ann"),
        errors.DeploymentApplicationDoesNotExist("service"),
        errors.DeploymentLogInvalidDate("endDate: 'soon' is no date such as 2026-01-31T08:30:00Z"),
        errors.DeploymentLogInvalidPageToken("MTcuMQ"),
        errors.DeploymentLogMissingApplicationName(),
        errors.JobRunUnderWay("stock-import"),
        errors.LimitExceeded("This Project has 1000 ConnectorStaged, and may have no more"),
        errors.AuthorizationError(),
        errors.General(),
        errors.InvalidToken(),
        errors.AuthenticationError(),
        errors.InvalidRequest("The parameter grant_type is missing"),
        errors.InvalidScope("'publish' is not a scope"),
        errors.UnsupportedGrantType("The grant type 'password' is not supported"),
        errors.NotAcceptable("This endpoint answers with application/json"),
        errors.RequestTimeout("The body did not arrive within 30 seconds"),
        errors.PayloadTooLarge("The body has more than the 1048576 bytes taken"),
        errors.UriTooLong("Path and query have more than the 16384 bytes taken"),
        errors.UnsupportedMediaType("Send the body as application/json in UTF-8"),
        errors.TooManyRequests("Too many wrong secrets for this client; wait", 5),
        errors.RequestHeadersTooLarge("The headers have more than the 32768 bytes taken"),
        errors.ServiceUnavailable("The database cannot be reached; try again in a moment"),
    )
}


def document(endpoints: Sequence[Endpoint], *, version: str) -> Json:
    """Describe a table; `version` is the program's."""
    types = Schemas(endpoints)
    responses: Json = {}
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, types, responses)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Connectory",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document came from."}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in endpoints)],
        "paths": paths,
        "components": {
            "schemas": types.components,
            "responses": dict(sorted(responses.items())),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _security_schemes(),
        },
    }


def possible_errors(endpoint: Endpoint) -> dict[int, list[type[ApiError]]]:
    """The errors that an endpoint can answer with, by status: its own and those of its kind."""
    found = list(endpoint.errors)
    if endpoint.parameters:
        found += [errors.InvalidPathParam, errors.ResourceNotFound]
    if endpoint.query is not None:
        found.append(errors.InvalidQueryParam)
    if endpoint.permissions is not None:
        found += [errors.InvalidToken, errors.AuthorizationError, errors.TooManyRequests]
    if endpoint.operators:
        found.append(errors.InvalidToken)
    if endpoint.body is not None:
        form = endpoint.body_type == bodies.FORM
        found += [
            errors.InvalidRequest if form else errors.InvalidJsonInput,
            errors.RequestTimeout,
            errors.PayloadTooLarge,
            errors.UnsupportedMediaType,
        ]
    if endpoint.guarded or endpoint.body is not None:
        # An open endpoint that takes nothing asks no database, unless it declares this itself.
        found.append(errors.ServiceUnavailable)
    found += [
        errors.NotAcceptable,
        errors.UriTooLong,
        errors.RequestHeadersTooLarge,
        errors.General,
    ]
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in sorted(dict.fromkeys(found), key=lambda each: each.status):
        by_status.setdefault(error.status, []).append(error)
    return by_status


def _operation(endpoint: Endpoint, types: Schemas, responses: Json) -> Json:
    operation: Json = {
        "operationId": _operation_id(endpoint),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.description,
        ADDITION: endpoint.addition,
        "security": _security(endpoint),
        "parameters": [*types.path_parameters(endpoint), *types.query_parameters(endpoint)],
        "responses": {
            str(endpoint.success[0]): _success(endpoint),
            **({"304": {"$ref": "#/components/responses/NotModified"}} if endpoint.etag else {}),
        },
    }
    operation["parameters"].append({"$ref": "#/components/parameters/CorrelationId"})
    if endpoint.etag:
        operation["parameters"].append({"$ref": "#/components/parameters/IfNoneMatch"})
        responses["NotModified"] = {
            "description": "The answer is the one whose entity tag was sent.",
            "headers": _headers("ETag"),
        }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {endpoint.body_type: {"schema": types.body(endpoint)}},
        }
    for status, kinds in possible_errors(endpoint).items():
        oauth = endpoint.oauth_errors
        name = ("OAuth" if oauth else "") + "Or".join(kind.__name__ for kind in kinds)
        responses[name] = _failure(status, kinds, oauth=oauth)
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    return {
        name: value
        for name, value in operation.items()
        if value or name in ("security", "responses")
    }


def _operation_id(endpoint: Endpoint) -> str:
    """A name made of method and path: `getConnectorsByKey` for `GET /connectors/key={key}`."""
    words = re.findall(r"({?)(\w+)(?!=)\b", endpoint.path)
    named = (("By" if brace else "") + word[0].upper() + word[1:] for brace, word in words)
    return endpoint.method.lower() + "".join(named)


def _security(endpoint: Endpoint) -> list[Json]:
    """Alternatives: any one of the scopes; a client's secret, or none; nothing at all.

    An operator's token is the only way in where it is one.
    """
    if endpoint.operators:
        return [{"operator": []}]
    if endpoint.permissions is not None:
        held = [each for each in Permission if each in endpoint.permissions]
        return [{"oauth2": [_scope(permission)]} for permission in held]
    if errors.AuthenticationError in endpoint.errors:
        # The client's id and secret can be in the form as well, which OpenAPI has no word for.
        return [{"client": []}, {}]
    return []


def _scope(permission: Permission) -> str:
    return f"{permission}:{{projectKey}}"


def _security_schemes() -> Json:
    return {
        "oauth2": {
            "type": "oauth2",
            "description": "A token of an API Client, which belongs to one Project.",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "/oauth/token",
                    "scopes": {_scope(each): meaning for each, meaning in _SCOPES.items()},
                }
            },
        },
        "client": {
            "type": "http",
            "scheme": "basic",
            "description": "Id and secret of an API Client; they can be in the form instead.",
        },
        "operator": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of an operator, which `connectory operator create` shows once."
            " It opens what is under `/operator/`, and nothing else does.",
        },
    }


def _success(endpoint: Endpoint) -> Json:
    status, struct = endpoint.success
    content: Json = {"schema": {"type": "string"}}
    if struct is not None:
        content = {"schema": schemas.reference(struct)}
    elif endpoint.produces.endswith(("/json", "+json")):
        content = {"schema": {"type": "object"}}
    if endpoint.example is not None:
        content["example"] = endpoint.example
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers(*(["ETag"] if endpoint.etag else [])),
        "content": {endpoint.produces: content},
    }


def _failure(status: int, kinds: Sequence[type[ApiError]], *, oauth: bool) -> Json:
    meanings = [f"`{kind.code}`: {cleandoc(kind.__doc__ or '')}" for kind in kinds]
    names = {name.lower() for kind in kinds for name, _ in _EXAMPLES[kind].headers}
    extra = [name for name in _HEADERS if name.lower() in names]
    return {
        "description": f"{HTTPStatus(status).phrase}. " + "\n\n".join(meanings),
        "headers": _headers(*extra),
        "content": {
            "application/json": {
                "schema": schemas.reference(errors.ErrorResponse),
                "examples": {kind.code: {"value": example_of(kind, oauth=oauth)} for kind in kinds},
            }
        },
    }


def example_of(kind: type[ApiError], *, oauth: bool = False) -> Json:
    """The body of an answer with such an error; with `oauth`, one of an OAuth endpoint."""
    body: Json = msgspec.json.decode(answers.of_error(_EXAMPLES[kind], oauth=oauth).body)
    return body


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (_CORRELATION_ID, *names)}


def _header(description: str, kind: str = "string") -> Json:
    return {"description": description, "required": True, "schema": {"type": kind}}


_HEADERS: Final[Json] = {
    _CORRELATION_ID: _header("Names this answer in the server's log."),
    "ETag": _header("Entity tag of this answer, for `If-None-Match`."),
    "WWW-Authenticate": _header("The way to authenticate."),
    "Retry-After": _header("After how many seconds to try again.", "integer"),
}
_PARAMETERS: Final[Json] = {
    "CorrelationId": {
        "name": _CORRELATION_ID,
        "in": "header",
        "description": "Names the request in the server's log; without one of 1 to 256 letters,"
        " digits and `._~:/+=@-`, the server makes its own.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Entity tags that the client has: the answer to one of them is 304.",
        "schema": {"type": "string"},
    },
}
