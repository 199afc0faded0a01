"""What can be known of a Deployment whose row cannot be read, so that it can be deleted.

Each field of the document that can be read is taken, then what the columns beside it and the
releases tell. It is enough to end what runs, and the API Clients that were made for it; nobody may
deploy with it. (docs/decisions/0033-damaged-rows.md)
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs
from sqlalchemy import Connection

from connectory.contract.connectors import Creator, Repository
from connectory.contract.deployments import DeploymentConnector, DeploymentStatus, DeploymentType
from connectory.contract.releases import ReleaseOutcome
from connectory.contract.scalars import Region
from connectory.database.documents import Damaged
from connectory.deployments import store
from connectory.deployments.model import Deployment, Release
from connectory.deployments.transitions import STATUS, DeploymentEvent

#: Field by field; made here, since types that two threads use first are not safe.
_FIELDS: Final[Mapping[str, tuple[str, "msgspec.json.Decoder[Any]"]]] = {
    field.encode_name: (field.name, msgspec.json.Decoder(field.type))
    for field in structs.fields(Deployment)
}
_DOCUMENT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: Stands for the Connector where nothing tells which it was.
_UNKNOWN: Final = DeploymentConnector(
    id="00000000-0000-4000-8000-000000000000",
    version=1,
    name="unknown: the record of this Deployment is damaged",
    integration_types=(),
    creator=Creator(email="unknown@unknown.invalid"),
    repository=Repository(url="https://unknown.invalid/", tag="unknown"),
    certified=False,
)


def locked(connection: Connection, id_: str) -> tuple[Deployment | None, Damaged | None]:
    """A Deployment of any Project, locked; where it is damaged, what is known of it, and why."""
    try:
        return store.lock(connection, id_), None
    except Damaged as damaged:
        return _salvaged(connection, id_), damaged


def _salvaged(connection: Connection, id_: str) -> Deployment:
    """A Deployment that is there and cannot be read, as far as it is known."""
    row = store.row_of(connection, id_)
    told = _readable(row.document)
    releases = store.releases_of(connection, id_)
    latest = releases[0] if releases else None
    type_ = told.get("type", DeploymentType.SANDBOX)
    known: dict[str, Any] = {
        "type": type_,
        "staged": type_ is DeploymentType.PREVIEW,
        "region": Region(row.project.partition(":")[0]),
        "connector": latest.connector if latest else _UNKNOWN,
        "applications": latest.applications if latest else (),
        "releases": latest.number if latest else 0,
    }
    known |= told
    known |= _runs(known, releases)
    columns = ("id", "key", "project", "version", "created_at", "last_modified_at")
    known |= {name: getattr(row, name) for name in columns}
    status = DeploymentStatus(row.status)
    if status is DeploymentStatus.UNDEPLOYING:  # what does so cannot go on
        status = STATUS.after(status, DeploymentEvent.UNDEPLOY_FAILED)
    return Deployment(**known | {"status": status})


def _readable(text: str) -> dict[str, Any]:
    """The fields of a document that can be read, by their names."""
    found: dict[str, Any] = {}
    try:
        document = _DOCUMENT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return found
    for encoded, (name, decoder) in _FIELDS.items():
        if encoded in document:
            try:
                found[name] = decoder.decode(document[encoded])
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                continue
    return found


def _runs(known: Mapping[str, Any], releases: list[Release]) -> dict[str, Any]:
    """What may run, and with which API Clients, beside what the document tells."""
    applications = {each.id for each in known["applications"]}
    others = [each.id for release in releases for each in release.applications]
    others += known.get("retired", ())
    client = known.get("client")
    clients = {each.client.id: each.client for each in releases if each.client is not None}
    clients |= {each.id: each for each in known.get("retired_clients", ())}
    if client is not None:
        clients.pop(client.id, None)
    readable = {each.number for each in releases}
    deployed = [each.number for each in releases if each.outcome == ReleaseOutcome.DEPLOYED]
    serving = known.get("release", deployed[0] if deployed else None)
    return {
        "retired": tuple(dict.fromkeys(each for each in others if each not in applications)),
        "retired_clients": tuple(clients.values()),
        # preUndeploy scripts are those of the release that serves, where that can be read.
        "release": serving if serving in readable else None,
    }
