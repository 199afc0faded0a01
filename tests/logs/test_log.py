"""The log of Deployments: what is written is found again, and bounded, on both databases."""

import asyncio
import itertools
import threading
import time

import pytest
import sqlalchemy

from connectory.contract.errors import (
    DeploymentApplicationDoesNotExist,
    DeploymentLogInvalidDate,
    DeploymentLogInvalidPageToken,
)
from connectory.contract.logs import DeploymentLogSeverity as Severity
from connectory.database.tables import log_entries
from connectory.kernel.clock import to_rfc3339
from connectory.logs.masking import MASK
from connectory.logs.store import Filter
from tests.logs.conftest import DAY, NOW, SECOND, Log, Program, entry, until


def test_entries_are_found_the_oldest_first(log: Log):
    log.write(entry("b", at=NOW - 1), entry("c"), entry("a", at=NOW - 2), entry("d"))

    assert log.messages() == ["a", "b", "c", "d"]


def test_nothing_of_a_deployment_is_found_for_another(log: Log):
    log.write(entry("mine"), entry("theirs", deployment_id="two"))

    assert log.messages() == ["mine"]
    assert log.messages("two") == ["theirs"]
    assert log.messages("three") == []


def test_entries_are_filtered_by_application_severity_and_text(log: Log):
    log.write(
        entry("Hello 100%", severity=Severity.INFO),
        entry("world_\\", severity=Severity.ERROR),
        entry('hello\t"job"', application="job", severity=Severity.WARNING),
    )
    log.print('{"text": "hello\\t\\"json\\"", "severity": "ALERT"}')

    assert len(log.messages()) == 4
    assert log.messages(application="job") == ['hello\t"job"']
    assert log.messages(severity="WARNING", application="service")[0] == "world_\\"
    assert len(log.messages(severity="ERROR")) == 2
    assert len(log.messages(text="HELLO")) == 3
    assert log.messages(text="100%") == ["Hello 100%"]
    assert log.messages(text="%") == ["Hello 100%"]
    assert log.messages(text="_\\") == ["world_\\"]
    assert len(log.messages(text='hello\t"j')) == 2
    assert log.messages(text="message") == []


def test_what_programs_print_is_masked(log: Log):
    log.logs.mask("one", ["first-secret"])
    log.logs.mask("one", ["second-secret"])
    log.print("first-secret, second-secret")
    log.print("first-secret", deployment_id="two")

    assert log.messages() == [f"{MASK}, {MASK}"]
    assert log.messages("two") == ["first-secret"]


