"""The commerce projects that API Clients are made in: the operator's file of them.

It is TOML, a table for each Project of Connectory's, and holds secrets: others may not read it.
"""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from connectory.kernel.prepared import prepared

_MOST_BYTES = 2**20
_OTHERS = stat.S_IROTH | stat.S_IWOTH


class CommerceFileError(ValueError):
    """The file of commerce projects cannot be used; the message says why."""


class CommerceProject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Access to a commerce project.

    Attributes:
        api_url: Where its HTTP API answers.
        auth_url: Where tokens for it are had.
        client_id: An API Client of it that holds `manage_api_clients`.
        client_secret: Its secret.
    """

    api_url: str
    auth_url: str
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret: Annotated[str, Meta(min_length=1)]


_FILE: Final = prepared(dict[str, CommerceProject])


def read_commerce_projects(path: Path | None) -> Mapping[str, CommerceProject]:
    """The commerce projects of a file, by `region:projectKey`; none without a file.

    Raises:
        CommerceFileError: the file cannot be read, others may read it, or it says what it cannot.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CommerceFileError(
            f"the file of commerce projects {path} cannot be read: {error.strerror}"
        ) from None
    if mode & _OTHERS:
        raise CommerceFileError(
            f"the file of commerce projects {path} has secrets, and every user of this machine may"
            f" read or change it: `chmod 600 {path}`"
        )
    try:
        return _parsed(text)
    except ValueError as error:
        raise CommerceFileError(f"the file of commerce projects {path} is wrong: {error}") from None


def _parsed(text: bytes) -> Mapping[str, CommerceProject]:
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
    try:
        found = msgspec.convert(tomllib.loads(text.decode()), _FILE)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    for name, project in found.items():
        region, _, key = name.partition(":")
        if not region or not key:
            raise ValueError(f'a table is named as in ["europe-west1.gcp:my-project"]: {name!r}')
        for url in (project.api_url, project.auth_url):
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{name}: {url!r} does not start with http:// or https://")
    return {
        name: msgspec.structs.replace(
            each, api_url=each.api_url.rstrip("/"), auth_url=each.auth_url.rstrip("/")
        )
        for name, each in found.items()
    }
