"""The wire types of a Deployment's log.

Source: RAML `types/deployment/DeploymentLog*.raml`, `types/common.raml`.
"""

import enum
from typing import Any

from connectory.contract.connectors import Wire


class DeploymentLogType(enum.StrEnum):
    """What an entry of the log is."""

    HTTP_REQUEST = "HTTP_REQUEST"  #: A request that the application answered.
    APPLICATION_TEXT = "APPLICATION_TEXT"  #: A line that it printed.
    APPLICATION_JSON = "APPLICATION_JSON"  #: A line that it printed and that is a JSON object.


class DeploymentLogSeverity(enum.StrEnum):
    """The severity of the log message, from the least to the gravest."""

    DEFAULT = "DEFAULT"  #: None is assigned.
    DEBUG = "DEBUG"  #: Debug or trace information.
    INFO = "INFO"  #: Routine information.
    NOTICE = "NOTICE"  #: Normal, but significant.
    WARNING = "WARNING"  #: It might cause problems.
    ERROR = "ERROR"  #: It is likely to cause problems.
    CRITICAL = "CRITICAL"  #: It causes more severe problems, or outages.
    ALERT = "ALERT"  #: A person must take an action immediately.
    EMERGENCY = "EMERGENCY"  #: One or more systems are unusable.


class DeploymentLog(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """An entry of the log of a Deployment.

    Attributes:
        type: What it is.
        deployment_id: Id of the Deployment.
        application_name: Name of the application.
        severity: How grave it is.
        timestamp: When it came (UTC).
        details: Of a text `{"message"}`, of a JSON line the object, of a request `requestMethod`,
            `requestUrl`, `status`, `userAgent`, `latency`, `remoteIp` and others.
    """

    type: DeploymentLogType
    deployment_id: str
    application_name: str
    severity: DeploymentLogSeverity
    timestamp: str
    details: Any


class DeploymentLogCursorPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of the log, oldest entries first.

    Attributes:
        data: The entries.
        next: The `pageToken` of the next page; "" on the last one.
    """

    data: tuple[DeploymentLog, ...]
    next: str
