"""How a node knows that it is the only one: by the locks that mark a database as served."""

from pathlib import Path

from connectory.database import serving
from connectory.database.engine import Database
from tests.work.pieces import until


def alone(database: Database) -> bool:
    with database.read() as connection:
        return serving.is_served_by_one(connection)


def test_a_node_is_alone_until_another_serves_the_same_database(database, tmp_path: Path):
    with serving.being_served(database, tmp_path):
        assert alone(database)
        if not database.is_sqlite:  # there a second is refused
            with serving.being_served(database, tmp_path):
                assert not alone(database)
            until(lambda: alone(database))  # PostgreSQL ends a session after its client has gone
