"""The tutorial, done as it is written: every command block is run, every output compared."""

import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, blocks
from tests.docs.reader import INSTALL, follow, installed, reading

PAGE = DOCS / "tutorial" / "first-search.md"


def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    # The tests run in a checkout that is set up; the long test below does that step as well.
    with reading(ROOT, tmp_path / "home") as reader:
        follow(installed(blocks(PAGE)), reader)


def test_no_command_is_left_out() -> None:
    """What the page shows for running is run: blocks of commands are `sh`, not anything else."""
    assert {block.language for block in blocks(PAGE)} == {"sh", "text"}
    assert [block.text for block in blocks(PAGE)].count(INSTALL) == 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_works_from_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "connectory"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with reading(clone, tmp_path / "home") as reader:
        follow(blocks(PAGE), reader)
