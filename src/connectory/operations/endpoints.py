"""Health, readiness and metrics."""

from msgspec import Struct

from connectory import __version__
from connectory.contract.errors import ServiceUnavailable
from connectory.http.answers import Response, of_json
from connectory.http.table import Endpoint, Request
from connectory.operations.metrics import Metrics
from connectory.operations.readiness import Readiness

_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Health(Struct, frozen=True):
    """That the process runs.

    Attributes:
        status: `up`, or `ready`.
        version: The version of Connectory.
    """

    status: str
    version: str


def endpoints(readiness: Readiness, metrics: Metrics) -> list[Endpoint]:
    """The endpoints of this slice."""

    async def health(_: Request) -> Response:
        return of_json(Health("up", __version__))

    async def ready(_: Request) -> Response:
        await readiness.check()
        return of_json(Health("ready", __version__))

    async def expose(_: Request) -> Response:
        from connectory.operations.exposition import exposition  # noqa: PLC0415 - it says why

        return Response(200, exposition(metrics), content_type=_METRICS_TYPE)

    return [
        Endpoint(
            method="GET",
            path="/health",
            summary="Whether the process runs",
            example={"status": "up", "version": __version__},
            tag="Operations",
            addition=True,
            permissions=None,
            success=(200, Health),
            handler=health,
        ),
        Endpoint(
            method="GET",
            path="/ready",
            summary="Whether the server is ready for requests",
            example={"status": "ready", "version": __version__},
            description="The database is reachable, its migrations are current, and the server is"
            " not shutting down.",
            tag="Operations",
            addition=True,
            permissions=None,
            success=(200, Health),
            errors=(ServiceUnavailable,),
            handler=ready,
        ),
        Endpoint(
            method="GET",
            path="/metrics",
            summary="Metrics for Prometheus",
            tag="Operations",
            addition=True,
            permissions=None,
            produces="text/plain",
            handler=expose,
        ),
    ]
