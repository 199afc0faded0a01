"""Where the database has sealed secrets, and with which keys of the ring (`database.secrets`).

A column with secrets in it is in `SEALED`. From that follow what a start and a restore make sure of
(every key that sealed something is in the ring), what a rotation seals anew, and which keys are not
needed any more.

The keys that nodes have sealed with are known by their fingerprints, in `secret_keys`. That a key
has sealed something is looked up where it is missed. Fingerprints are told to nobody, so no value
of a client can look as if it were sealed.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, delete, select, text

from connectory.database.engine import Database
from connectory.database.secrets import (
    FORMAT,
    KeyRing,
    SecretKeysError,
    ensured_fingerprints,
    fingerprints,
    keys_file,
)
from connectory.database.tables import deployments, git_credentials, releases, webhooks
from connectory.database.tables import secret_keys as keys_table
from connectory.settings import Settings

_is_sealed = re.compile(rf"{FORMAT}\.([0-9a-f]{{16}})\.[A-Za-z0-9_-]+={{0,2}}")


class Sealed(Struct, frozen=True, kw_only=True):
    """A column of texts that are sealed secrets, or have some in them, as JSON documents do.

    Attributes:
        column: The column.
        owner: What the secrets of a row are bound to, as they were sealed.
    """

    column: Column[str]
    owner: Callable[[Mapping[str, Any]], str]


class Resealed(Struct, frozen=True, kw_only=True):
    """What became of the secrets of a table: how many were sealed anew, how many cannot be."""

    table: str
    sealed: int
    failed: int


def owner_of(table: str, *values: str) -> str:
    """What a secret of a row is bound to: in another row it cannot be opened."""
    return f"{table}:{json.dumps(values)}"


#: Every column with sealed secrets in it. Whoever adds one adds it here.
SEALED = (
    Sealed(
        column=git_credentials.c.sealed,
        owner=lambda row: owner_of("git_credentials", row["id"], row["project"], row["prefix"]),
    ),
    Sealed(
        column=webhooks.c.sealed,
        owner=lambda row: owner_of("webhooks", row["id"], row["project"], row["url"]),
    ),
    Sealed(column=deployments.c.document, owner=lambda row: f"deployments:{row['id']}"),
    Sealed(column=releases.c.document, owner=lambda row: f"deployments:{row['deployment_id']}"),
)


def begin(database: Database, settings: Settings, now: int) -> None:
    """Make sure of the keys at a start, make a ring where there is none, and note what seals.

    Raises:
        SecretKeysError: a key is missing (see `require_keys`), or the ring cannot be used.
    """
    with database.read() as connection:
        require_keys(connection, settings)
        known = first_uses(connection)
    fingerprint = ensured_fingerprints(settings)[0]
    if fingerprint not in known:
        with database.write() as connection:
            note(connection, fingerprint, now)


def note(connection: Connection, fingerprint: str, now: int) -> None:
    """Keep in mind that a key seals from now on."""
    insert = text(
        "INSERT INTO secret_keys (fingerprint, first_used_at) VALUES (:fingerprint, :now)"
        " ON CONFLICT DO NOTHING"
    )
    connection.execute(insert, {"fingerprint": fingerprint, "now": now})


def require_keys(connection: Connection, settings: Settings) -> None:
    """Make sure that every key that has sealed something is in the ring.

    Raises:
        SecretKeysError: one is not; the message says what to do.
    """
    file = keys_file(settings)
    missing = _missing(connection, settings)
    for fingerprint in missing:
        if count := _mentions(connection, fingerprint):
            raise SecretKeysError(
                f"{count} rows of the database have secrets sealed with the key {fingerprint},"
                f" which is not in the key ring {file}: put the key ring of this installation"
                " there (backups leave it out), or give these secrets up with"
                " `connectory secrets prune --lost`"
            )


def first_uses(connection: Connection) -> dict[str, int]:
    """The fingerprints of keys that were noted, and when: microseconds since 1970."""
    rows = connection.execute(select(keys_table).order_by(keys_table.c.first_used_at))
    return {row.fingerprint: row.first_used_at for row in rows}


def uses(connection: Connection) -> Counter[str]:
    """How many secrets there are of each key, by its fingerprint."""
    found: Counter[str] = Counter()
    for sealed in SEALED:
        for value in connection.execute(select(sealed.column)).scalars():
            found.update(_is_sealed.findall(value))
    return found


def reseal(connection: Connection, sealed: Sealed, ring: KeyRing) -> Resealed:
    """Seal all secrets of a column with the ring's first key.

    What no key of the ring opens stays as it is. It has failed where its key was noted; else it is
    a text of somebody's that looks like a secret.
    """
    noted = first_uses(connection)
    table = sealed.column.table
    keys = list(table.primary_key.columns)
    query = select(table).order_by(*keys).with_for_update()
    counts: Counter[str] = Counter()
    for mapping in connection.execute(query).mappings().all():
        row = {str(name): value for name, value in mapping.items()}
        before = row[sealed.column.name]
        after = _resealed(before, sealed.owner(row), ring, noted, counts)
        if after != before:
            connection.execute(
                table.update()
                .where(*(key == row[key.name] for key in keys))
                .values({sealed.column.name: after})
            )
    return Resealed(table=f"{table.name}", sealed=counts["sealed"], failed=counts["failed"])


def forget(connection: Connection, forgotten: Iterable[str]) -> None:
    """Forget keys that were noted, by their fingerprints."""
    wanted = keys_table.c.fingerprint.in_(list(forgotten))
    connection.execute(delete(keys_table).where(wanted))


def forget_lost(connection: Connection, settings: Settings) -> list[str]:
    """Give up what was sealed with keys that are not in the ring; their fingerprints."""
    missing = _missing(connection, settings)
    forget(connection, missing)
    return missing


def _missing(connection: Connection, settings: Settings) -> list[str]:
    recorded = first_uses(connection)
    if not recorded:
        return []
    present = fingerprints(settings)
    return [fingerprint for fingerprint in recorded if fingerprint not in present]


def _mentions(connection: Connection, fingerprint: str) -> int:
    """How many rows have something that a key sealed."""
    found = 0
    for sealed in SEALED:
        query = select(sealed.column).where(sealed.column.contains(f"{FORMAT}.{fingerprint}."))
        found += len(connection.execute(query).all())
    return found


def _resealed(
    value: str, owner: str, ring: KeyRing, noted: Container[str], counts: Counter[str]
) -> str:
    first = ring.fingerprint

    def again(found: re.Match[str]) -> str:
        if found[1] == first:
            return found[0]
        try:
            secret = ring.open(found[0], owner)
        except SecretKeysError:
            counts["failed"] += found[1] in noted
            return found[0]
        counts["sealed"] += 1
        return ring.seal(secret, owner)

    return _is_sealed.sub(again, value)