def test_pages_lead_through_all_entries_and_end(log: Log):
    # Many at one instant: the id tells them apart.
    log.write(*(entry(str(number), at=NOW - number // 7) for number in range(25)))
    seen: list[str] = []
    token = ""
    for turn in itertools.count():
        messages, token = log.page(limit=4, page_token=token)
        seen += messages
        assert turn < 7
        if not token:
            break

    assert seen == log.messages()
    assert len(seen) == 25


@pytest.mark.parametrize("changed", [{"text": "1"}, {"start_date": "2099-01-01"}, {"limit": 1}])
def test_a_token_is_bound_to_its_query(log: Log, changed: dict[str, object]):
    log.write(*(entry(str(number), at=NOW + number) for number in range(12)))
    _, token = log.page(limit=3)

    if changed == {"limit": 1}:  # pages may be of any size
        assert log.page(page_token=token, limit=1)[0] == ["3"]
        return
    with pytest.raises(DeploymentLogInvalidPageToken) as refused:
        log.page(page_token=token, **changed)
    assert refused.value.message == f"Invalid page token: {token}"


def test_a_token_that_was_tampered_with_is_refused(log: Log):
    log.write(*map(entry, "abcdef"))
    _, token = log.page(limit=3)
    for place in range(len(token)):
        for other in ("A" if token[place] != "A" else "B", "", "=", "ä"):
            changed = token[:place] + other + token[place + 1 :]
            if changed != token:
                with pytest.raises(DeploymentLogInvalidPageToken):
                    log.page(page_token=changed)


def test_entries_are_found_between_dates(log: Log):
    log.write(*(entry(str(days), at=NOW - days * DAY) for days in range(6)))
    day_2, day_4 = to_rfc3339(NOW - 2 * DAY), to_rfc3339(NOW - 4 * DAY)

    assert log.page(start_date=day_2)[0] == ["2", "1", "0"]
    assert log.page(start_date=day_4, end_date=day_2)[0] == ["4", "3", "2"]
    assert log.page(end_date=day_4)[0] == ["5", "4"]
    without_zone = day_2.removesuffix("Z")
    assert log.page(start_date=without_zone)[0] == ["2", "1", "0"]
    assert log.page(start_date=f"{without_zone}+00:00")[0] == ["2", "1", "0"]
    assert log.page(start_date=f"{without_zone} 00:00")[0] == ["2", "1", "0"]
    assert log.page(start_date=f"{without_zone}-23:00")[0] == ["1", "0"]


@pytest.mark.parametrize(
    "dates",
    [
        {"start_date": "yesterday"},
        {"start_date": "2026-13-01T00:00:00Z"},
        {"start_date": "20260101"},
        {"start_date": "2026-01-01T00:00:00+99:00"},
        {"start_date": "0001-01-01T00:00:00+14:00"},
        {"start_date": "٢٠٢٦-01-01"},
        {"start_date": to_rfc3339(NOW - 31 * DAY)},
        {"end_date": "tomorrow"},
        {"end_date": to_rfc3339(NOW - 31 * DAY)},
        {"start_date": to_rfc3339(NOW - DAY), "end_date": to_rfc3339(NOW - 2 * DAY)},
    ],
)
def test_dates_that_cannot_be_are_refused(log: Log, dates: dict[str, str]):
    with pytest.raises(DeploymentLogInvalidDate) as refused:
        log.page(**dates)
    assert refused.value.message == "Invalid start/end date"


def test_a_start_of_thirty_days_ago_is_taken(log: Log):
    assert log.page(start_date=to_rfc3339(NOW - 30 * DAY - SECOND)) == ([], "")
    assert log.page(start_date="9999-12-31T23:59:59.9999999Z") == ([], "")


def test_an_application_that_the_deployment_has_not_is_refused(log: Log):
    with pytest.raises(DeploymentApplicationDoesNotExist) as refused:
        log.page(application_name="other")
    assert refused.value.message == "Deployment does not have an application named other."


def test_entries_expire(log: Log):
    log.write(*(entry(str(days), at=NOW - days * DAY) for days in (31, 29, 1)))
    log.clock.now += 2 * DAY
    log.write(entry("new", at=log.clock.now))

    assert log.messages() == ["1", "new"]
    assert log.count() == 2
    assert log.volumes() == log.true_volumes()


def test_a_deployment_has_its_share_and_the_oldest_go_first(log: Log):
    bounded = log.bounded(deployment_bytes=30_000)
    bounded.write(entry("of another", deployment_id="two"))
    for _ in range(4):
        bounded.write(*(entry(f"{number:03d}") for number in range(100)))

    kept = bounded.messages()
    assert 100 < len(kept) < 160
    assert kept[-1] == "099"
    assert bounded.messages("two") == ["of another"]
    assert bounded.volumes() == bounded.true_volumes()
    assert bounded.volumes()["one"] <= 30_000


def test_all_deployments_together_are_bounded(log: Log):
    bounded = log.bounded(all_bytes=50_000)
    bounded.write(*(entry("old", deployment_id="old") for _ in range(200)))
    bounded.write(*(entry("new", deployment_id="new") for _ in range(200)))

    assert len(bounded.messages("new")) == 200
    assert len(bounded.messages("old")) < 60
    assert sum(bounded.volumes().values()) <= 50_000
    assert bounded.logs.held == sum(bounded.volumes().values())
    assert bounded.volumes() == bounded.true_volumes()


def test_a_deployment_that_was_deleted_leaves_nothing(log: Log):
    log.write(*(entry(str(number)) for number in range(10)), entry("kept", deployment_id="two"))
    asyncio.run(log.logs.remove("one"))

    assert log.messages() == []
    assert log.messages("two") == ["kept"]
    assert log.volumes().keys() == {"two"}


def test_nothing_is_written_of_one_that_was_deleted_before(log: Log):
    for deployment_id in ("one", "two"):
        log.logs.add(entry("waits", deployment_id=deployment_id))
    asyncio.run(log.logs.remove("one"))
    log.write()

    assert log.messages() == []
    assert log.messages("two") == ["waits"]
    assert log.volumes().keys() == {"two"}


def test_what_is_about_to_be_written_is_awaited_and_removed(
    log: Log, monkeypatch: pytest.MonkeyPatch
):
    write, taken, may_write = log.database.write, threading.Event(), threading.Event()

    def late():
        if threading.current_thread().name == "logs" and not log.logs._queue:
            taken.set()
            may_write.wait(30)
        return write()

    monkeypatch.setattr(log.database, "write", late)
    removing = threading.Thread(target=asyncio.run, args=(log.logs.remove("one"),))
    log.logs.add(entry("last word"))
    log.logs.add(entry("kept", deployment_id="two"))
    with log.logs.writing():
        assert taken.wait(30)
        removing.start()
        removing.join(1)
        may_write.set()
        removing.join(30)

    assert log.messages() == []
    assert log.messages("two") == ["kept"]


def test_a_program_that_prints_without_end_is_throttled_and_told_so(log: Log):
    bounded = log.bounded(lines_per_second=10)
    bounded.print(*(str(number) for number in range(5_000)))
    bounded.print("quiet", application="job")

    kept = bounded.messages(application="service")
    told = [each for each in kept if "CONNECTORY_LOGS_LINES_PER_SECOND" in each]
    assert 100 <= len(kept) - len(told) < 130
    assert sum(int(each.partition(" ")[0]) for each in told) == 5_000 - len(kept) + len(told)
    assert 1 <= len(told) <= 2
    assert bounded.messages(application="job") == ["quiet"]
    assert bounded.logs.dropped == 0
    assert bounded.logs.throttled == 5_000 - len(kept) + len(told)


def test_to_add_never_waits_and_what_does_not_fit_is_counted(log: Log):
    many = [entry("x" * 10_000)] * 4_000
    began = time.monotonic()
    for each in many:
        log.logs.add(each)

    assert time.monotonic() - began < 1
    assert 0 < log.logs.dropped < len(many)
    log.write()
    told = log.messages(text="could not keep up")
    assert [int(each.partition(" ")[0]) for each in told] == [log.logs.dropped]
    assert log.count() == len(many) - log.logs.dropped + 1


def test_many_threads_may_add(log: Log):
    def work(name: int) -> None:
        for number in range(200):
            log.logs.add(entry(f"{name}:{number}"))

    with log.logs.writing():
        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    messages = log.messages()
    assert len(messages) == 1_600
    for name in range(8):
        mine = [each for each in messages if each.startswith(f"{name}:")]
        assert mine == [f"{name}:{number}" for number in range(200)]


def test_what_is_added_is_there_soon(log: Log):
    with log.logs.writing():
        log.logs.add(entry("soon"))
        until(lambda: log.messages() == ["soon"], seconds=5)


def test_entries_wait_for_a_database_that_is_locked(log: Log, backend: str):
    """They are neither lost nor do they come twice."""
    lock = "BEGIN IMMEDIATE" if backend == "sqlite" else "LOCK TABLE log_entries IN EXCLUSIVE MODE"
    with log.logs.writing():
        with log.database.write() as connection:
            if backend == "postgresql":
                connection.execute(sqlalchemy.text(lock))
            for number in range(20):
                log.logs.add(entry(str(number)))
            time.sleep(0.5)
        until(lambda: len(log.messages()) == 20)

    assert log.messages() == [str(number) for number in range(20)]


def test_ids_are_never_given_twice(log: Log):
    log.write(entry("first"))
    asyncio.run(log.logs.remove("one"))
    log.write(entry("second"))
    with log.database.read() as connection:
        ids = connection.execute(sqlalchemy.select(log_entries.c.id)).scalars().all()

    assert ids[0] > 1


def test_a_follower_sees_every_entry_once_and_in_order(log: Log):
    log.write(*(entry(f"old {number}") for number in range(5)), entry("other", deployment_id="2"))

    def add() -> None:
        for number in range(600):
            log.logs.output(Program(), "stdout", str(number).encode())
            time.sleep(0.001)

    adding = threading.Thread(target=add)

    async def follow() -> list[str]:
        seen: list[str] = []
        async for entries in log.logs.follow(Filter(deployment_id="one"), tail=2):
            seen += [each.entry.details for each in entries]
            if adding.ident is None:
                adding.start()
            if len(seen) >= 602:
                return seen
        return seen

    with log.logs.writing():
        seen = asyncio.run(asyncio.wait_for(follow(), 30))
        adding.join()

    assert seen == ["old 3", "old 4", *map(str, range(600))]


def test_a_follower_goes_on_after_an_id(log: Log):
    log.write(*map(entry, "abc"))

    async def first(after: int | None) -> list[tuple[int, str]]:
        async for entries in log.logs.follow(Filter(deployment_id="one"), after=after, tail=9):
            return [(each.id, each.entry.details) for each in entries]
        return []

    seen = asyncio.run(first(None))
    assert [message for _, message in seen] == ["a", "b", "c"]
    assert asyncio.run(first(seen[0][0])) == seen[1:]
