"""The table described: `/openapi.json` for programs, `/docs` for people.

Both are made at the first request, so that a start does not wait for them, and kept.
"""

import functools
import re
from collections.abc import Sequence

import msgspec

from connectory.http import openapi, page
from connectory.http.answers import Response, tag_of
from connectory.http.schemas import Json
from connectory.http.table import Endpoint, Request

#: Pages kept, one for each address under which the server was asked.
_PAGES = 8
#: What an address on the page can look like; a Host header can be anything.
_is_origin = re.compile(r"https?://[\w.:\[\]-]+(/[\w./-]*)?").fullmatch


def endpoints(described: Sequence[Endpoint], *, version: str) -> list[Endpoint]:
    """The endpoints that describe the others and themselves."""

    @functools.cache
    def document() -> Json:
        return openapi.document([*described, *own], version=version)

    @functools.cache
    def encoded() -> Response:
        body = msgspec.json.encode(document())
        return Response(200, body, etag=tag_of(body))

    @functools.lru_cache(maxsize=_PAGES)
    def rendered(origin: str) -> Response:
        body = page.render(document(), origin).encode()
        return Response(
            200,
            body,
            content_type=b"text/html; charset=utf-8",
            etag=tag_of(body),
            headers=(
                # The page shows the address that it was asked under: not for a shared cache.
                (b"cache-control", b"private, no-cache"),
                (b"content-security-policy", page.CONTENT_SECURITY_POLICY.encode()),
                (b"referrer-policy", b"no-referrer"),
                (b"x-content-type-options", b"nosniff"),
            ),
        )

    async def describe(_: Request) -> Response:
        return encoded()

    async def show(request: Request) -> Response:
        return rendered(request.origin if _is_origin(request.origin) else "http://localhost")

    own = [
        Endpoint(
            method="GET",
            path="/openapi.json",
            summary="The API as an OpenAPI document",
            description="OpenAPI 3.1, made from the table that the server answers by.",
            tag="Reference",
            permissions=None,
            handler=describe,
            etag=True,
            addition=True,
        ),
        Endpoint(
            method="GET",
            path="/docs",
            summary="The API as a page to read",
            description="This page. It stands alone: it loads nothing and runs no script.",
            tag="Reference",
            permissions=None,
            produces="text/html",
            handler=show,
            etag=True,
            addition=True,
        ),
    ]
    return own
