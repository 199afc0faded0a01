"""Jobs that are due run once, whatever becomes of clocks and servers meanwhile."""

import asyncio
import time
from pathlib import Path

import pytest

from connectory.contract.jobs import JobRunCause, JobRunState
from connectory.database.engine import Database
from connectory.gateway.posting import Answer
from connectory.schedule import store
from connectory.schedule.firing import Firing
from connectory.schedule.model import STOPPED, ended
from tests.schedule.scenes import FAILED, RUNNING, SUCCEEDED, Scene, id_of


def test_a_job_runs_at_each_of_its_times(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2028-02-28 12:00:00")
        scene.add("0 3 29 2 *", 1)
        scene.add("0 3 * * *", 2)
        async with scene.application.listening(), scene.server():
            for count, now in enumerate(("2028-02-29 03:00:00", "2028-03-01 03:00:01"), 1):
                scene.move(now)
                await scene.settled(count, 2)
            scene.move("2028-03-02 02:59:59")
            await scene.looked_through(3)
        assert scene.told(1) == [("2028-02-29 03:00:00", 0, SUCCEEDED)]
        assert scene.next(1) == "2032-02-29 03:00:00"
        assert [each[0] for each in scene.told(2)] == ["2028-02-29 03:00:00", "2028-03-01 03:00:00"]
        assert {each.cause for each in scene.runs(2)} == {JobRunCause.SCHEDULE}
        assert scene.application.calls.count("/2") == 2

    asyncio.run(play())


def test_many_missed_times_are_one_run(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:02:00")
        scene.add("*/5 * * * *")
        scene.move("2026-01-31 11:01:00")
        async with scene.application.listening(), scene.server():
            await scene.settled(1)
            # Much longer than what is counted, as after a clock that was wrong.
            scene.move("2026-06-30 12:00:00")
            await scene.settled(2)
        assert scene.told() == [
            ("2026-01-31 10:05:00", 11, SUCCEEDED),
            ("2026-01-31 11:05:00", 100, SUCCEEDED),
        ]
        assert scene.next() == "2026-06-30 12:05:00"

    asyncio.run(play())


def test_nothing_fires_twice_where_the_clock_is_put_back_a_little(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("0 * * * *")
        async with scene.application.listening():
            async with scene.server():
                scene.move("2026-01-31 11:00:00")
                await scene.settled(1)
            scene.move("2026-01-31 10:59:00")
            async with scene.server():
                await scene.looked_through(1)
                scene.move("2026-01-31 11:01:00")
                await scene.looked_through(2)
                assert len(scene.runs()) == 1
                scene.move("2026-01-31 12:00:00")
                await scene.settled(2)

    asyncio.run(play())


def test_schedules_go_on_where_the_clock_is_put_back_far(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2033-01-31 10:30:00")
        scene.add("0 * * * *", 1)
        scene.add("@every 2h", 2)
        scene.move("2026-01-31 10:30:00")
        async with scene.application.listening(), scene.server():
            await scene.until(lambda: scene.next(1) == "2026-01-31 11:00:00")
            await scene.until(lambda: scene.next(2) == "2026-01-31 12:30:00")
            scene.move("2026-01-31 12:30:00")
            await scene.settled(1, 1)
            await scene.settled(1, 2)

    asyncio.run(play())


def test_there_is_one_run_at_once_and_what_was_due_meanwhile_follows(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("* * * * *")
        async with scene.application.listening(), scene.server() as server:
            scene.application.quick = False
            scene.move("2026-01-31 10:01:00")
            await scene.until(lambda: scene.application.calls)
            for minute in range(2, 6):
                scene.move(f"2026-01-31 10:0{minute}:00")
                scene.application.quick = True
                await scene.looked_through(minute)
                scene.application.quick = False
            with database.write() as connection:
                asked = store.request(connection, id_of(0), "asked", scene.now)
            assert isinstance(asked, store.UnderWay)
            assert (server.running, len(scene.runs())) == (1, 1)
            assert server.busy(0)
            scene.application.quick = True
            scene.application.answer()
            await scene.settled(2)
            await scene.until(lambda: not server.busy(0))
        assert scene.told() == [
            ("2026-01-31 10:01:00", 0, SUCCEEDED),
            ("2026-01-31 10:02:00", 3, SUCCEEDED),
        ]
        assert scene.application.most_at_once == 1

    asyncio.run(play())


def test_a_run_whose_server_died_has_failed_and_is_not_made_again(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("0 * * * *")
        scene.move("2026-01-31 11:00:00")
        with database.write() as connection:  # as by a server that was killed after this
            due = store.due(connection, scene.now, range(64), 10)
            (begun,) = store.begin(connection, [(each, "job-1") for each in due], scene.now)
        assert scene.told() == [("2026-01-31 11:00:00", 0, RUNNING)]
        async with scene.application.listening(), scene.server() as server:
            await scene.settled(1)
            (run,) = scene.runs()
            assert (run.state, run.output, run.status) == (FAILED, STOPPED, None)
            # What it comes to after all is not believed any more.
            with database.write() as connection:
                late = Answer(status=200, text="late", seconds=1.0)
                store.end(connection, [ended(begun.run, late, scene.now)])
            assert scene.runs() == [run]
            assert scene.application.calls == []
            scene.move("2026-01-31 12:00:00")
            await scene.until(lambda: server.counted.succeeded == 1)
            assert server.counted.failed == 1

    asyncio.run(play())


def test_two_servers_that_look_after_the_same_run_a_job_once(
    database: Database, tmp_path: Path
) -> None:
    """For a moment, while a shard goes from one to the other."""

    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("* * * * *", *range(20))
        async with scene.application.listening(), scene.server(), scene.server():
            scene.move("2026-01-31 10:01:00")
            for number in range(20):
                await scene.until(lambda number=number: scene.runs(number))
            await scene.until(lambda: len(scene.application.calls) >= 20)
            await scene.looked_through(20)
        scene.application.calls.remove("/20")
        assert all(len(scene.runs(number)) == 1 for number in range(20))
        assert sorted(scene.application.calls) == sorted(f"/{number}" for number in range(20))

    asyncio.run(play())


def test_a_run_that_was_asked_for_survives_the_server_that_was_asked(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("0 0 29 2 *")
        with database.write() as connection:
            store.request(connection, id_of(0), "asked", scene.now)
        async with scene.application.listening(), scene.server():
            await scene.settled(1)
        assert scene.told() == [("2026-01-31 10:00:00", 0, SUCCEEDED)]
        assert scene.next() == "2028-02-29 00:00:00"

    asyncio.run(play())


def test_what_changed_since_it_was_read_does_not_begin(database: Database, tmp_path: Path) -> None:
    scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
    scene.add("* * * * *", 0, 1, 2, 3)
    scene.move("2026-01-31 10:01:00")
    with database.read() as connection:
        due = store.due(connection, scene.now, range(64), 10)
    scene.add("@hourly", 1)
    with database.write() as connection:
        store.request(connection, id_of(0), "asked", scene.now)
        store.remove(connection, [id_of(2)])
        assert [
            each.job.application_id for each in store.due(connection, scene.now, range(64), 9)
        ] == [id_of(3)]
        begun = store.begin(connection, [(each, "job-1") for each in due], scene.now)
    assert [each.job.application_id for each in begun] == [id_of(3)]


def test_only_jobs_of_the_shards_that_are_held_are_due(database: Database, tmp_path: Path) -> None:
    scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
    scene.add("* * * * *", 0, 1, 65)
    scene.move("2026-01-31 10:01:00")
    with database.read() as connection:
        due = store.due(connection, scene.now, {1}, 10)
    assert [each.job.application_id for each in due] == [id_of(1), id_of(65)]


@pytest.mark.parametrize("asked", [False, True])
def test_nothing_begins_of_a_shard_that_is_given_up_meanwhile(
    database: Database, tmp_path: Path, asked: bool
) -> None:
    """It would be another server's then, which takes it for abandoned."""

    def held(server: Firing) -> set[int]:
        return {1} if server.busy(0) else {0, 1}

    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("* * * * *")
        if asked:
            with database.write() as connection:
                store.request(connection, id_of(0), "asked", scene.now)
        else:
            scene.move("2026-01-31 10:01:00")
        async with scene.application.listening(), scene.server(held):
            await scene.looked_through(1)
            assert scene.application.calls == ["/1"]
        assert scene.next() == "2026-01-31 10:01:00"
        assert [each.state for each in scene.runs()] == [JobRunState.QUEUED] * asked

    asyncio.run(play())


def test_a_server_that_stops_waits_for_its_runs_and_says_what_it_left(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("@reboot")
        async with scene.application.listening():
            async with scene.server():
                scene.application.quick = False
                await scene.until(lambda: scene.application.calls)
            (run,) = scene.runs()
            assert (run.state, run.output) == (FAILED, STOPPED)
            assert run.cause is JobRunCause.START
            assert scene.next() is None

    asyncio.run(play())


def test_an_application_that_does_not_start_is_a_failure(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("@reboot")
        scene.application.starts = False
        async with scene.application.listening(), scene.server():
            await scene.settled(1)
        (run,) = scene.runs()
        assert run.state is FAILED
        assert run.output == f"the application did not start: {id_of(0)} died"

    asyncio.run(play())


def test_a_job_waits_a_minute_for_an_application_that_another_node_had(
    database: Database, tmp_path: Path
) -> None:
    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("1 10 * * *", 0, 1)
        scene.application.elsewhere = {id_of(0), id_of(1)}
        async with scene.application.listening(), scene.server():
            scene.move("2026-01-31 10:01:59")
            await scene.looked_through(2)
            assert scene.runs() == []
            scene.application.elsewhere = set()
            await scene.settled(1, 0)
            await scene.settled(1, 1)
            assert {each.state for each in scene.runs()} == {SUCCEEDED}
            scene.application.elsewhere = {id_of(0)}
            scene.move("2026-02-01 10:02:00")
            await scene.settled(2, 0)
        assert scene.runs(0)[-1].output == "the application does not run here"

    asyncio.run(play())


def test_old_runs_are_removed_but_for_the_latest(database: Database, tmp_path: Path) -> None:
    scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
    scene.add("0 0 29 2 *", 0, 1)
    for _ in range(7):
        for number in (0, 1):
            with database.write() as connection:
                run = store.request(connection, id_of(number), "asked", scene.now)
                assert not isinstance(run, store.UnderWay | None)
                (begun,) = store.claim(
                    connection,
                    [each for each in store.under_way(connection, range(64)) if each.run == run],
                    scene.now,
                )
                done = Answer(status=200, text="", seconds=0.0)
                store.end(connection, [ended(begun.run, done, scene.now)])
    latest = scene.runs(0)[-3:]
    with database.write() as connection:
        store.sweep(connection, [id_of(0)], kept=3)
    assert scene.runs(0) == latest
    assert len(scene.runs(1)) == 7


@pytest.mark.long
def test_10000_jobs_of_one_minute_start_within_its_first_seconds(
    database: Database, tmp_path: Path
) -> None:
    """And leave the event loop to deliveries meanwhile.

    Judged by the time of this process, the application's among it: others use the machine too.
    """

    async def longest_wait() -> float:
        longest = 0.0
        while True:
            began = time.monotonic()
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                return longest
            longest = max(longest, time.monotonic() - began)

    async def play() -> None:
        scene = Scene(database, tmp_path, "2026-01-31 10:00:00")
        scene.add("* * * * *", *range(10_000))
        async with scene.application.listening(), scene.server():
            waiting = asyncio.create_task(longest_wait())
            await asyncio.sleep(0)
            began = time.process_time()
            scene.move("2026-01-31 10:01:00")
            await scene.until(lambda: len(scene.application.calls) == 10_000, 120)
            assert time.process_time() - began < 10
            waiting.cancel()
            assert await waiting < 2.0
        assert scene.application.most_at_once == 1

    asyncio.run(play())
