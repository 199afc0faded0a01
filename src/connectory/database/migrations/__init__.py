"""Alembic's scripts; `connectory.database.migration` runs them."""
