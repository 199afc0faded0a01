"""The JSON Schema of connect.yaml, for editors."""

import msgspec

from connectory.http.answers import Response, tag_of
from connectory.http.table import Endpoint, Request
from connectory.specification import schema

_TYPE = "application/schema+json"


def endpoints() -> list[Endpoint]:
    """The endpoints of this slice."""
    made: list[Response] = []

    async def show(_: Request) -> Response:
        if not made:
            body = msgspec.json.format(msgspec.json.encode(schema.document()), indent=2)
            made.append(Response(200, body, content_type=_TYPE.encode(), etag=tag_of(body)))
        return made[0]

    return [
        Endpoint(
            method="GET",
            path=schema.PATH,
            summary="The JSON Schema of connect.yaml",
            description="Draft 2020-12, for editors: it completes names, and marks what is wrong"
            " while somebody writes.",
            tag="Schemas",
            addition=True,
            permissions=None,
            produces=_TYPE,
            etag=True,
            handler=show,
        ),
    ]
