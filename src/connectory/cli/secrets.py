"""`connectory secrets`: the key ring that secrets in the database are encrypted with."""

import click

from connectory.cli.installation import actor, as_json, opened, show, table, with_settings
from connectory.database import audit, sealed, serving
from connectory.database.audit import Act
from connectory.database.secrets import (
    SecretKeysError,
    add_key,
    drop_keys,
    ensured_fingerprints,
    fingerprints,
    keys_file,
    load_key_ring,
)
from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.settings import Settings


@click.group()
def secrets() -> None:
    """Show, rotate and prune the keys that secrets in the database are encrypted with."""


@secrets.command("list")
@as_json
@with_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List the keys by their fingerprints, the one that encrypts first; never the keys."""
    with opened(settings) as database, database.read() as connection:
        uses, first_uses = sealed.uses(connection), sealed.first_uses(connection)
    ring = fingerprints(settings)
    known = dict.fromkeys((*ring, *first_uses))
    if as_json:
        show(
            [
                {
                    "fingerprint": each,
                    "inRing": each in ring,
                    "secrets": uses[each],
                    "firstUsedAt": to_rfc3339(first_uses[each]) if each in first_uses else None,
                }
                for each in known
            ]
        )
    elif known:
        rows = [
            (
                each,
                "encrypts" if each in ring[:1] else "in the ring" if each in ring else "missing",
                str(uses[each]),
            )
            for each in known
        ]
        table([("KEY", "STATE", "SECRETS"), *rows])
    else:
        click.echo(f"there is no key yet; the first start makes {keys_file(settings)}")


@secrets.command()
@as_json
@with_settings
def rotate(settings: Settings, as_json: bool) -> None:
    """Make a new key, and encrypt all secrets anew with it; servers may run meanwhile.

    The keys before it stay in the ring, so that what they encrypted can be read, until `connectory
    secrets prune` removes them. The file that CONNECTORY_SECRET_KEYS_FILE names is yours: put a new
    first line into it on every node, and this command encrypts all secrets anew with that.
    """
    own = settings.secret_keys_file is None
    now = system_clock()
    with opened(settings) as database, serving.one_by_one(settings.data):
        with database.read() as connection:
            sealed.require_keys(connection, settings)
        fingerprint = add_key(settings) if own else ensured_fingerprints(settings)[0]
        ring = load_key_ring(settings)
        done = []
        for column in sealed.SEALED:
            with database.write() as connection:
                sealed.note(connection, fingerprint, now)
                done.append(sealed.reseal(connection, column, ring))
        with database.write() as connection:
            audit.record(
                connection,
                Act(
                    at=now,
                    actor=actor(),
                    action="database:secrets:rotate",
                    subject=fingerprint,
                    details={each.table: each.sealed for each in done},
                ),
            )
    file = keys_file(settings)
    if as_json:
        show({"fingerprint": fingerprint, "keysFile": str(file), "resealed": done})
    else:
        told = "made the key" if own else f"{file} is yours: encrypted with its first key"
        counts = ", ".join(f"{each.sealed} of {each.table}" for each in done if each.sealed)
        click.echo(f"{told} {fingerprint}; secrets encrypted anew: {counts or 'none'}")
    if failed := sum(each.failed for each in done):
        raise SecretKeysError(
            f"{failed} secrets could not be opened, and stay as they are; `connectory secrets list`"
            " shows of which keys"
        )


@secrets.command()
@click.option(
    "--lost", is_flag=True, help="Give up the secrets of keys that are not in the ring any more."
)
@with_settings
def prune(settings: Settings, lost: bool) -> None:
    """Remove keys from the ring that nothing is encrypted with.

    Do so a minute after `rotate` or later, so that whatever was being written is written.
    """
    with opened(settings) as database, serving.one_by_one(settings.data):
        if lost:
            with database.write() as connection:
                given_up = sealed.forget_lost(connection, settings)
            click.echo(f"given up: {', '.join(given_up) or 'nothing, no key is missing'}")
            return
        with database.write() as connection:
            uses = sealed.uses(connection)
            unused = [each for each in fingerprints(settings)[1:] if not uses[each]]
            if settings.secret_keys_file is None and unused:
                drop_keys(settings, unused)
                sealed.forget(connection, unused)
    if not unused:
        click.echo("nothing to remove: every key is needed")
    elif settings.secret_keys_file is None:
        click.echo(f"removed {', '.join(unused)}")
    else:
        click.echo(
            f"{settings.secret_keys_file} is yours: nothing is encrypted with"
            f" {', '.join(unused)}; remove them on every node"
        )
