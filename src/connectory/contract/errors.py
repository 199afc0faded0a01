"""Every error that an answer can carry, with its code, message and HTTP status.

    ApiError
    ├── InvalidJsonInput             400
    ├── InvalidQueryParam            400
    ├── InvalidPathParam             400
    ├── ResourceNotFound             404
    │   └── NoSuchPath               404
    ├── ConcurrentModification       409
    ├── DuplicateField               400
    ├── GitRepositoryNotReachable    400
    ├── ConnectorSpecificationFileNotFound           400
    ├── ConnectorSpecificationFileNotValid           400
    ├── ConnectorStagedNotPrivate                    400
    ├── ConnectorStagedPreviewRequestUnderProcess    400
    ├── ConnectorStagedInCertification               400
    ├── ConnectorAlreadyCertified                    400
    ├── ConnectorStagedNotPreviewable                400
    ├── ConnectorReferenceNotFound                   400
    ├── DeploymentInvalidType                        400
    ├── DeploymentProductionDeactivated              400
    ├── DeploymentUnsupportedRegion                  400
    ├── DeploymentUnknownApplicationConfiguration    400
    ├── DeploymentUnknownApplicationConfigurationKey 400
    ├── DeploymentUnknownGlobalConfigurationKey      400
    ├── DeploymentMissingGlobalConfigurationKey      400
    ├── DeploymentEmptyRequiredGlobalConfigurationKey 400
    ├── DeploymentApplicationRequired                400
    ├── DeploymentApplicationDoNotBelong             400
    ├── DeploymentConnectorUpdateFailure             400
    ├── DeploymentInvalidStatusTransition            400
    ├── DeploymentApplicationDoesNotExist            400
    ├── DeploymentLogInvalidDate                     400
    ├── DeploymentLogInvalidPageToken                400
    ├── DeploymentLogMissingApplicationName          400
    ├── AuthorizationError           403
    ├── General                      500
    ├── OAuthError                   the OAuth fields `error`, `error_description` as well
    │   ├── InvalidToken             401
    │   ├── AuthenticationError      401  invalid_client
    │   ├── InvalidRequest           400
    │   ├── InvalidScope             400
    │   └── UnsupportedGrantType     400
    └── Uncontracted                 codes that the contract lacks: docs/differences.md
        ├── ConnectorStagedInProcess 400
        ├── CertificationRequired    400
        ├── ConnectorNotListed       400
        ├── ReviewNotPossible        400
        ├── ReviewTaken              400
        ├── LimitExceeded            400
        ├── JobRunUnderWay           409
        ├── MethodNotAllowed         405
        ├── NotAcceptable            406
        ├── RequestTimeout           408
        ├── PayloadTooLarge          413
        ├── UriTooLong               414
        ├── UnsupportedMediaType     415
        ├── TooManyRequests          429
        ├── RequestHeadersTooLarge   431
        └── ServiceUnavailable       503
    ApiErrors                        several of one status in one answer

Source: RAML `types/error/*.raml`; statuses as in the digest of behaviour. One body for all:
`{"statusCode", "message", "errors": [{"code", "message", …}]}`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

Headers = tuple[tuple[str, str], ...]


class ApiError(Exception):
    """An error of the contract, raised anywhere, rendered in one place (`http.answers`)."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = ""

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, *, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        #: Error-specific additional fields, as the contract names them.
        self.details = dict(details or {})
        #: Response headers that this error brings along.
        self.headers = headers

    def as_object(self) -> dict[str, Any]:
        """The ErrorObject of this error."""
        return {"code": self.code, "message": self.message, **self.details}


