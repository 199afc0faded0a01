"""`connectory work`, `connectory worker`, and what `/metrics` tells of work."""

import json
import signal
import subprocess
import time

import httpx
import pytest

from connectory.database.engine import Database, open_database
from connectory.kernel.clock import SECOND, system_clock
from connectory.work import results, store
from tests.harness import COMMAND, Installation
from tests.work.pieces import claimed, queue, until


@pytest.fixture
def plain(tmp_path) -> Installation:
    data = tmp_path / "data"
    data.mkdir()
    made = Installation(data)
    made.run("migrate")
    return made


@pytest.fixture
def there(plain: Installation):
    """The installation's database."""
    opened: Database = open_database("", plain.data)
    yield opened
    opened.close()


def test_work_is_listed_for_people_and_for_machines(plain, there):
    assert plain.run("work", "list").stdout == "there is no such work\n"
    now = system_clock()
    made = [queue(there, now=now + n, subject=f"subject-{n}") for n in range(3)]
    work = claimed(there, "node", now=now)
    with there.write() as connection:
        results.advance(connection, work.id, work.attempt, "fetch", {})
        results.fail(connection, work.id, work.attempt, error="the host\nis away", now=now)
    open_ = plain.run_json("work", "list")
    assert [each["id"] for each in open_] == [made[2].id, made[1].id]
    (failed,) = plain.run_json("work", "list", "--state", "failed")
    assert (failed["id"], failed["step"], failed["attempt"]) == (work.id, "fetch", 1)
    assert (failed["kind"], failed["project"], failed["subject"]) == (
        "test",
        "eu:shop",
        "subject-0",
    )
    assert failed["lastError"] == "the host\nis away"
    assert failed["finishedAt"].endswith("Z")
    assert len(plain.run_json("work", "list", "--state", "all", "--limit", "2")) == 2
    with there.write() as connection:
        store.request_cancel(connection, made[1].id, now=now)
    assert "  to be cancelled  " in plain.run("work", "list").stdout
    heading, row = plain.run("work", "list", "--state", "failed").stdout.splitlines()
    assert heading.split()[:2] == ["ID", "KIND"]
    assert row.startswith(work.id)
    assert row.endswith("the host is away")


def test_work_that_is_cancelled_says_so_and_is_in_the_audit_log(plain, there):
    made = queue(there, subject="subject")
    assert made.id in plain.run("work", "cancel", made.id).stdout
    (shown,) = plain.run_json("work", "list")
    assert shown["cancelRequested"] is True
    (act, *_) = plain.run_json("audit")
    assert (act["action"], act["subject"]) == ("work:cancel", made.id)
    assert act["details"] == {"kind": "test", "project": "eu:shop", "subject": "subject"}


def test_what_is_not_there_or_has_ended_cannot_be_cancelled(plain, there):
    missing = plain.run("work", "cancel", "nothing", expect=1)
    assert missing.stderr.startswith("connectory: there is no work 'nothing'")
    queue(there)
    work = claimed(there)
    with there.write() as connection:
        results.finish(connection, work.id, work.attempt, now=1)
    ended = plain.run("work", "cancel", work.id, expect=1)
    assert "has ended already: it is done" in ended.stderr


def test_the_embedded_database_has_no_worker_but_its_server(plain):
    refused = plain.run("worker", expect=2)
    assert "PostgreSQL" in refused.stderr


def test_a_worker_that_may_take_nothing_is_refused(plain):
    plain.settings["CONNECTORY_WORK_CONCURRENCY"] = "0"
    refused = plain.run("worker", "--database-url", "postgresql://nowhere/none", expect=2)
    assert "CONNECTORY_WORK_CONCURRENCY" in refused.stderr


def test_metrics_tell_how_much_work_waits_and_for_how_long(plain, there):
    made = [queue(there, now=system_clock() - 100 * SECOND) for _ in range(2)]
    claimed(there, "elsewhere")
    with plain.serving() as server:

        def metrics() -> dict[str, float]:
            lines = httpx.get(f"{server.url}/metrics").text.splitlines()
            pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("connectory_work"))
            return {name: float(value) for name, value in pairs}

        # Nobody else can be at work on the embedded database: it is queued again at once.
        until(lambda: metrics()['connectory_work{state="queued"}'] == len(made))
        told = metrics()
    assert told['connectory_work{state="running"}'] == 0
    assert 100 <= told["connectory_work_oldest_seconds"] < 160


def test_a_worker_of_its_own_marks_the_database_as_served_until_it_is_stopped(
    postgresql_server, tmp_path
):
    url = postgresql_server.new_database()
    installation = Installation(tmp_path / "data", url)
    installation.run("migrate")
    log = tmp_path / "worker.log"
    with log.open("w") as file:
        worker = subprocess.Popen(
            [COMMAND, "worker"], env=installation.environment, stderr=file, text=True
        )
    try:
        until(lambda: "working as" in log.read_text(), 30)
        backup = tmp_path / "backup"
        installation.run("backup", str(backup))
        refused = installation.run("restore", str(backup), expect=1)
        assert "being served" in refused.stderr
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert time.monotonic() - began < 10
    finally:
        worker.kill()
        worker.wait()
    messages = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert messages[-1] == "stopped"
    postgresql_server.drop(url)
