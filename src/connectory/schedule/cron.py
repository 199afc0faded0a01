"""When a schedule fires: every form that the official validator lets pass. All pure, all in UTC.

Fields of cron are read and reckoned by `cronsim`, which does as Debian's cron does. Here is what
that lacks: the words, `@every`, `?`, and years. What is no schedule, though the validator took it,
never fires, and says why. (docs/decisions/0028-jobs.md)
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cronsim import CronSim, CronSimError
from msgspec import Struct

from connectory.kernel.clock import DAY, SECOND, from_datetime

#: How many instants that were missed are counted: a schedule of seconds has a great many.
MOST_MISSED: Final = 100

_WORDS: Final = {
    "@annually": "0 0 1 1 *",
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: Final = (5, 6, 7)
_DAY_OF_MONTH, _DAY_OF_WEEK = -3, -1
_LONGEST: Final = 1_000
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:ns|us|\u00b5s|ms|s|m|h))+")
_PART: Final = re.compile(r"([0-9]+)(ns|us|\u00b5s|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
}
#: Longer ones would lead out of the times that can be written.
_LONGEST_SECONDS: Final = 100 * 366 * 86_400
_YEAR: Final = re.compile(r"(?:\*|([0-9]{4})(?:-([0-9]{4}))?)(?:/([0-9]{1,4}))?")
_FIRST_YEAR, _LAST_YEAR = 1970, 2099
#: `5-5/10` is one instant; cronsim takes the range for a beginning.
_ONE: Final = re.compile(r"(?<![\w-])(\w+)-\1/0*[1-9][0-9]*(?!\w)")
#: Nothing fires outside these: there are times that no library can reckon with.
_EARLIEST, _LATEST = 0, 230 * 365 * DAY


class Calendar(Struct, frozen=True, kw_only=True):
    """Fires at times of the calendar.

    Attributes:
        fields: Five or six fields; of six, the first is the second.
        years: In which; none: in every one.
    """

    fields: str
    years: frozenset[int] | None = None


class Every(Struct, frozen=True, kw_only=True):
    """Fires again and again, so many seconds apart."""

    seconds: int


class Start(Struct, frozen=True):
    """Fires once when a release begins to serve (`@reboot`)."""


class Never(Struct, frozen=True, kw_only=True):
    """Never fires; `reason` completes "it never runs: "."""

    reason: str


Schedule = Calendar | Every | Start | Never


def parse(text: str) -> Schedule:
    """Read a schedule, whatever text it is."""
    words = text.split() if len(text) <= _LONGEST else []
    match words:
        case ["@reboot"]:
            return Start()
        case [word] if word in _WORDS:
            return Calendar(fields=_WORDS[word])
        case ["@every", duration]:
            return _every(duration)
        case _ if len(words) in _FIELDS:
            return _calendar(words)
    return Never(
        reason="it is neither five fields (six with seconds, seven with years) nor a word such as"
        " @daily"
    )


def next_fire(schedule: Schedule, after: int, since: int) -> int | None:
    """The first instant after one at which a schedule fires; none where there is none.

    Instants are microseconds since 1970. `since` is when the schedule began to hold: from there
    `@every` counts.
    """
    if isinstance(schedule, Every):
        step = schedule.seconds * SECOND
        return since + (max(0, after - since) // step + 1) * step
    if isinstance(schedule, Calendar) and _EARLIEST <= after <= _LATEST:
        return _next_date(schedule, after)
    return None


def following(schedule: Schedule, first: int, now: int, since: int) -> tuple[int | None, int]:
    """After a schedule fired at `first`: its first instant after now, and how many lie between."""
    count, at = 0, first
    while count < MOST_MISSED:
        then = next_fire(schedule, at, since)
        if then is None or then > now:
            return then, count
        at, count = then, count + 1
    return next_fire(schedule, now, since), count


def why_never(text: str, now: int) -> str | None:
    """Why a schedule does not fire from now on; none where it does."""
    schedule = parse(text)
    if isinstance(schedule, Never):
        return schedule.reason
    if isinstance(schedule, Start) or next_fire(schedule, now, now) is not None:
        return None
    return "there is no such day"


def _every(duration: str) -> Schedule:
    """An interval as Go writes it, in whole seconds and one at least, as its schedulers have it."""
    if not _DURATION.fullmatch(duration):
        return Never(reason="its interval is none; such as 5m or 1h30m")
    total = sum(int(number) * _NANOSECONDS[unit] for number, unit in _PART.findall(duration))
    seconds = max(1, total // 10**9)
    if not total:
        return Never(reason="its interval is nothing")
    if seconds > _LONGEST_SECONDS:
        return Never(reason="its interval is longer than a hundred years")
    return Every(seconds=seconds)


def _calendar(words: list[str]) -> Schedule:
    years = None
    if len(words) == _FIELDS[-1]:
        years = _years(words.pop())
        if years is not None and not years:
            return Never(reason=f"its year is none from {_FIRST_YEAR} to {_LAST_YEAR}")
    for place in (_DAY_OF_MONTH, _DAY_OF_WEEK):
        if words[place] == "?":
            words[place] = "*"
    fields = _ONE.sub(r"\1", " ".join(words))
    try:
        CronSim(fields, datetime(_FIRST_YEAR, 1, 1))  # noqa: DTZ001 - UTC, as all here
    except (CronSimError, ValueError) as error:  # ValueError: thousands of digits
        field = str(error).removeprefix("Bad ").replace("-", " ")
        known = isinstance(error, CronSimError)
        return Never(reason=f"its {field} never comes" if known else "its numbers are too long")
    return Calendar(fields=fields, years=years)


def _years(field: str) -> frozenset[int] | None:
    """The years of a field, empty where it is none; None stands for all of them."""
    found: set[int] = set()
    for item in field.split(","):
        match = _YEAR.fullmatch(item)
        if match is None:
            return frozenset()
        first, last, step = match.groups()
        begin = int(first or _FIRST_YEAR)
        end = int(last) if last else _LAST_YEAR if step or not first else begin
        if step and not int(step):
            return frozenset()
        found.update(range(begin, min(end, _LAST_YEAR) + 1, int(step or 1)))
    return None if field == "*" else frozenset(year for year in found if year >= _FIRST_YEAR)


def _next_date(schedule: Calendar, after: int) -> int | None:
    # Without a zone, which cronsim takes for one that never changes its clocks.
    moment = datetime.fromtimestamp(after // SECOND, UTC).replace(tzinfo=None)
    if schedule.years is None:
        found = _step(schedule.fields, moment)
        return None if found is None else from_datetime(found.replace(tzinfo=UTC))
    while left := [year for year in schedule.years if year >= moment.year]:
        before = datetime(min(left), 1, 1) - timedelta(seconds=1)  # noqa: DTZ001
        found = _step(schedule.fields, max(moment, before))
        if found is None:
            break
        if found.year in schedule.years:
            return from_datetime(found.replace(tzinfo=UTC))
        moment = found
    return None


def _step(fields: str, moment: datetime) -> datetime | None:
    return next(CronSim(fields, moment), None)
