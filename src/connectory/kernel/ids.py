"""Identifiers and secrets.

Ids are random UUIDs (version 4): the official client accepts versions 1 to 5 only. Client ids
have 24 and client secrets 32 characters, because starter connectors exit at start on any other
length.
"""

import hashlib
import secrets
import string
import uuid

CLIENT_ID_LENGTH = 24
CLIENT_SECRET_LENGTH = 32

_ALPHABET = string.ascii_letters + string.digits
_HOST_ALPHABET = string.ascii_lowercase + string.digits


def new_id() -> str:
    """A random UUID, version 4, in its canonical lower-case spelling."""
    return str(uuid.uuid4())


def new_client_id() -> str:
    """24 random letters and digits."""
    return _random_text(CLIENT_ID_LENGTH)


def new_client_secret() -> str:
    """32 random letters and digits: 190 bits."""
    return _random_text(CLIENT_SECRET_LENGTH)


def new_token() -> str:
    """An opaque access token of 43 URL-safe characters: 256 bits."""
    return secrets.token_urlsafe(32)


def new_slug() -> str:
    """24 random lower-case letters and digits, which may be part of a host name."""
    return "".join(secrets.choice(_HOST_ALPHABET) for _ in range(CLIENT_ID_LENGTH))


def digest(secret: str) -> str:
    """The hash under which a machine-made secret is stored: SHA-256, in hexadecimal.

    A slow password hash would protect guessable secrets; these have 190 bits and more, which no
    hash rate reaches (docs/decisions/0004-secrets-are-hashed-with-sha-256.md).
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
