"""One line of an import or export: a Connector as the API shows it, and what goes beside it."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Row

from connectory.contract.connectors import ConnectorContent
from connectory.contract.decoding import DecodingError, decode_json, refuse_unknown, shape_of
from connectory.contract.scalars import Id, ProjectIdentifier
from connectory.kernel.clock import from_datetime, to_rfc3339

Instant = Annotated[datetime, Meta(tz=True)]


class _Line(ConnectorContent, frozen=True, kw_only=True):
    """A line as it is written; `version` is counted here and cannot be given."""

    id: Id | UnsetType = UNSET
    private: bool = False
    certified: bool = False
    private_projects: tuple[ProjectIdentifier, ...] | UnsetType = UNSET
    owner: ProjectIdentifier | UnsetType = UNSET
    created_at: Instant | UnsetType = UNSET
    last_modified_at: Instant | UnsetType = UNSET


class Line(Struct, frozen=True, kw_only=True):
    """A line as it is kept: None for what was left out."""

    #: In lower case.
    id: str | None
    key: str | None
    #: A ConnectorContent as canonical JSON: equal content is equal text.
    content: str
    #: A sorted JSON array.
    private_projects: str | None
    owner: str | None
    #: Microseconds since 1970.
    created_at: int | None
    last_modified_at: int | None


_decoder = msgspec.json.Decoder(_Line)
_shape = shape_of(msgspec.inspect.type_info(_Line))
_encoder = msgspec.json.Encoder()
_CONTENT_FIELDS = ConnectorContent.__struct_fields__


def read_line(text: bytes) -> Line:
    """Read one line.

    Raises:
        DecodingError: it is not JSON or not a Connector; with the path of the fault.
    """
    line = decode_json(text, _decoder)
    refuse_unknown(msgspec.json.decode(text), _shape)
    if line.id is UNSET and line.key is UNSET:
        raise DecodingError("", "a Connector is named by `id` or `key`; this one has neither")
    if not line.name.strip():
        raise DecodingError("name", "a Connector's name cannot be empty")
    created_at = None if line.created_at is UNSET else from_datetime(line.created_at)
    modified_at = None if line.last_modified_at is UNSET else from_datetime(line.last_modified_at)
    if created_at is not None and modified_at is not None and modified_at < created_at:
        raise DecodingError("lastModifiedAt", "it lies before createdAt")
    content = ConnectorContent(**{name: getattr(line, name) for name in _CONTENT_FIELDS})
    return Line(
        id=None if line.id is UNSET else line.id.lower(),
        key=None if line.key is UNSET else line.key,
        content=_text(content),
        private_projects=None
        if line.private_projects is UNSET
        else _text(sorted(set(line.private_projects))),
        owner=None if line.owner is UNSET else line.owner,
        created_at=created_at,
        last_modified_at=modified_at,
    )


def write_line(row: Row[Any]) -> str:
    """Write a row of `store.exported` as a line, without its end."""
    beside: dict[str, Any] = {
        "privateProjects": msgspec.Raw(row.private_projects.encode()),
        "createdAt": to_rfc3339(row.created_at),
        "lastModifiedAt": to_rfc3339(row.last_modified_at),
    }
    if row.owner is not None:
        beside["owner"] = row.owner
    return f'{{"id":"{row.id}",{row.content[1:-1]},{_text(beside)[1:]}'


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()
