"""The README's commands, run as they stand."""

import json
import os
import subprocess
from pathlib import Path

import bootstrap
import pytest

from tests.conftest import lacking
from tests.docs.pages import ROOT, blocks, sections
from tests.harness import COMMAND, Installation
from tests.official import npm

README = ROOT / "README.md"


def commands(heading: str, port: str) -> str:
    """The block under a heading, for a server on another port than the demo's."""
    under = sections(README)[heading]
    [block] = [each for each in blocks(README) if each.language == "sh" and each.text in under]
    return block.text.replace("7070", port)


@pytest.fixture
def demo(tmp_path: Path):
    installation = Installation(tmp_path / "data")
    installation.data.mkdir()
    with installation.serving("--demo") as server:
        yield server.url.rpartition(":")[2]


def bash(script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORY_")}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_two_commands_are_commands_of_the_checkout() -> None:
    lines = commands("Two commands", "7070").splitlines()
    targets = [line.split("#")[0].split() for line in lines]
    assert [words[0] for words in targets] == ["make", "make"]
    assert {words[1] for words in targets} <= set(bootstrap.COMMANDS)
    makefile = (ROOT / "Makefile").read_text()
    for _, target in targets:
        assert f"\n{target}: " in makefile


def test_the_first_search_finds_what_the_picture_shows(demo: str) -> None:
    done = bash(commands("The first search", demo))
    assert done.returncode == 0, done.stderr
    page = json.loads(done.stdout)
    assert page["total"] == 5
    picture = (ROOT / "docs" / "images" / "first-search.txt").read_text()
    names = [each["name"] for each in page["results"]]
    assert len(names) == 3
    assert all(f'"{name}"' in picture for name in names)


def test_the_official_cli_logs_in(demo: str, node: str, tmp_path: Path) -> None:
    try:
        packages = npm.installed(node)
    except npm.NotInstallable as why:
        lacking("node", str(why))
    script = commands("The official CLI", demo).replace(". .venv/bin/activate\n", "")
    # The exports name the demo's own port unless they are told of another.
    script = script.replace("official-cli-env", f"official-cli-env --url http://127.0.0.1:{demo}")
    path = f"{packages / '.bin'}:{Path(COMMAND).parent}:{os.environ['PATH']}"
    done = bash(script, PATH=path, HOME=str(tmp_path), NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert "Logged in as connectory-demo-client-1" in done.stdout


def test_it_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 100