class ApiErrors(Exception):
    """Several errors of the same status, answered together."""

    def __init__(self, errors: Sequence[ApiError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


class InvalidJsonInput(ApiError):
    """The body is not JSON, or not of the expected shape."""

    code = "InvalidJsonInput"

    def __init__(self, detailed: str) -> None:
        super().__init__(
            "Request body does not contain valid JSON.", {"detailedErrorMessage": detailed}
        )


class InvalidQueryParam(ApiError):
    """A query parameter has a value out of range, of the wrong type, or unknown."""

    code = "InvalidQueryParam"

    def __init__(self, detailed: str) -> None:
        super().__init__("Request query param is not valid", {"detailedErrorMessage": detailed})


class InvalidPathParam(ApiError):
    """A path parameter cannot be an id or a key."""

    code = "InvalidPathParam"

    def __init__(self, detailed: str) -> None:
        super().__init__("Request path param is not valid", {"detailedErrorMessage": detailed})


class ResourceNotFound(ApiError):
    """What the URL names does not exist, or not for this project."""

    status = 404
    code = "ResourceNotFound"


class NoSuchPath(ResourceNotFound):
    """No endpoint has this path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The path '{path}' does not exist; /docs lists those that do")


class ConcurrentModification(ApiError):
    """Somebody else changed it since it was read."""

    status = 409
    code = "ConcurrentModification"

    def __init__(self, name: str, expected: int, current: int) -> None:
        super().__init__(
            f"Object {name} has a different version than expected."
            f" Expected: {expected} - Actual: {current}",
            {"expectedVersion": expected, "currentVersion": current},
        )


class DuplicateField(ApiError):
    """A value that must be unique is taken."""

    code = "DuplicateField"

    def __init__(self, field: str, value: str) -> None:
        super().__init__(
            f"A duplicate value {value} exists for field {field}.",
            {"field": field, "duplicateValue": value},
        )


class GitRepositoryNotReachable(ApiError):
    """The repository or its tag cannot be had."""

    code = "GitRepositoryNotReachable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Repository with the tag is not reachable", {"detailedErrorMessage": reason}
        )


class ConnectorSpecificationFileNotFound(ApiError):
    """The repository has no connect.yaml at its root."""

    code = "ConnectorSpecificationFileNotFound"

    def __init__(self, url: str, tag: str, detailed: str) -> None:
        super().__init__(
            f"The file connect.yaml at {url} with the tag {tag} was not found",
            {"detailedErrorMessage": detailed},
        )


class ConnectorSpecificationFileNotValid(ApiError):
    """connect.yaml has faults; all are told: path, line, column, what to do."""

    code = "ConnectorSpecificationFileNotValid"

    def __init__(self, url: str, tag: str, detailed: str) -> None:
        super().__init__(
            f"The file connect.yaml at {url} with the tag {tag} is not valid",
            {"detailedErrorMessage": detailed},
        )


class ConnectorStagedNotPrivate(ApiError):
    """The Connector is public: it exists for every Project."""

    code = "ConnectorStagedNotPrivate"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The operation is not valid because ConnectorStaged with {name} is not private"
        )


class ConnectorStagedPreviewRequestUnderProcess(ApiError):
    """A preview was requested before and is being checked."""

    code = "ConnectorStagedPreviewRequestUnderProcess"

    def __init__(self) -> None:
        super().__init__("The ConnectorStaged preview request is already in progress")


class ConnectorStagedInCertification(ApiError):
    """Certification was requested before and is under way."""

    code = "ConnectorStagedInCertification"

    def __init__(self) -> None:
        super().__init__("The ConnectorStaged is already in certification")


class ConnectorAlreadyCertified(ApiError):
    """There is nothing to certify: the certified Connector is the same."""

    code = "ConnectorAlreadyCertified"

    def __init__(self) -> None:
        super().__init__("The ConnectorStaged is already certified")


class ConnectorStagedNotPreviewable(ApiError):
    """The ConnectorStaged that is to be deployed is not previewable."""

    code = "ConnectorStagedNotPreviewable"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"Connector {name} with version {version} is not previewable")


class ConnectorReferenceNotFound(ApiError):
    """There is no such Connector or ConnectorStaged for the Project."""

    code = "ConnectorReferenceNotFound"

    def __init__(self, identifier: str, version: int | None) -> None:
        super().__init__(f"Connector '{identifier}' with version {version or 'latest'} not found")


class DeploymentInvalidType(ApiError):
    """What is referenced cannot be deployed as this type."""

    code = "DeploymentInvalidType"

    def __init__(self, name: str, type_: str, allowed: str) -> None:
        super().__init__(
            f"The Connector {name} cannot be deployed as a '{type_}' type."
            f" Only '{allowed}' types are allowed."
        )


class DeploymentProductionDeactivated(ApiError):
    """The Project is not one for production."""

    code = "DeploymentProductionDeactivated"

    def __init__(self) -> None:
        super().__init__(
            "Deployments to production are disabled for this Project."
            " Please contact support to enable production deployments."
        )


class DeploymentUnsupportedRegion(ApiError):
    """The Connector cannot be deployed in this region."""

    code = "DeploymentUnsupportedRegion"

    def __init__(self, region: str) -> None:
        super().__init__(f"Deployment unsupported region {region}")


class DeploymentUnknownApplicationConfiguration(ApiError):
    """The Connector has no application of this name."""

    code = "DeploymentUnknownApplicationConfiguration"

    def __init__(self, application: str) -> None:
        super().__init__(
            f"Deployment does not require configuration for application named '{application}'."
        )


class DeploymentUnknownApplicationConfigurationKey(ApiError):
    """The application declares no such key, or declares it in the other list."""

    code = "DeploymentUnknownApplicationConfigurationKey"

    def __init__(self, kind: str, key: str, application: str) -> None:
        super().__init__(
            f"Deployment does not require {kind} configuration with key {key}"
            f" for application named {application}."
        )


class DeploymentUnknownGlobalConfigurationKey(ApiError):
    """The Connector declares no such key for all applications."""

    code = "DeploymentUnknownGlobalConfigurationKey"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"Deployment global configuration does not require {kind} with key {key}.")


class DeploymentMissingGlobalConfigurationKey(ApiError):
    """A value that all applications need is missing."""

    code = "DeploymentMissingGlobalConfigurationKey"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"Deployment global configuration requires {kind} with key {key}.")


class DeploymentEmptyRequiredGlobalConfigurationKey(ApiError):
    """A value that all applications need is empty."""

    code = "DeploymentEmptyRequiredGlobalConfigurationKey"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(
            f"Deployment requires a non empty value for {kind} global configuration with key {key}."
        )


class DeploymentApplicationRequired(ApiError):
    """The Connector has no application that could be deployed."""

    code = "DeploymentApplicationRequired"

    def __init__(self) -> None:
        super().__init__("A Deployment requires at least one application")


class DeploymentApplicationDoNotBelong(ApiError):
    """A redeploy has values for an application that the Deployment does not have."""

    code = "DeploymentApplicationDoNotBelong"

    def __init__(self, name: str, application: str) -> None:
        super().__init__(f"Deployment with {name} does not include application: {application}")
        self.application = application


class DeploymentConnectorUpdateFailure(ApiError):
    """The latest version of the Connector cannot take the place of the deployed one."""

    code = "DeploymentConnectorUpdateFailure"

    def __init__(self, name: str, connector: str, cause: str) -> None:
        super().__init__(
            f"Deployment with {name} failed while trying to update Connector {connector}"
            f" (cause: {cause})"
        )


class DeploymentInvalidStatusTransition(ApiError):
    """A deploy or undeploy is under way."""

    code = "DeploymentInvalidStatusTransition"

    def __init__(self, status: str) -> None:
        super().__init__(f"Invalid status change: Already {status.lower()}")


class DeploymentApplicationDoesNotExist(ApiError):
    """The Deployment has no application of this name."""

    code = "DeploymentApplicationDoesNotExist"

    def __init__(self, application: str) -> None:
        super().__init__(f"Deployment does not have an application named {application}.")


class DeploymentLogInvalidDate(ApiError):
    """A date cannot be read, lies too far back, or the end comes before the start."""

    code = "DeploymentLogInvalidDate"

    def __init__(self, detailed: str) -> None:
        super().__init__("Invalid start/end date", {"detailedErrorMessage": detailed})


class DeploymentLogInvalidPageToken(ApiError):
    """The page token is none that a page of this query gave."""

    code = "DeploymentLogInvalidPageToken"

    def __init__(self, token: str) -> None:
        super().__init__(f"Invalid page token: {token}")


class DeploymentLogMissingApplicationName(ApiError):
    """The log of this Deployment is read for one application at a time."""

    code = "DeploymentLogMissingApplicationName"

    def __init__(self) -> None:
        super().__init__("Missing application name when fetching deployment logs")


class AuthorizationError(ApiError):
    """The token's scopes do not reach this endpoint or this project."""

    status = 403
    code = "AuthorizationError"

    def __init__(self) -> None:
        super().__init__("Access denied")


class General(ApiError):
    """A fault of ours."""

    status = 500
    code = "General"

    def __init__(self) -> None:
        super().__init__(
            "The server failed to answer; its log tells why under the correlation id of this answer"
        )


class OAuthError(ApiError):
    """An error that carries the OAuth fields beside the contract's (RFC 6749 §5.2)."""

    error: ClassVar[str] = ""


class InvalidToken(OAuthError):
    """No token, or one that is unknown, expired or revoked (RFC 6750 §3.1)."""

    status = 401
    code = "invalid_token"
    error = "invalid_token"

    def __init__(self) -> None:
        super().__init__(
            "invalid_token",
            headers=(("www-authenticate", 'Bearer realm="connectory", error="invalid_token"'),),
        )


class AuthenticationError(OAuthError):
    """The client is unknown, its secret wrong, or it sent neither."""

    status = 401
    code = "AuthenticationError"
    error = "invalid_client"

    def __init__(self) -> None:
        super().__init__(
            "Bad credentials or Client ID is not defined",
            headers=(("www-authenticate", 'Basic realm="connectory"'),),
        )


class InvalidRequest(OAuthError):
    """A request to an OAuth endpoint lacks or repeats a parameter."""

    code = "invalid_request"
    error = "invalid_request"


class InvalidScope(OAuthError):
    """A scope was asked for that is malformed or that the client does not hold."""

    code = "invalid_scope"
    error = "invalid_scope"


class UnsupportedGrantType(OAuthError):
    """Only `client_credentials` is granted here."""

    code = "unsupported_grant_type"
    error = "unsupported_grant_type"


class Uncontracted(ApiError):
    """An error for which the contract has no code; each is listed in docs/differences.md."""


class ConnectorStagedInProcess(Uncontracted):
    """A request is under way; until it ends, only comments on the certification are taken."""

    code = "ConnectorStagedInProcess"

    def __init__(self, name: str, status: str) -> None:
        super().__init__(
            f"The ConnectorStaged with {name} cannot be changed while its status is {status};"
            " only addCertificationComment is possible"
        )


class CertificationRequired(Uncontracted):
    """Publishing privately would put unreviewed code in the place of reviewed code."""

    code = "CertificationRequired"

    def __init__(self) -> None:
        super().__init__(
            "The current version of the Connector is certified: publish with certification true"
        )


class ConnectorNotListed(Uncontracted):
    """There is nothing to unlist."""

    code = "ConnectorNotListed"

    def __init__(self, name: str) -> None:
        super().__init__(f"The Connector with {name} is not listed")


class ReviewNotPossible(Uncontracted):
    """What a reviewer asks for does not fit the status of the ConnectorStaged."""

    code = "ReviewNotPossible"

    def __init__(self, name: str, act: str, status: str) -> None:
        super().__init__(
            f"The ConnectorStaged with {name} cannot be {act} while its status is {status}"
        )


class ReviewTaken(Uncontracted):
    """Another reviewer has taken the ConnectorStaged."""

    code = "ReviewTaken"

    def __init__(self, name: str, reviewer: str) -> None:
        super().__init__(
            f"The ConnectorStaged with {name} was taken by {reviewer},"
            " who is the one to approve or reject it"
        )


class JobRunUnderWay(Uncontracted):
    """A run of the job waits or is under way; there are never two."""

    status = 409
    code = "JobRunUnderWay"

    def __init__(self, application: str) -> None:
        super().__init__(f"A run of the job {application} is under way already; wait for its end")


class LimitExceeded(Uncontracted):
    """The Project has as much as the operator allows it."""

    code = "LimitExceeded"


class DeploymentInvalidRetryPolicy(Uncontracted):
    """A retry policy that connect.yaml could not have (release notes of 2026-10-23)."""

    code = "DeploymentInvalidRetryPolicy"

    def __init__(self, application: str, fault: str) -> None:
        super().__init__(f"The retry policy of application '{application}' is not valid: {fault}")


class DeploymentRetryPolicyOverrideNotAllowed(Uncontracted):
    """Only event applications have a retry policy (release notes of 2026-10-23)."""

    code = "DeploymentRetryPolicyOverrideNotAllowed"

    def __init__(self, application: str) -> None:
        super().__init__(
            f"Application '{application}' cannot have a retry policy: it is no event application"
        )


class MethodNotAllowed(Uncontracted):
    """The path exists, for other methods."""

    status = 405
    code = "MethodNotAllowed"

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        allow = ", ".join(allowed)
        super().__init__(
            f"{method} is not supported for {path}; use {allow}", headers=(("allow", allow),)
        )


class NotAcceptable(Uncontracted):
    """The Accept header rules out what this endpoint produces."""

    status = 406
    code = "NotAcceptable"


class RequestTimeout(Uncontracted):
    """The body did not arrive in time."""

    status = 408
    code = "RequestTimeout"


class PayloadTooLarge(Uncontracted):
    """The body is larger than the limit."""

    status = 413
    code = "PayloadTooLarge"


class UriTooLong(Uncontracted):
    """Path and query are longer than the limit."""

    status = 414
    code = "UriTooLong"


class UnsupportedMediaType(Uncontracted):
    """The Content-Type or Content-Encoding is not one that this endpoint reads."""

    status = 415
    code = "UnsupportedMediaType"


class TooManyRequests(Uncontracted):
    """Slow down; Retry-After says for how many seconds."""

    status = 429
    code = "TooManyRequests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, headers=(("retry-after", str(retry_after)),))


class RequestHeadersTooLarge(Uncontracted):
    """All request headers together are larger than the limit."""

    status = 431
    code = "RequestHeadersTooLarge"


class ServiceUnavailable(Uncontracted):
    """The database cannot be reached, or the server is shutting down; try again."""

    status = 503
    code = "ServiceUnavailable"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, headers=(("retry-after", str(retry_after)),))


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A single error; further fields depend on its code.

    Attributes:
        code: Which error it is.
        message: What is wrong, in words.
        detailed_error_message: What exactly is wrong, and where in the request.
    """

    code: str
    message: str
    detailed_error_message: str | msgspec.UnsetType = msgspec.UNSET


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of every error answer.

    Attributes:
        status_code: The HTTP status of the answer.
        message: The message of the first error.
        errors: Every error that was found; all have this status.
        error: The error as OAuth 2.0 calls it; on 401 and on the OAuth endpoints only.
        error_description: What is wrong, as OAuth 2.0 has it; there too.
    """

    status_code: int
    message: str
    errors: tuple[ErrorObject, ...]
    error: str | msgspec.UnsetType = msgspec.UNSET
    error_description: str | msgspec.UnsetType = msgspec.field(
        name="error_description", default=msgspec.UNSET
    )
