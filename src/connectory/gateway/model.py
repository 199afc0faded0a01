"""Where a request to an application goes: the route table of the gateway."""

from pathlib import Path

from msgspec import Struct


class Route(Struct, frozen=True, kw_only=True):
    """One application, as the gateway knows it.

    Attributes:
        application_id: The `id` of the ApplicationDeployment.
        deployment_id: Whose it is.
        application: Its name.
        slug: 24 lower-case letters and digits: the application's part of a host name.
        prefix: `service`, `assets`, `mc-app` or `mc-view`: what comes before it.
        static: The folder that is served; None: the application's process answers.
    """

    application_id: str
    deployment_id: str
    application: str
    slug: str
    prefix: str
    static: Path | None = None


class Exchange(Struct, frozen=True, kw_only=True):
    """A request that was answered, for the application's log (`HTTP_REQUEST`)."""

    route: Route
    method: str
    #: As the caller spelled it, scheme and host included.
    url: str
    status: int
    user_agent: str
    seconds: float
    request_bytes: int
    response_bytes: int
    correlation_id: str
    remote_ip: str
