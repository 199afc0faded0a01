"""`connectory migrate`, `backup` and `restore`."""

from pathlib import Path
from typing import BinaryIO

import click
from sqlalchemy import Connection

from connectory.cli.installation import (
    as_json,
    migrate_embedded,
    opened,
    replacing,
    show,
    unprepared,
    with_settings,
)
from connectory.database import migration, sealed, serving
from connectory.database.backup import BackupError, restore_backup, write_backup
from connectory.database.engine import SQLITE_FILE
from connectory.database.secrets import SecretKeysError, keys_file
from connectory.kernel.clock import system_clock
from connectory.settings import Settings


@click.command()
@with_settings
def migrate(settings: Settings) -> None:
    """Bring the database to the schema of this program."""
    with unprepared(settings) as database:
        if database.is_sqlite:
            changed = migrate_embedded(database, settings)
        else:
            changed = migration.migrate(database)
    state = "migrated to" if changed else "is at"
    click.echo(f"the database {state} schema {migration.HEAD}")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@with_settings
def backup(settings: Settings, file: Path) -> None:
    """Write all that the database holds to FILE (- for standard output), while servers run.

    The backup is of one instant. `connectory restore` reads it into SQLite or PostgreSQL,
    whichever it comes from. It holds the hashes of secrets and tokens, and none of them itself;
    FILE is readable by its owner only. Secrets that the server needs again, as those of git
    repositories, are in it encrypted; the keys that they are encrypted with are not. The logs of
    Deployments are not in it.
    """
    if not settings.database_url and not (settings.data / SQLITE_FILE).exists():
        raise BackupError(f"there is no database in {settings.data}; --data names the folder")
    with (
        opened(settings) as database,
        replacing(file, mode=0o600) as target,
        database.read() as connection,
    ):
        rows = write_backup(connection, target, now=system_clock())
    click.echo(f"backed up {rows} rows", err=True)
    keys = keys_file(settings)
    if keys.exists():
        click.echo(f"the keys of secrets are not in it: keep {keys} in another place", err=True)


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--without-keys",
    is_flag=True,
    help="Restore even if secrets in it cannot be opened any more: the key ring is lost.",
)
@as_json
@with_settings
def restore(settings: Settings, file: BinaryIO, without_keys: bool, as_json: bool) -> None:
    """Read the backup FILE (- for standard input) into an empty installation that nobody serves.

    All of it or nothing is restored; what was written is read back and compared first. The
    database may be another than the backup comes from, SQLite or PostgreSQL. Clients keep their
    secrets, and tokens hold as long as they would have. The key ring of the installation that was
    backed up must be in its place first, if secrets were encrypted with it.
    """

    def check(connection: Connection) -> None:
        if without_keys:
            sealed.forget_lost(connection, settings)
        else:
            sealed.require_keys(connection, settings)

    with unprepared(settings) as database, serving.served_by_nobody(database, settings.data):
        try:
            restored = restore_backup(database, file, check)
        except SecretKeysError as error:
            raise SecretKeysError(
                f"{file.name}: {error}; nothing was restored (--without-keys restores the rest)"
            ) from error
        except BackupError as error:
            raise BackupError(f"{file.name}: {error}; nothing was restored") from error
    if as_json:
        show(restored)
    else:
        counts = ", ".join(f"{rows} {name}" for name, rows in restored.rows.items() if rows)
        click.echo(f"restored the backup of {restored.backup.at}: {counts or 'it is empty'}")
