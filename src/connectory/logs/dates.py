"""The dates between which a log is asked for."""

import re
from datetime import UTC, datetime
from typing import Final

from connectory.contract.errors import DeploymentLogInvalidDate
from connectory.kernel.clock import DAY, HOUR, from_datetime

#: How far back a query may go (RAML: "the start date can be up to 30 days in the past").
PAST_DAYS: Final = 30
#: What a start that was 30 days ago when a client worked it out may be older.
_GRACE: Final = HOUR

# RFC 3339, without the zone or the time too. A blank before an offset is the + that a client did
# not escape.
_is_date = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[Zz]|[+\- ]\d\d:?\d\d)?)?"
).fullmatch


def window(start: str, end: str, *, now: int, kept_days: int) -> tuple[int, int]:
    """The instants from which and to which entries are wanted, both included.

    Without a start, all that is kept; without an end, up to now and what comes meanwhile.

    Raises:
        DeploymentLogInvalidDate: a date cannot be read, the start lies too far back, or the end
            before the start.
    """
    most_days = max(PAST_DAYS, kept_days)
    earliest = now - most_days * DAY
    first = _instant(start, "startDate") if start else earliest
    last = _instant(end, "endDate") if end else max(now, first) + DAY
    if first < earliest - _GRACE:
        raise DeploymentLogInvalidDate(f"startDate: '{start}' is more than {most_days} days ago")
    if last < first:
        what = f"is before startDate '{start}'" if start else f"is more than {most_days} days ago"
        raise DeploymentLogInvalidDate(f"endDate: '{end}' {what}")
    return first, last


def _instant(text: str, name: str) -> int:
    """The instant of a date, in UTC where it says no zone."""
    try:
        if not _is_date(text) or not text.isascii():
            raise ValueError  # noqa: TRY301 - to be told like what datetime refuses
        spelled = text.upper().replace(",", ".")
        if spelled[-6:-5] == " " and spelled.count(":") > 1:
            spelled = f"{spelled[:-6]}+{spelled[-5:]}"
        # Python knows microseconds only.
        spelled = re.sub(r"(\.\d{6})\d+", r"\1", spelled)
        moment = datetime.fromisoformat(spelled)
        return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise DeploymentLogInvalidDate(
            f"{name}: '{text}' is no date such as 2026-01-31T08:30:00Z"
        ) from None
