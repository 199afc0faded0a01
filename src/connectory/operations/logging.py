"""Log lines: readable on a terminal, JSON elsewhere; each with the request's correlation id.

Nothing secret is ever handed to a logger: tokens and secrets do not leave `identity`, and request
lines hold the path without its query.
"""

import logging
import re
import sys
from typing import IO, Any

import msgspec

from connectory.http.requestlog import correlation_id
from connectory.kernel.clock import to_rfc3339

#: What every record has; anything beyond it was given with `extra` and belongs into the line.
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

#: What would move a terminal's cursor, or begin a line of its own: a path can be anything.
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object: `time`, `level`, `logger`, `message` and what was added."""
        line: dict[str, Any] = {
            "time": to_rfc3339(int(record.created * 1_000_000)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if correlation := correlation_id.get():
            line["correlationId"] = correlation
        line |= {key: value for key, value in record.__dict__.items() if key not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class ReadableLines(logging.Formatter):
    """A line for a person: time, level, message, and the correlation id."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a person reads it."""
        time = self.formatTime(record, "%H:%M:%S")
        correlation = correlation_id.get()
        trail = f"  [{correlation}]" if correlation else ""
        message = _control.sub(_escaped, record.getMessage())
        line = f"{time} {record.levelname.lower():7} {message}{trail}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(stream: IO[str] | None = None) -> None:
    """Send every log line of this process to `stream` (standard error)."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(ReadableLines() if target.isatty() else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Its lines of every connection belong to whoever debugs it.
    logging.getLogger("_granian").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
