"""Import and export: all lines or none, every fault told, versions kept."""

import getpass
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from connectory.catalogue import store
from connectory.catalogue.importing import import_connectors
from connectory.database import feed
from connectory.database.engine import Database, open_database
from connectory.database.tables import connectors
from tests.harness import COMMAND, Installation, connector


def exported(installation: Installation) -> list[dict[str, object]]:
    return [json.loads(line) for line in installation.run("export", "-").stdout.splitlines()]


def history(database: Database, key: str) -> list[tuple[int, str]]:
    """(version, name) of every version of a Connector."""
    with database.read() as connection:
        row = connection.execute(connectors.select().where(connectors.c.key == key)).one()
        return [
            (each.version, json.loads(each.content)["name"])
            for each in store.history(connection, row.id)
        ]


def test_importing_a_file_twice_changes_nothing(installation: Installation) -> None:
    lines = [connector("one"), connector("two", privateProjects=["europe-west1.gcp:shop"])]
    assert installation.import_lines(lines) == "imported: 2 new, 0 changed, 0 unchanged\n"
    before = exported(installation)
    assert installation.import_lines(lines) == "imported: 0 new, 0 changed, 2 unchanged\n"
    assert exported(installation) == before
    (act,) = installation.run_json("audit")
    assert (act["actor"], act["action"]) == (f"command:{getpass.getuser()}", "catalogue:import")
    assert act["details"] == {"created": 2, "changed": 0, "unchanged": 0}


def test_an_export_imports_to_the_same(installation: Installation, tmp_path: Path) -> None:
    installation.import_lines(
        [
            connector("one", createdAt="2024-05-06T07:08:09.123456Z"),
            connector(
                "two", private=True, owner="us-central1.gcp:me", documentationUrl="https://x"
            ),
        ]
    )
    file = tmp_path / "catalogue.jsonl"
    installation.run("export", str(file))
    assert "2 unchanged" in installation.run("import", str(file)).stdout
    other = Installation(tmp_path / "other")
    other.run("import", str(file))
    again = tmp_path / "again.jsonl"
    other.run("export", str(again))
    assert again.read_text() == file.read_text()


def test_a_changed_line_is_a_new_version_and_the_old_one_is_kept(
    installation: Installation, database: Database
) -> None:
    installation.import_lines([connector("one"), connector("two")])
    said = installation.import_lines([connector("one", name="Better"), connector("two")])
    assert said == "imported: 0 new, 1 changed, 1 unchanged\n"
    assert history(database, "one") == [(1, "The one Connector"), (2, "Better")]
    assert history(database, "two") == [(1, "The two Connector")]


def test_a_bad_line_is_named_and_nothing_is_imported(installation: Installation) -> None:
    lines = [json.dumps(connector(f"c{number}")) for number in range(1, 10)]
    lines[6] = json.dumps(connector("c7", creator={"email": 5}))
    lines[8] = "{nonsense"
    done = installation.run("import", "-", stdin="\n".join(lines), expect=1)
    assert done.stderr.splitlines() == [
        "<stdin>: line 7: creator.email: Expected `str`, got `int`",
        "<stdin>: line 9: not JSON: JSON is malformed: object keys must be strings (byte 1)",
        "connectory: nothing was imported: 2 faults, told above",
    ]
    assert exported(installation) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"key": None}, "key: Expected `str`, got `null`"),
        ({"key": "a"}, "key: Expected `str` of length >= 2"),
        ({"version": 3}, "Object contains unknown field `version`"),
        ({"descripton": "x"}, "Object contains unknown field `descripton`"),
        (
            {"creator": {"email": "a@b.example", "mail": "x"}},
            "creator: Object contains unknown field `mail`",
        ),
        ({"name": " "}, "name: a Connector's name cannot be empty"),
        ({"name": "a\0b"}, "a text has the character U+0000 in it"),
        ({"name": "a\ud800"}, "not JSON: JSON is malformed: unexpected end of escaped utf-16"),
        ({"integrationTypes": ["taxes"]}, "integrationTypes[0]: Invalid enum value 'taxes'"),
        ({"privateProjects": ["shop"]}, "privateProjects[0]: Expected `str` matching regex"),
        ({"createdAt": "2024-01-01T00:00:00"}, "createdAt: Expected `datetime` with a timezone"),
        (
            {"createdAt": "2024-01-02T00:00:00Z", "lastModifiedAt": "2024-01-01T00:00:00Z"},
            "lastModifiedAt: it lies before createdAt",
        ),
        ({"id": "7"}, "id: Expected `str` matching regex"),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_faults_are_told_with_their_path(
    database: Database, line: dict[str, object], fault: str
) -> None:
    faults: list[str] = []
    with pytest.raises(ValueError, match="nothing was imported: 1 fault, told above"):
        import_connectors(
            database,
            [json.dumps(connector("good") | line).encode()],
            actor="test",
            now=0,
            fault=lambda found: faults.append(str(found)),
        )
    assert len(faults) == 1
    assert faults[0].startswith(f"line 1: {fault}")


def test_a_connector_is_named_once_in_a_file(installation: Installation) -> None:
    installation.import_lines([connector("one")])
    id_ = exported(installation)[0]["id"]
    without_key = {name: value for name, value in connector("x").items() if name != "key"}
    assert "line 2: key: 'one' is on line 1 already" in installation.import_lines(
        [connector("one"), connector("one", name="Again")], expect=1
    )
    assert f"line 2: it names the Connector {id_}, as line 1 does" in installation.import_lines(
        [connector("one"), without_key | {"id": id_}], expect=1
    )


