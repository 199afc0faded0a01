"""Time as the whole system sees it: UTC, whole microseconds since 1970, handed in as a clock.

Every component that needs the time takes a `Clock`, so that a test of a 48-hour token runs in
microseconds. Instants are integers because both databases order and index them exactly; the wire
spells them as RFC 3339 in UTC.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: A function that tells the present instant: microseconds since 1970-01-01T00:00:00Z.
Clock = Callable[[], int]

MILLISECOND = 1_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """Now, by the machine's wall clock, in microseconds since 1970."""
    return time.time_ns() // 1_000


def to_rfc3339(instant: int) -> str:
    """Spell an instant as the API spells times: `2026-01-31T08:30:00.123Z`.

    Milliseconds are always shown; microseconds only where there are any, so that an instant
    read back from its spelling is the same instant.
    """
    moment = _EPOCH + timedelta(microseconds=instant)
    timespec = "milliseconds" if instant % 1_000 == 0 else "microseconds"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def from_datetime(moment: datetime) -> int:
    """The instant of an aware datetime.

    Raises:
        ValueError: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, for example the Z of 2026-01-31T08:30:00Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)
