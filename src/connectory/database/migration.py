"""Migrations: bring a database to the schema of this program, or refuse one that is newer.

The scripts under `migrations/versions` are Alembic's. The program knows its own revision as a
constant, so that a start on a current database costs one query and not Alembic's import. An empty
database is given the newest schema at once, without the scripts: a test holds the two together.
"""

from pathlib import Path

import sqlalchemy

from connectory.database.engine import Database
from connectory.database.tables import feed, metadata
from connectory.kernel import ids

#: The newest migration; a test compares it with the scripts.
HEAD = "0006"

_ADVISORY_LOCK = 7070
_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaMismatch(Exception):
    """The database's schema is not this program's; the message says what to do."""


def current_revision(connection: sqlalchemy.Connection) -> str | None:
    """The revision the database is at; None for one without tables."""
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    query = sqlalchemy.text("SELECT version_num FROM alembic_version")
    return connection.execute(query).scalar_one_or_none()


def require_current_revision(connection: sqlalchemy.Connection) -> None:
    """Make sure that the schema is this program's.

    Raises:
        SchemaMismatch: migrations are missing, or a newer program made them.
    """
    revision = current_revision(connection)
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise SchemaMismatch(
            f"the database is at schema {revision}, newer than the {HEAD} of this program;"
            " run the program that migrated it, or a newer one"
        )
    raise SchemaMismatch(
        f"the database is at schema {revision or 'none'}, this program needs {HEAD};"
        " run `connectory migrate`"
    )


def require_current(database: Database) -> None:
    """Make sure that the schema is this program's (see `require_current_revision`)."""
    with database.read() as connection:
        require_current_revision(connection)


def is_current(database: Database) -> bool:
    """Whether the schema is this program's."""
    with database.read() as connection:
        return current_revision(connection) == HEAD


def migrate(database: Database) -> bool:
    """Run the migrations that are missing; whether there were any.

    Several nodes may call this at once: the first one does the work.

    Raises:
        SchemaMismatch: a newer program migrated this database, or it is somebody else's.
    """
    with database.read() as connection:
        if not _is_behind(connection):
            return False
    with database.write() as connection:
        return upgrade(connection)


def upgrade(connection: sqlalchemy.Connection) -> bool:
    """Run the migrations that are missing in the caller's transaction (see `migrate`)."""
    if connection.dialect.name == "postgresql":
        # Held to the commit: a second node waits here and then finds nothing to do.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    if not _is_behind(connection):
        return False
    if current_revision(connection) is None:
        _create(connection)
    else:
        _run_scripts(connection)
    return True


def _create(connection: sqlalchemy.Connection) -> None:
    """Make what all scripts make, one after the other, in an empty database."""
    version = sqlalchemy.Table(
        "alembic_version",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("version_num", sqlalchemy.String(32), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    version.create(connection, checkfirst=False)
    connection.execute(version.insert().values(version_num=HEAD))
    metadata.create_all(connection, checkfirst=False)
    connection.execute(feed.insert().values(id=1, epoch=ids.new_id(), head=0))


def _run_scripts(connection: sqlalchemy.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 150 ms that a current database never needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_behind(connection: sqlalchemy.Connection) -> bool:
    revision = current_revision(connection)
    if revision is not None and revision > HEAD:
        require_current_revision(connection)
    if revision is None:
        strangers = metadata.tables.keys() & sqlalchemy.inspect(connection).get_table_names()
        if strangers:
            raise SchemaMismatch(
                f"the database has a table '{min(strangers)}' that Connectory did not make;"
                " give it a database of its own"
            )
    return revision != HEAD
