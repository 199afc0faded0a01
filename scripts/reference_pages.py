"""Writes docs/reference from the program itself, so that the pages cannot say anything else.

    .venv/bin/python -m scripts.reference_pages

Settings come from `settings.Settings`, commands from click's own help, errors from
`contract.errors`, endpoints from the endpoint table by way of the OpenAPI document, the rules of
connect.yaml from `specification.rules`. A test writes the pages anew and compares.
"""

import dataclasses
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from connectory import __version__, app
from connectory.cli.main import root
from connectory.contract import errors
from connectory.database.engine import open_database
from connectory.http import openapi
from connectory.kernel.clock import system_clock
from connectory.settings import Settings, variable
from connectory.specification import rules

FOLDER = Path(__file__).parent.parent / "docs" / "reference"

_MADE = "<!-- Made by scripts/reference_pages.py; what is changed here by hand is lost. -->\n"
_METHODS = ("get", "post", "put", "patch", "delete")
_HELP_WIDTH = 88
_KIB, _MIB = 2**10, 2**20


def settings_page() -> str:
    """Every setting with its default and its meaning."""
    rows = [
        (
            f"`{variable(field.name)}`",
            _default(field.name, field.default),
            field.metadata["meaning"],
        )
        for field in dataclasses.fields(Settings)
    ]
    return f"""# Settings

{_MADE}
A setting is an environment variable. One that is empty counts as left out. A variable that starts
with `CONNECTORY_` and is not a setting stops the program: a misspelt setting never goes unnoticed.
`connectory settings` shows what an installation has. Every command takes two of them as options,
which win: `--data` and `--database-url`.

{_table(("Setting", "Default", "Meaning"), rows)}
`CONNECTORY_TRACEBACK=1` is for reporting a fault: a command that fails then prints the traceback
before its one line.
"""


def commands_page() -> str:
    """Every command as its own help describes it."""
    sections = []
    for path, help_text in _helps(root, "connectory", None):
        level = "#" * min(2 + path.count(" ") - (path != "connectory"), 4)
        sections.append(f"{level} {path}\n\n```text\n{help_text}\n```\n")
    return f"""# Commands

{_MADE}
A command ends with exit code 0 when it did what was asked, with 1 when it could not, and with 2
when it was called wrongly; `serve` that was told to stop ends with 0. What went wrong is one line
on standard error. With `--json` the result is one line of JSON on standard output.

{_lines(sections)}"""


def errors_page() -> str:
    """Every error that an answer can carry."""
    examples = {
        code: example["value"]["message"]
        for answer in _described()["components"]["responses"].values()
        for content in answer.get("content", {}).values()
        for code, example in content["examples"].items()
    }
    kinds = sorted(error_kinds(), key=lambda kind: (kind.status, kind.code, len(kind.__mro__)))
    rows = {kind: _error_row(kind, examples.get(kind.code, "")) for kind in kinds}
    contracted = [rows[kind] for kind in kinds if not issubclass(kind, errors.Uncontracted)]
    own = [rows[kind] for kind in kinds if issubclass(kind, errors.Uncontracted)]
    return f"""# Errors

{_MADE}
Every error answer has one body. `message` is that of the first error; all errors of one answer have
its status. `detailedErrorMessage` says what exactly is wrong, and where in the request.

```json
{{
  "statusCode": 400,
  "message": "Request query param is not valid",
  "errors": [
    {{
      "code": "InvalidQueryParam",
      "message": "Request query param is not valid",
      "detailedErrorMessage": "limit: expected a whole number from 0 to 500, got '501'"
    }}
  ]
}}
```

Errors of OAuth have `error` beside it and, where there is more to say, `error_description`. Every
answer has the header `X-Correlation-ID`; the same id is in the server's log lines of that request.

## Errors of the contract

{_table(("Code", "Status", "When", "Message"), contracted)}
## Errors that the contract lacks

The published interface has no code for these; [Differences](../differences.md) lists them as well.

{_table(("Code", "Status", "When", "Message"), own)}"""


