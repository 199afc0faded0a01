"""Entries of the log, as pure functions of what programs print and of requests they answered.

Whatever a program prints becomes an entry: bytes that are no UTF-8, lines of any length, JSON
nested to any depth. None of it is a fault. Nothing here does I/O.
"""

import re
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from connectory.contract.logs import DeploymentLog, DeploymentLogSeverity, DeploymentLogType
from connectory.kernel.clock import to_rfc3339
from connectory.logs.masking import Masker

#: What is kept of a line, in characters. A longer one is a text, cut, that says so.
LONGEST: Final = 64 * 2**10
#: JSON that is nested deeper than this is kept as the text that it is.
DEEPEST: Final = 64
#: What an entry takes beside its details: the other columns and the indexes, about.
OVERHEAD_BYTES: Final = 200

SEVERITIES: Final = tuple(DeploymentLogSeverity)
RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}

_S: Final = DeploymentLogSeverity
#: How loggers spell severities: winston (npm and syslog levels), pino and bunyan by name, Python,
#: Google, Java.
_WORDS: Final = {
    **{severity.lower(): severity for severity in _S},
    **dict.fromkeys(("trace", "silly", "verbose", "finest", "finer", "fine"), _S.DEBUG),
    **dict.fromkeys(("http", "information", "log"), _S.INFO),
    "warn": _S.WARNING,
    **dict.fromkeys(("err", "severe"), _S.ERROR),
    **dict.fromkeys(("crit", "fatal", "panic"), _S.CRITICAL),
    "emerg": _S.EMERGENCY,
}
#: pino's and bunyan's numbers, the least that each severity begins with.
_PINO: Final = (
    (60, _S.CRITICAL),
    (50, _S.ERROR),
    (40, _S.WARNING),
    (30, _S.INFO),
    (1, _S.DEBUG),
)
#: The numbers of Google's LogSeverity are the ranks in hundreds.
_GOOGLE_STEP: Final = 100
#: Colours that a logger puts around its levels.
_colours = re.compile(r"\x1b\[[0-9;]*m")

_SERVER_ERROR, _CLIENT_ERROR = 500, 400


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the log of a Deployment.

    Attributes:
        type: What it is.
        deployment_id: Whose it is.
        application: Name of the application.
        severity: How grave it is.
        at: When it came: microseconds since 1970.
        details: Of APPLICATION_TEXT the message, of the others a JSON object, as text. Without
            U+0000 and lone surrogates.
    """

    type: DeploymentLogType
    deployment_id: str
    application: str
    severity: DeploymentLogSeverity
    at: int
    details: str

    @property
    def bytes(self) -> int:
        """What it counts for where disk is bounded."""
        return len(self.details.encode()) + OVERHEAD_BYTES


class Printing(Protocol):
    """Whose output a line is: a `runtime.model.Program`."""

    @property
    def deployment_id(self) -> str:
        """Id of the Deployment."""

    @property
    def application(self) -> str:
        """Name of the application."""


class Answered(Protocol):
    """A request that an application answered: a `gateway.model.Exchange`."""

    @property
    def route(self) -> Printing:
        """Who answered."""

    @property
    def method(self) -> str:
        """The method."""

    @property
    def url(self) -> str:
        """As the caller spelled it."""

    @property
    def status(self) -> int:
        """The status of the answer."""

    @property
    def user_agent(self) -> str:
        """What the caller calls itself; "" where it does not."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    @property
    def request_bytes(self) -> int:
        """Length of the request's body."""

    @property
    def response_bytes(self) -> int:
        """Length of the answer's body."""

    @property
    def correlation_id(self) -> str:
        """What the gateway named it."""

    @property
    def remote_ip(self) -> str:
        """The caller's address."""


def line_entry(
    whose: Printing, stream: str, line: bytes, *, at: int, masker: Masker | None = None
) -> Entry:
    """The entry of a line that a program printed, without its end.

    A JSON object is APPLICATION_JSON with the severity that it has as `severity` or `level`;
    anything else is APPLICATION_TEXT. What says no severity has DEFAULT, and ERROR where it came
    by `stderr`: there stand the traces of crashes, and a filter that shows a line too many is
    better than one that misses them.
    """
    severity = _S.ERROR if stream == "stderr" else _S.DEFAULT
    text = line.decode("utf-8", "replace").rstrip("\r")
    kind = DeploymentLogType.APPLICATION_TEXT
    found = _object(text) if text.lstrip()[:1] == "{" and len(text) <= LONGEST else None
    details = None
    if found is not None:
        details = _json_details(text.strip(), found, masker)
    if found is not None and details is not None:
        kind = DeploymentLogType.APPLICATION_JSON
        severity = severity_of(found) or severity
    else:
        details = text_details(text, masker)
    return Entry(
        type=kind,
        deployment_id=whose.deployment_id,
        application=whose.application,
        severity=severity,
        at=at,
        details=details,
    )


