"""What holds for all pages: links lead somewhere, names are real, pictures are true."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from scripts import terminal_picture

from connectory.cli.main import COMMANDS
from connectory.settings import NOT_SETTINGS, Settings
from tests.docs.pages import DOCS, ROOT, blocks, sections
from tests.harness import Installation

PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_site_builds_with_every_block_and_no_link_within_is_broken(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").exists()
    # A block whose head says what the site does not know is no block, nor is what follows.
    pages = (tmp_path / "site").rglob("*.html")
    assert [each.name for each in pages if "```" in each.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=name)
def test_a_link_outside_the_site_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_settings_and_commands_that_a_page_names_are_real(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {f"CONNECTORY_{field.upper()}" for field in Settings.__dataclass_fields__}
    for variable in re.findall(r"\bCONNECTORY_[A-Z_]*[A-Z]\b", text):
        assert variable in known | NOT_SETTINGS
    for command in re.findall(r"(?:`|^[$#] |\()connectory ([a-z][a-z-]+)", text, re.MULTILINE):
        assert command in COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_names_no_place_of_the_machine_that_it_was_written_on(page: Path) -> None:
    assert not re.search(r"/work/|/tmp/|/root/", page.read_text(encoding="utf-8"))


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{n + 1:04}" for n in range(len(DECISIONS))]


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_has_its_number_its_parts_and_one_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    assert list(sections(page))[1:] == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 70


def test_a_page_that_the_program_refers_to_is_there() -> None:
    source = [*(ROOT / "src").rglob("*.py"), ROOT / "bootstrap.py"]
    named = {
        found
        for file in source
        for found in re.findall(r"docs/[\w/.-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    for page in named:
        assert (ROOT / page).exists(), page


@pytest.mark.parametrize("recording", sorted((DOCS / "images").glob("*.txt")), ids=name)
def test_a_picture_of_a_terminal_shows_its_recording(recording: Path) -> None:
    drawn = recording.with_suffix(".svg").read_text(encoding="utf-8")
    assert drawn == terminal_picture.picture(recording.read_text(encoding="utf-8"))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_page_on_monitoring_has_every_metric(installation: Installation) -> None:
    with installation.serving() as server:
        httpx.get(f"{server.url}/health")
        text = httpx.get(f"{server.url}/metrics").text
    told = set(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    page = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `(connectory_\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert shown == told


def test_json_that_is_shown_is_json() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "json":
                json.loads(block.text)