def endpoints_page() -> str:
    """Every endpoint, and the types that they take and give."""
    described = _described()
    sections: list[str] = []
    for tag in described["tags"]:
        sections.append(f"## {tag['name']}\n")
        sections += [
            _endpoint(method.upper(), path, operation, described)
            for path, operations in described["paths"].items()
            for method, operation in operations.items()
            if method in _METHODS and operation["tags"] == [tag["name"]]
        ]
    types = [_type(name, schema) for name, schema in described["components"]["schemas"].items()]
    return f"""# Endpoints

{_MADE}
A running server describes itself under `/docs`, and for programs under `/openapi.json`. Wherever
GET works, HEAD does. Parameters that an endpoint does not know are ignored. Where an answer has an
`ETag`, `If-None-Match` turns it into a 304 while nothing has changed; answers are compressed when
`Accept-Encoding` asks for gzip. An error has the body that [Errors](errors.md) describes.

{_lines(sections)}
## Types

{_lines(types)}"""


def rules_page() -> str:
    """Every rule of connect.yaml."""
    groups = (
        ("The file", "It is YAML 1.2, read as the official validator reads it.", rules.YAML),
        ("What stands in it", "One value at a time.", rules.SHAPE),
        ("How its parts fit together", "", rules.RELATIONS),
        ("Advice", "What the official validator takes, and what is hardly meant.", rules.ADVICE),
        (
            "What lies beside it",
            "Looked at where a folder is validated, not a file alone.",
            rules.STRUCTURE,
        ),
    )
    sections = [
        f"## {title}\n\n"
        + (f"{meaning}\n\n" if meaning else "")
        + _table(
            ("Rule", "Severity", "What is asked for"),
            [(f"`{name}`", rule.severity.value, rule.demand) for name, rule in group.items()],
        )
        for title, meaning, group in groups
    ]
    return f"""# Validation rules

{_MADE}
What `connectory validate` and a publish ask of a connector. An Error makes it invalid, a Warning
does not. [How to validate a connector](../how-to/validate-a-connector.md) shows how a breach is
told; [what is judged beyond the official validator](
../decisions/0012-what-is-judged-beyond-the-official-validator.md) says where the line is.

{_lines(sections)}"""


#: File in docs/reference → what is in it.
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "endpoints.md": endpoints_page,
    "validation-rules.md": rules_page,
}


def main() -> None:
    """Write every page."""
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


def error_kinds(kind: type[errors.ApiError] = errors.ApiError) -> Iterator[type[errors.ApiError]]:
    """Every error that has a code."""
    for each in kind.__subclasses__():
        if each.code and each.__subclasses__() == []:
            yield each
        yield from error_kinds(each)
    if kind.code and kind.__subclasses__():
        yield kind


def _error_row(kind: type[errors.ApiError], example: str) -> tuple[str, ...]:
    """A row of the table of errors; a message that differs from case to case is an example."""
    when = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    # The numbers only: what http.HTTPStatus calls them is not the same in every Python.
    return f"`{kind.code}`", str(kind.status), when, _message(kind) or f"for example: {example}"


def _message(kind: type[errors.ApiError]) -> str:
    """The message that an error always has, with the names of what differs in it; or nothing."""
    parameters = inspect.signature(kind).parameters
    if "message" in parameters:
        return ""
    given: list[Any] = [
        f"{{{name}}}" if each.annotation is str else [f"{{{name}}}"]
        for name, each in parameters.items()
    ]
    return kind(*given).message