def request_entry(answered: Answered, *, at: int, masker: Masker | None = None) -> Entry:
    """The entry of a request that was answered, in the fields of Google's HttpRequest.

    A 5xx is an ERROR, a 4xx a WARNING, anything else INFO.
    """
    severity = _S.INFO
    if answered.status >= _CLIENT_ERROR:
        severity = _S.ERROR if answered.status >= _SERVER_ERROR else _S.WARNING
    details = {
        "requestMethod": answered.method,
        "requestUrl": answered.url,
        "status": answered.status,
        "userAgent": answered.user_agent,
        "latency": f"{max(answered.seconds, 0.0):.6f}s",
        "remoteIp": answered.remote_ip,
        "requestSize": str(answered.request_bytes),
        "responseSize": str(answered.response_bytes),
        "correlationId": answered.correlation_id,
    }
    clean = {
        name: text_details(value, masker) if isinstance(value, str) else value
        for name, value in details.items()
    }
    return Entry(
        type=DeploymentLogType.HTTP_REQUEST,
        deployment_id=answered.route.deployment_id,
        application=answered.route.application,
        severity=severity,
        at=at,
        details=msgspec.json.encode(clean).decode(),
    )


def text_entry(
    deployment_id: str,
    application: str,
    message: str,
    *,
    at: int,
    severity: DeploymentLogSeverity = DeploymentLogSeverity.DEFAULT,
) -> Entry:
    """An entry of a text that the platform says itself."""
    return Entry(
        type=DeploymentLogType.APPLICATION_TEXT,
        deployment_id=deployment_id,
        application=application,
        severity=severity,
        at=at,
        details=text_details(message),
    )


def text_details(text: str, masker: Masker | None = None) -> str:
    """A text as it is kept: masked, cut, and without what a database cannot hold."""
    if masker is not None:
        text = masker.masked(text)
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text) - LONGEST} characters more were cut off)"
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text


def severity_of(found: dict[str, Any]) -> DeploymentLogSeverity | None:
    """The severity that a logged object says that it has, by `severity`, else by `level`."""
    for name in ("severity", "level"):
        severity = _severity(found.get(name))
        if severity is not None:
            return severity
    return None


def shown(entry: Entry) -> DeploymentLog:
    """An entry as the API shows it."""
    text = entry.type is DeploymentLogType.APPLICATION_TEXT
    return DeploymentLog(
        type=entry.type,
        deployment_id=entry.deployment_id,
        application_name=entry.application,
        severity=entry.severity,
        timestamp=to_rfc3339(entry.at),
        details={"message": entry.details} if text else msgspec.Raw(entry.details.encode()),
    )


def _severity(value: object) -> DeploymentLogSeverity | None:
    if isinstance(value, str):
        word = _colours.sub("", value).strip().lower()
        if word.isascii() and word.isdigit() and len(word) <= 3:  # noqa: PLR2004 - up to 800
            return _severity(int(word))
        return _WORDS.get(word)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    if value >= _GOOGLE_STEP:
        return SEVERITIES[int(min(value / _GOOGLE_STEP, len(SEVERITIES) - 1))]
    return next((severity for least, severity in _PINO if value >= least), _S.DEFAULT)


def _object(text: str) -> dict[str, Any] | None:
    """The object that a line is; None where it is none, or more than can be kept as one."""
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec's faults are ValueErrors
        return None
    return found if isinstance(found, dict) else None


def _json_details(text: str, found: dict[str, Any], masker: Masker | None) -> str | None:
    """A JSON line as it is kept: masked; None where it is nested too deeply."""
    plain = "\\" not in text and text.count("{") + text.count("[") <= DEEPEST
    if plain and (masker is None or not masker.finds(text)):
        return text
    try:
        clean = _clean(found, masker, 0)
        return msgspec.json.encode(clean).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _clean(value: Any, masker: Masker | None, depth: int) -> Any:
    """A JSON value with every text in it as it is kept, names too."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        return text_details(value, masker)
    if isinstance(value, dict):
        return {
            text_details(name, masker): _clean(inner, masker, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_clean(inner, masker, depth + 1) for inner in value]
    if masker is not None and not isinstance(value, bool) and isinstance(value, int | float):
        text = str(value)
        return masker.masked(text) if masker.finds(text) else value
    return value
