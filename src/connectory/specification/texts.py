"""What is asked of single texts, with the official messages."""

from collections.abc import Callable, Mapping
from functools import partial

from connectory.specification import shape

#: Rule, message, hint, official message.
Told = tuple[str, str, str, str]

_CRON = (
    "Please provide a valid cron schedule string following the specified format. For example,"
    " for daily, you can use '@daily' or the cron expression '0 0 * * *'."
)
_EMPTY = "String must contain at least 1 character(s)"


def _quoted(text: str) -> str:
    return f"`{text if len(text) <= 60 else text[:59] + '…'}`"  # noqa: PLR2004


def _name(text: str) -> list[Told]:
    if shape.is_name(text):
        return []
    hint = "2 to 256 letters without accents, digits, `-` and `_`"
    return [("name", f"{_quoted(text)} is no name of an application", hint, "Invalid")]


def _endpoint(text: str) -> list[Told]:
    found: list[Told] = []
    if not shape.is_endpoint(text):
        hint = "letters without accents, digits, `-`, `_` and `/`, such as `/service`"
        found.append(("endpoint", f"{_quoted(text)} is no path", hint, "Invalid"))
    if "//" in text:
        hint = "write one slash"
        official = "Double slashes are not allowed"
        found.append(("double-slash", f"{_quoted(text)} has a double slash", hint, official))
    return found


def _schedule(text: str) -> list[Told]:
    if shape.is_schedule(text):
        return []
    hint = "five fields with one blank between: minute, hour, day of the month, month, day of"
    hint += " the week, all as numbers, such as `0 3 * * 1`; or `@daily`"
    return [("schedule", f"{_quoted(text)} is no schedule", hint, _CRON)]


def _key(text: str, *, secured: bool) -> list[Told]:
    if shape.is_reserved(text):
        hint = "the platform sets this variable; choose another name"
        message = f"{_quoted(text)} is reserved"
        return [("reserved-key", message, hint, f'Key "{text}" is a reserved word')]
    if shape.is_key(text):
        return []
    # The official messages for secured keys have their two cases the wrong way round.
    official = "Invalid configuration key"
    if shape.is_blank(text) == secured:
        official += f': "{text}"'
    hint = "2 to 256 letters without accents, digits and `_`"
    return [("configuration-key", f"{_quoted(text)} is no configuration key", hint, official)]


def _filled(text: str, *, what: str) -> list[Told]:
    if text == "":
        return [("empty-text", "the text is empty", "say something, or leave it out", _EMPTY)]
    if shape.is_blank(text):
        official = f"{what} cannot be only whitespace"
        return [("blank-text", "the text is only white space", "say something", official)]
    return []


def _scope(text: str) -> list[Told]:
    return [("empty-text", "the scope is empty", "name a scope", _EMPTY)] if not text else []


_FILLED = ("Description", "Default value", "postDeploy value", "preUndeploy value")

#: What `shape` calls a check → the check.
CHECKS: Mapping[str, Callable[[str], list[Told]]] = {
    "name": _name,
    "endpoint": _endpoint,
    "schedule": _schedule,
    "standard-key": partial(_key, secured=False),
    "secured-key": partial(_key, secured=True),
    "scope": _scope,
    **{what: partial(_filled, what=what) for what in _FILLED},
}