def _described() -> dict[str, Any]:
    """The OpenAPI document of the endpoint table."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database("", Path(folder))  # never asked: composing reads nothing
        node = app.compose(Settings(), database, system_clock)
        database.close()
    return openapi.document(node.endpoints, version=__version__)


def _helps(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    """The help of a command and of all those below it."""
    context = click.Context(
        command,
        info_name=path.rpartition(" ")[2],
        parent=parent,
        terminal_width=_HELP_WIDTH,
        max_content_width=_HELP_WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _helps(below, f"{path} {name}", context)


def _endpoint(method: str, path: str, operation: dict[str, Any], described: dict[str, Any]) -> str:
    parts = [f"### {method} {path}\n", f"{operation['summary']}. {_flat(operation)}".strip() + "\n"]
    if operation.get(openapi.ADDITION):
        parts.append("An addition: the published interface lacks it.\n")
    parts.append(_access(operation))
    parameters = [
        (f"`{each['name']}`", each["in"], _kind(each["schema"]), _meaning(each))
        for each in operation.get("parameters", ())
        if "$ref" not in each
    ]
    if parameters:
        parts.append(_table(("Parameter", "In", "Type", "Meaning"), parameters))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Takes {_kind(content['schema'])} as `{media}`.\n")
    answers = [
        _answer(status, answer, described) for status, answer in operation["responses"].items()
    ]
    return "\n".join([*parts, _table(("Status", "Answer"), answers)])


def _access(operation: dict[str, Any]) -> str:
    security = operation.get("security", [])
    scopes = [f"`{scope}`" for each in security for scope in each.get("oauth2", ())]
    if scopes:
        return f"Needs a token with any one of the scopes {', '.join(scopes)}.\n"
    if {"operator": []} in security:
        return "Needs a token of an operator, and takes no other.\n"
    if any("client" in each for each in security):
        return "Needs the id and secret of an API Client, by Basic authentication or in the form.\n"
    return "Open to anyone.\n"


def _answer(status: str, answer: dict[str, Any], described: dict[str, Any]) -> tuple[str, str]:
    if "$ref" in answer:
        answer = described["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if status == "304":
        return status, answer["description"]
    codes: dict[str, Any] = {}
    for media, content in answer.get("content", {}).items():
        codes = content.get("examples", {})
        if not codes:
            kind = _kind(content["schema"])
            return status, f"{kind} as `{media}`" if kind != "text" else f"text, `{media}`"
    return status, ", ".join(f"`{code}`" for code in codes)


def _type(name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name}\n"]
    if schema.get(openapi.ADDITION):
        parts.append("An addition: the published interface lacks it.\n")
    if description := schema.get("description"):
        parts.append(f"{description}\n")
    if "enum" in schema:
        parts.append(f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.\n")
    required = schema.get("required", ())
    rows = [
        (f"`{field}`", _kind(each), "yes" if field in required else "", _meaning({"schema": each}))
        for field, each in schema.get("properties", {}).items()
    ]
    if rows:
        parts.append(_table(("Field", "Type", "Required", "Meaning"), rows))
    return "\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
    """What a value is, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    words = {"integer": "whole number", "boolean": "true or false", "string": "text"}
    return words.get(kind, kind)


def _meaning(described: dict[str, Any]) -> str:
    """What a parameter or field means, and its bounds."""
    schema = described["schema"]
    said = [str(described.get("description") or schema.get("description") or "")]
    if "minimum" in schema and "maximum" in schema:
        said.append(f"From {schema['minimum']} to {schema['maximum']}.")
    elif "minimum" in schema:
        said.append(f"At least {schema['minimum']}.")
    if "enum" in schema:
        said.append(f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.")
    pattern = schema.get("pattern", "")
    if pattern and pattern != openapi.TEXT_PATTERN:
        said.append(f"`{pattern}`")
    if schema.get("type") == "array" and "name" in described:
        said.append("Can be repeated.")
    if schema.get("default", "") not in ("", []):
        said.append(f"Default: {str(schema['default']).lower()}.")
    return " ".join(filter(None, said))


def _flat(operation: dict[str, Any]) -> str:
    return " ".join(operation.get("description", "").split())


def _default(name: str, value: Any) -> str:
    if value in ("", (), None):
        return "empty"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if name.endswith("_bytes"):
        unit, size = ("MiB", _MIB) if value >= _MIB else ("KiB", _KIB)
        return f"`{text}` ({value // size} {unit})"
    return f"`{text}`"


def _lines(parts: list[str]) -> str:
    return "\n".join(parts)


def _table(heading: tuple[str, ...], rows: Any) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
