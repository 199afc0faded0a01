"""The reference pages say what the program is, no more and no less."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from scripts import reference_pages

from connectory import app
from connectory.cli.main import root
from connectory.contract.errors import Uncontracted
from connectory.database.engine import open_database
from connectory.kernel.clock import system_clock
from connectory.settings import Settings, variable
from tests.docs.pages import DOCS

REFERENCE = DOCS / "reference"


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_page_is_what_the_program_says_today(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == reference_pages.PAGES[name](), "run: python -m scripts.reference_pages"


def test_every_setting_is_there() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Settings):
        assert f"| `{variable(field.name)}` |" in page


def test_every_command_is_there() -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8").splitlines()
    paths = list(commands(root, "connectory"))
    assert len(paths) > 15
    for path in paths:
        assert any(line.startswith(f"Usage: {path} ") for line in page), path


def commands(command: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}")


def test_every_error_code_is_there() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    kinds = set(reference_pages.error_kinds())
    assert len(kinds) > 15
    for kind in kinds:
        assert f"| `{kind.code}` | {kind.status} |" in page


def test_every_endpoint_is_there(tmp_path: Path) -> None:
    page = (REFERENCE / "endpoints.md").read_text(encoding="utf-8").splitlines()
    database = open_database("", tmp_path)
    endpoints = app.compose(Settings(), database, system_clock).endpoints
    database.close()
    for endpoint in endpoints:
        assert f"### {endpoint.method} {endpoint.path}" in page


def test_every_code_that_the_contract_lacks_is_among_the_differences() -> None:
    page = (DOCS / "differences.md").read_text(encoding="utf-8")
    own = [kind for kind in reference_pages.error_kinds() if issubclass(kind, Uncontracted)]
    assert own
    for kind in own:
        assert f"| `{kind.code}` | {kind.status} |" in page
