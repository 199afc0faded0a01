"""`connectory migrate`, `backup` and `restore`."""

import click

from connectory.cli.installation import migrate_embedded, unprepared, with_settings
from connectory.database import migration
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
