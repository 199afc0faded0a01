"""The database: engine, tables, migrations, the change feed, backup.

SQLite (WAL) by default, PostgreSQL by URL, through SQLAlchemy Core in worker threads. Slices get
a `Database` and use its `read()` and `write()` transactions; what they write lives in their own
`store` modules.
"""
