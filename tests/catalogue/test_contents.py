"""What versions of Connectors say of themselves, read many at a time."""

from typing import Any

import pytest
import sqlalchemy

from connectory.catalogue import store
from connectory.database.engine import Database
from tests.harness import Installation, connector


def test_of_many_connectors_just_the_versions_asked_for_are_read(
    installation: Installation, database: Database
) -> None:
    installation.import_lines([connector("one", name="Old"), connector("two")])
    installation.import_lines([connector("one", name="New")])
    with database.read() as connection:
        ids = {
            row.key: row.id
            for row in connection.execute(sqlalchemy.text("SELECT id, key FROM connectors"))
        }
        absent = ("5ab3edcd-9d23-4934-8f48-256805253119", 1)
        asked = [(ids["one"], 1), (ids["two"], 1), absent, (ids["two"], 2)]
        found = store.contents(connection, asked)
    assert set(found) == {(ids["one"], 1), (ids["two"], 1)}
    assert '"name":"Old"' in found[ids["one"], 1]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_no_table_is_read_whole_for_it(database: Database) -> None:
    statements: list[tuple[str, Any]] = []

    @sqlalchemy.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    with database.read() as connection:
        store.contents(connection, [("5ab3edcd-9d23-4934-8f48-256805253119", n) for n in range(20)])
        statement, values = statements[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    steps = [row.detail for row in plan]
    assert any(step.startswith("SEARCH v USING INDEX") for step in steps), steps
    assert not any(step.startswith(("SCAN v", "SCAN connector_versions")) for step in steps), steps