def test_a_line_by_id_keeps_the_key_and_one_by_key_the_id(installation: Installation) -> None:
    installation.import_lines([connector("one", owner="europe-west1.gcp:shop")])
    before = exported(installation)[0]
    without_key = {name: value for name, value in connector("one").items() if name != "key"}
    said = installation.import_lines([without_key | {"id": before["id"]}])
    assert said == "imported: 0 new, 0 changed, 1 unchanged\n"
    installation.import_lines([without_key | {"id": before["id"], "name": "Renamed"}])
    after = exported(installation)[0]
    assert (after["id"], after["key"], after["name"]) == (before["id"], "one", "Renamed")
    assert after["owner"] == "europe-west1.gcp:shop"
    assert after["createdAt"] == before["createdAt"]


def test_a_key_of_another_connector_is_refused(installation: Installation) -> None:
    installation.import_lines([connector("one")])
    id_ = exported(installation)[0]["id"]
    said = installation.import_lines(
        [connector("one", id="5ab3edcd-9d23-4934-8f48-256805253119")], expect=1
    )
    assert f"line 1: key: 'one' is the key of the Connector {id_}" in said


def test_what_a_connector_staged_publishes_is_not_overwritten(
    installation: Installation, database: Database
) -> None:
    installation.import_lines([connector("one")])
    with database.write() as connection:
        connection.execute(
            connectors.update().values(source="staged", seq=feed.advance(connection))
        )
    assert "1 unchanged" in installation.import_lines([connector("one")])
    said = installation.import_lines([connector("one", name="Other")], expect=1)
    assert "is published by a ConnectorStaged; change that instead" in said


def test_private_and_certified_are_false_when_left_out(installation: Installation) -> None:
    line = {
        key: value for key, value in connector("one").items() if key not in ("private", "certified")
    }
    installation.import_lines([line])
    shown = exported(installation)[0]
    assert (shown["private"], shown["certified"]) == (False, False)


def test_empty_lines_and_an_empty_file_are_nothing(installation: Installation) -> None:
    done = installation.run("import", "-", stdin="\n  \n")
    assert done.stdout == "imported: 0 new, 0 changed, 0 unchanged\n"


def test_the_real_catalogue_imports(installation: Installation, shared: Path) -> None:
    lines = (shared / "corpus" / "catalogue.jsonl").read_text()
    said = installation.run("import", "-", stdin=lines).stdout
    assert said == f"imported: {len(lines.splitlines())} new, 0 changed, 0 unchanged\n"


def test_an_import_that_is_served_is_found_within_a_second(installation: Installation) -> None:
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server, server.client(credentials) as api:
        assert api.get("/connectors/search").json()["total"] == 0
        installation.import_lines([connector("one")])
        deadline = time.monotonic() + 1
        while api.get("/connectors/key=one").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        installation.import_lines([connector("one", name="Second")])
        deadline = time.monotonic() + 1
        while api.get("/connectors/key=one").json()["name"] != "Second":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert api.get("/connectors/key=one").json()["version"] == 2
        assert api.get("/connectors/search?text=Second").json()["total"] == 1
        assert api.get("/connectors/search?text=The one").json()["total"] == 0


def test_an_import_of_many_builds_the_index_anew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    installation = Installation(data)
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server, server.client(credentials) as api:
        installation.import_lines([connector(f"c{number}") for number in range(2_500)])
        deadline = time.monotonic() + 20
        while api.get("/connectors/search?text=c2499").json()["total"] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert api.get("/connectors/search?limit=0").json()["total"] == 2_500
    database = open_database("", data)
    with database.read() as connection:
        assert feed.position(connection)[1] >= 1
    database.close()


def test_nobody_waits_for_an_import_that_is_still_being_read(installation: Installation) -> None:
    installation.project("shop")
    credentials = installation.credentials("shop")
    importing = subprocess.Popen(
        [COMMAND, "import", "-"],
        env=installation.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert importing.stdin is not None
    try:
        # More than lies in pipes and buffers: when it is taken, most of it has been staged.
        lines = [json.dumps(connector(f"c{number}")) + "\n" for number in range(5_000)]
        importing.stdin.writelines(lines[:-1])
        importing.stdin.flush()
        with installation.serving() as server:
            for _ in range(5):
                server.token(credentials)
            installation.import_lines([connector("meanwhile")])
            installation.credentials("shop")
        assert importing.poll() is None
        importing.stdin.write(lines[-1])
    finally:
        said, _ = importing.communicate(timeout=60)
    assert said == "imported: 5000 new, 0 changed, 0 unchanged\n"


@pytest.mark.long
def test_an_import_takes_no_more_memory_however_long_it_is(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.jsonl"
    peaks = []
    for count in (1_000, 100_000):
        with file.open("w") as lines:
            for number in range(count):
                lines.write(json.dumps(connector(f"c-{number}", description="Wörter " * 100)))
                lines.write("\n")
        importing = subprocess.Popen([COMMAND, "import", str(file)], env=installation.environment)
        _, status, used = os.wait4(importing.pid, 0)
        importing.returncode = os.waitstatus_to_exitcode(status)
        assert importing.returncode == 0
        peaks.append(used.ru_maxrss)  # in KiB
    assert file.stat().st_size > 100e6
    assert peaks[1] < peaks[0] + 32 * 1024
