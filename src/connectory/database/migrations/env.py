"""Alembic's environment: runs the scripts inside the transaction that the caller opened."""

from alembic import context

from connectory.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
