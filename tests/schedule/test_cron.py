"""A schedule fires when its text says, in UTC, whatever the clock does."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectory.kernel.clock import DAY, HOUR, SECOND, from_datetime
from connectory.schedule.cron import (
    MOST_MISSED,
    Calendar,
    Every,
    Never,
    Start,
    following,
    next_fire,
    parse,
    why_never,
)
from connectory.specification.shape import is_schedule

#: Second, minute, hour, day of the month, month, day of the week.
RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, UTC)


def fires(schedule: str, after: str, count: int = 1) -> list[str]:
    """The instants at which a schedule fires, as texts."""
    parsed, then, found = parse(schedule), at(after), []
    for _ in range(count):
        next_ = next_fire(parsed, then, at(after))
        if next_ is None:
            break
        then = next_
        found.append(moment(then).replace(tzinfo=None).isoformat(sep=" "))
    return found


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("*/5 * * * *", "2026-01-31 23:58:00", "2026-02-01 00:00:00"),
        ("*/45 * * * *", "2026-01-31 10:45:00", "2026-01-31 11:00:00"),
        ("0 0 1 * *", "2026-01-01 00:00:00", "2026-02-01 00:00:00"),
        ("0 5 29 2 *", "2026-01-01 00:00:00", "2028-02-29 05:00:00"),
        ("30 23 * */12 *", "2026-02-01 00:00:00", "2027-01-01 23:30:00"),
        # A step over the range leaves its first value.
        ("*/720 * * * *", "2026-01-31 10:00:00", "2026-01-31 11:00:00"),
        ("0-10/5 * * * *", "2026-01-31 10:05:00", "2026-01-31 10:10:00"),
        ("5-5/10 * * * *", "2026-01-31 10:05:00", "2026-01-31 11:05:00"),
        # Blanks around, as some files have them.
        (" 0 0 * * * ", "2026-01-31 10:05:00", "2026-02-01 00:00:00"),
        # Names pass where five fields are found before them.
        ("10 10 3 * MON", "2026-01-31 10:05:00", "2026-02-02 10:10:00"),
        # Both days are said: one of them is enough.
        ("0 0 13 * 5", "2026-02-14 00:00:00", "2026-02-20 00:00:00"),
        # Six fields begin with seconds, seven end with the year.
        ("*/20 * * * * *", "2026-01-31 10:05:20", "2026-01-31 10:05:40"),
        ("0 0 12 * * ? *", "2026-01-31 12:00:00", "2026-02-01 12:00:00"),
        ("0 0 12 1 1 ? 2028-2030/2", "2026-01-31 12:00:00", "2028-01-01 12:00:00"),
        ("0 0 12 1 1 ? 2027,2030", "2027-01-01 12:00:00", "2030-01-01 12:00:00"),
        ("@annually", "2026-01-31 10:05:00", "2027-01-01 00:00:00"),
        ("@yearly", "2026-01-31 10:05:00", "2027-01-01 00:00:00"),
        ("@monthly", "2026-01-31 10:05:00", "2026-02-01 00:00:00"),
        ("@weekly", "2026-01-31 10:05:00", "2026-02-01 00:00:00"),
        ("@daily", "2026-01-31 10:05:00", "2026-02-01 00:00:00"),
        ("@hourly", "2026-01-31 10:05:00", "2026-01-31 11:00:00"),
        ("@every 5m", "2026-01-31 10:05:07", "2026-01-31 10:10:07"),
        ("@every 1h30m", "2026-01-31 10:05:07", "2026-01-31 11:35:07"),
        # Whole seconds, and one at least.
        ("@every 1500ms", "2026-01-31 10:05:07", "2026-01-31 10:05:08"),
        ("@every 1ns", "2026-01-31 10:05:07", "2026-01-31 10:05:08"),
    ],
)
def test_a_schedule_fires_at_its_times(schedule: str, after: str, expected: str) -> None:
    assert is_schedule(schedule), "connect.yaml does not take it"
    assert fires(schedule, after) == [expected]
    assert why_never(schedule, at(after)) is None


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("0 5 31 2 *", "its day of month never comes"),
        ("99 99 99 99 99", "its minute never comes"),
        ("*/0 * * * *", "its minute never comes"),
        ("please @daily now", "neither five fields"),
        ("@every 5m now", "neither five fields"),
        ("00000", "neither five fields"),
        ("xx 0 0 * * * yy", "its year is none"),
        ("TZ=Europe/Berlin 0 0 * * *", "its second never comes"),
        ("0 0 12 * * * 2020", "there is no such day"),
        ("@every 0s", "its interval is nothing"),
        ("@every 1h1", "its interval is none"),
        ("@every 99999999999h", "longer than a hundred years"),
        ("9" * 5_000 + " * * * *", "neither five fields"),
    ],
)
def test_what_is_no_schedule_never_fires_and_says_why(schedule: str, reason: str) -> None:
    assert is_schedule(schedule), "connect.yaml does not take it"
    assert fires(schedule, "2026-01-31 00:00:00") == []
    assert reason in str(why_never(schedule, at("2026-01-31 00:00:00")))


def test_a_reboot_is_the_start_of_a_release_and_no_time() -> None:
    assert parse("@reboot") == Start()
    assert fires("@reboot", "2026-01-31 00:00:00") == []
    assert why_never("@reboot", 0) is None


def test_29_february_comes_when_it_does() -> None:
    found = fires("0 0 29 2 *", "2088-01-01 00:00:00", 3)
    assert found == ["2088-02-29 00:00:00", "2092-02-29 00:00:00", "2096-02-29 00:00:00"]
    # 2100 is no leap year.
    assert fires("0 0 29 2 *", "2096-03-01 00:00:00") == ["2104-02-29 00:00:00"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01"])
def test_summer_time_is_not_in_utc(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("Europe/Berlin", "America/New_York", "UTC"):
        monkeypatch.setenv("TZ", zone)
        found = fires("30 * * * *", f"{day} 00:00:00", 24)
        assert found == [f"{day} {hour:02}:30:00" for hour in range(24)]


@st.composite
def fields(draw: st.DrawFn) -> str:
    """Six fields of cron, each of which has a meaning."""
    found = []
    for low, high in RANGES:
        numbers = st.integers(low, high)
        ranges = st.tuples(numbers, numbers).map(sorted).map(lambda each: f"{each[0]}-{each[1]}")
        steps = st.integers(1, 100).map("/{}".format)
        item = st.one_of(
            numbers.map(str),
            ranges,
            st.tuples(numbers.map(str), steps).map("".join),
            st.tuples(ranges, steps).map("".join),
            steps.map("*{}".format),
        )
        listed = st.lists(item, min_size=1, max_size=3).map(",".join)
        found.append(draw(st.just("*") | listed))
    return " ".join(found)


def values(field: str, low: int, high: int) -> set[int]:
    """What a field means, said once more, in the simplest way."""
    found: set[int] = set()
    for item in field.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        begin = low if first == "*" else int(first)
        end = int(last) if dash else high if first == "*" or slash else begin
        found |= {each for each in range(begin, end + 1) if not (each - begin) % int(step or 1)}
    return found


def expected(schedule: str, after: datetime, days: int) -> datetime | None:
    """The oracle: the days one by one, and of a day all times, the first of which is it."""
    words = schedule.split()
    seconds, minutes, hours, dates, months, weekdays = (
        values(field, *span) for field, span in zip(words, RANGES, strict=True)
    )
    both = words[3].startswith("*") or words[5].startswith("*")
    for number in range(days):
        day = (after + timedelta(days=number)).date()
        of_month, of_week = (
            day.day in dates,
            bool({day.isoweekday(), day.isoweekday() % 7} & weekdays),
        )
        if day.month not in months or not ((of_month and of_week) if both else of_month or of_week):
            continue
        for hour, minute, second in itertools.product(*map(sorted, (hours, minutes, seconds))):
            found = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
            if found > after:
                return found
    return None


DAYS = 5 * 366


@settings(max_examples=50, deadline=None)
@given(
    schedule=fields(),
    after=st.integers(at("2024-01-01 00:00:00"), at("2034-01-01 00:00:00")).map(moment),
)
@example(schedule="0 0 0 29 2 *", after=datetime(2024, 2, 29, tzinfo=UTC))
@example(schedule="59 59 23 31 12 */7", after=datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC))
@example(schedule="0 5-5/10 * * * *", after=datetime(2027, 12, 31, tzinfo=UTC))
def test_fields_fire_when_a_search_through_all_times_says_so(
    schedule: str, after: datetime
) -> None:
    found = next_fire(parse(schedule), from_datetime(after), 0)
    then = expected(schedule, after, DAYS)
    if then is None:
        assert found is None or found >= from_datetime(after) + (DAYS - 1) * DAY
    else:
        assert found == from_datetime(then)


@settings(max_examples=50, deadline=None)
@given(
    text=st.text(alphabet="0123456789*/-,@ everymhsLW#?MON", max_size=40) | st.text() | fields(),
    after=st.integers(-(10**17), 10**18),
    since=st.integers(0, 10**16),
)
def test_no_text_and_no_time_is_too_much(text: str, after: int, since: int) -> None:
    schedule = parse(text)
    assert isinstance(schedule, Calendar | Every | Start | Never)
    found = next_fire(schedule, after, since)
    assert found is None or found > after


def test_many_missed_instants_are_counted_to_now_and_no_further() -> None:
    parsed, first = parse("*/5 * * * *"), at("2026-01-31 10:00:00")
    for now, missed in (("10:00:00", 0), ("10:04:59", 0), ("10:05:00", 1), ("11:00:00", 12)):
        then, count = following(parsed, first, at(f"2026-01-31 {now}"), 0)
        assert count == missed
        assert then == first + (missed + 1) * 300 * SECOND
    assert following(parsed, first, first + 365 * DAY, 0)[1] == MOST_MISSED


SCHEDULES = st.sampled_from(["* * * * *", "*/7 * * * * *", "0 3 * * *", "@every 90s", "0 0 29 2 *"])


@settings(max_examples=60, deadline=None)
@given(schedule=SCHEDULES, first=st.integers(0, 10**15), ahead=st.integers(0, 400 * HOUR))
def test_what_was_missed_is_counted_to_a_bound(schedule: str, first: int, ahead: int) -> None:
    """A clock that has jumped forwards, or a server that was away."""
    parsed, now = parse(schedule), first + ahead
    then, missed = following(parsed, first, now, first)
    assert then == next_fire(parsed, now, first)
    walk, at_ = 0, next_fire(parsed, first, first)
    while at_ is not None and at_ <= now and walk < MOST_MISSED:
        walk, at_ = walk + 1, next_fire(parsed, at_, first)
    assert missed == walk


def test_days_of_a_virtual_clock_fire_each_instant_once() -> None:
    """A year in steps of odd length: what is due at each is what follows the one before."""
    parsed, begin, end = parse("0 3 * * *"), at("2027-06-01 00:00:00"), at("2028-06-01 00:00:00")
    now, fired = begin, []
    due = next_fire(parsed, now, now)
    while now < end:
        now += 7 * HOUR + 13 * SECOND
        if due is not None and due <= now:
            fired.append(due)
            due, missed = following(parsed, due, now, 0)
            assert missed == 0
    assert fired == list(range(begin + 3 * HOUR, now, DAY))
    assert len(fired) > 365
