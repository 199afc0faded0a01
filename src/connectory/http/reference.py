"""The table described: `/openapi.json`, and `/docs` for people."""

from collections.abc import Sequence

from connectory.http.table import Endpoint


def endpoints(described: Sequence[Endpoint], *, version: str) -> list[Endpoint]:  # noqa: ARG001
    """The endpoints that describe the others and themselves."""
    return []
