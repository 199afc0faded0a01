"""What the official validator takes in a valid file, and what is hardly meant: Warnings."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from connectory.specification import relations, schedule
from connectory.specification.document import Document, Node
from connectory.specification.faults import Fault, Position
from connectory.specification.relations import Path
from connectory.specification.resolution import Kind
from connectory.specification.rules import fault

#: Variables of the system, of Node, Python and the loader, which an application needs as they are.
_SYSTEM_VARIABLES: Final = frozenset(
    [
        "HOME",
        "HOSTNAME",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PATH",
        "PWD",
        "PYTHONHOME",
        "PYTHONPATH",
        "SHELL",
        "TMPDIR",
        "USER",
    ]
)
_PLATFORM_PREFIX: Final = "CONNECT_"
_SCOPE = re.compile(r"[a-z][a-z0-9_]*(?::\S+)?")


def of_text(source: bytes, lines: Sequence[str]) -> Iterator[Fault]:
    """What is odd about the characters of a file."""
    try:
        source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        begin = source.rfind(b"\n", 0, error.start) + 1
        column = len(source[begin : error.start].decode("utf-8", "replace")) + 1
        message = "the file is not UTF-8 from here on"
        yield fault(
            "not-utf-8", "", Position(line, column), message, "save it as UTF-8; it is read so"
        )
    for number, line_text in enumerate(lines, start=1):
        if line_text.isascii() and line_text.isprintable():
            continue
        for place, character in enumerate(line_text, start=1):
            if character not in "\t\ufeff" and unicodedata.category(character) == "Cc":
                message = f"the control character U+{ord(character):04X}"
                where = Position(number, place)
                yield fault("control-character", "", where, message, "take it out")
                return


def of_document(document: Document) -> Iterator[Fault]:
    """What is odd about a valid document."""
    for tag, where in document.ignored_tags:
        message = f"the tag `{tag[:80]}` means nothing here"
        yield fault("ignored-tag", "", where, message, "take it out")
    root = document.root
    listed = root.get("deployAs")
    if listed is not None and not listed.items:
        hint = "a Connector without applications can be published, and does nothing"
        yield fault("no-applications", "deployAs", listed.position, "no application", hint)
    yield from relations.hidden_duplicates(root)
    shared = root.get("inheritAs")
    if shared is not None:
        yield from _configuration(shared.get("configuration"), ("inheritAs", "configuration"))
        yield from _scopes(shared.get("apiClient"))
    names: dict[str, str] = {}
    for place, application in relations.applications(root):
        path: Path = ("deployAs", place)
        yield from _name(application, path, names)
        yield from _application(application, path)
        yield from _configuration(application.get("configuration"), (*path, "configuration"))


def _name(application: Node, path: Path, names: dict[str, str]) -> Iterator[Fault]:
    name = application.get("name")
    if name is None or name.text is None:
        return
    earlier = names.setdefault(name.text.lower(), name.text)
    if earlier != name.text:
        message = f"`{name.text}` differs from `{earlier}` in case only"
        hint = "some file systems take their folders for one"
        yield fault("similar-names", _at((*path, "name")), name.position, message, hint)


def _application(application: Node, path: Path) -> Iterator[Fault]:
    kind = application.get("applicationType")
    if kind is not None and kind.text == "unknown":
        at = _at((*path, "applicationType"))
        message = "an application of type `unknown` is not deployed"
        yield fault("unknown-application", at, kind.position, message, "choose a type")
    if kind is not None and kind.text == "mc-app":
        at = _at((*path, "applicationType"))
        hint = "write `merchant-center-custom-application`"
        yield fault("former-type", at, kind.position, "`mc-app` is the name of old", hint)
    endpoint = application.get("endpoint")
    if endpoint is not None and endpoint.text and not endpoint.text.startswith("/"):
        message = "the endpoint does not begin with `/`"
        hint = "it is taken as if it did; write the slash"
        at = _at((*path, "endpoint"))
        yield fault("relative-endpoint", at, endpoint.position, message, hint)
    properties = application.get("properties")
    when = properties.get("schedule") if properties else None
    if when is not None and when.text is not None:
        at = _at((*path, "properties", "schedule"))
        for rule, message, hint in schedule.advice(when.text):
            yield fault(rule, at, when.position, message, hint)
    yield from _health_check(application.get("healthCheck"), (*path, "healthCheck"))


def _health_check(check: Node | None, path: Path) -> Iterator[Fault]:
    timeout = check.get("timeoutSeconds") if check else None
    interval = check.get("intervalSeconds") if check else None
    if timeout is None or interval is None:
        return
    if isinstance(timeout.value, int) and isinstance(interval.value, int):  # noqa: SIM102 - two thoughts
        if timeout.value > interval.value:
            at = _at((*path, "timeoutSeconds"))
            message = f"waits {timeout.value} seconds, and asks again after {interval.value}"
            hint = "do not wait longer than `intervalSeconds`"
            yield fault("health-check-overlap", at, timeout.position, message, hint)


def _configuration(configuration: Node | None, path: Path) -> Iterator[Fault]:
    names: dict[str, str] = {}
    for within, key in relations.keys(configuration):
        name = str(key.text)
        at = _at((*path, *within))
        earlier = names.setdefault(name.lower(), name)
        if earlier != name:
            message = f"`{name}` differs from `{earlier}` in case only"
            yield fault("similar-names", at, key.position, message, "is one of them a slip?")
        if name in _SYSTEM_VARIABLES or name.startswith(_PLATFORM_PREFIX):
            owner = "system" if name in _SYSTEM_VARIABLES else "platform"
            message = f"the {owner} sets `{name}` itself"
            yield fault("platform-variable", at, key.position, message, "choose another name")


def _scopes(client: Node | None) -> Iterator[Fault]:
    scopes = client.get("scopes") if client else None
    for place, scope in enumerate(scopes.items if scopes else ()):
        if scope.kind is Kind.STRING and not _SCOPE.fullmatch(str(scope.value)):
            at = _at(("inheritAs", "apiClient", "scopes", place))
            message = "this does not look like a scope"
            hint = "scopes are such as `view_products`; one to a line"
            yield fault("scope-spelling", at, scope.position, message, hint)


def _at(path: Path) -> str:
    return ".".join(map(str, path))
