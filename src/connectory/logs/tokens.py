"""Page tokens: where a page ended, bound to the query that it is a page of.

A token holds an instant and an id, and a digest of them and of the query. The digest has no key:
who makes a token up gets to another place in a log that they may read anyway.
"""

import base64
import hashlib
import re
from typing import Any, Final

import msgspec

from connectory.contract.errors import DeploymentLogInvalidPageToken

_DIGEST_BYTES: Final = 9
_is_position = re.compile(r"(\d{1,18})\.(\d{1,18})\.([0-9a-f]{18})").fullmatch

#: The instant and the id of an entry.
Position = tuple[int, int]


def token_of(position: Position, query: Any) -> str:
    """The token of the page after an entry; `query` is anything that JSON can spell."""
    text = f"{position[0]}.{position[1]}.{_digest(position, query)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(token: str, query: Any) -> Position:
    """The entry after which the page of a token begins.

    Raises:
        DeploymentLogInvalidPageToken: it is none of this query.
    """
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        found = _is_position(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except ValueError:
        found = None
    if found is not None:
        position = (int(found[1]), int(found[2]))
        if _digest(position, query) == found[3] and token_of(position, query) == token:
            return position
    raise DeploymentLogInvalidPageToken(token)


def _digest(position: Position, query: Any) -> str:
    text = msgspec.json.encode((position, query))
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()
