"""The tutorial on the official CLI, done as it is written, by somebody who hates waiting."""

import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.docs.reader import INSTALL, follow, installed, reading
from tests.harness import UNCONFINED
from tests.official import npm
from tests.official.machine import IMPATIENT

PAGE = DOCS / "tutorial" / "publish-with-the-official-cli.md"
INSTALL_CLI = f"npm install --prefix ~/cli-tutorial @commercetools/cli@{npm.CLI_VERSION}\n"


@pytest.mark.timeout(300)  # it waits for two dozen starts of the CLI
def test_every_command_does_what_the_page_says(packages: Path, tmp_path: Path) -> None:
    # The packages are those that the other tests use; the long test below installs its own.
    link = Block("sh", "", f"mkdir ~/cli-tutorial; ln -s {packages} ~/cli-tutorial/node_modules\n")
    page = [link if block.text == INSTALL_CLI else block for block in installed(blocks(PAGE))]
    with reading(ROOT, tmp_path / "home", IMPATIENT | UNCONFINED) as reader:
        follow(page, reader)


def test_no_command_is_left_out() -> None:
    texts = [block.text for block in blocks(PAGE)]
    assert {block.language for block in blocks(PAGE)} == {"sh", "text"}
    assert texts.count(INSTALL) == texts.count(INSTALL_CLI) == 1


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("packages")  # it is skipped where npm reaches no registry
def test_it_works_from_a_fresh_clone_with_all_its_waits(tmp_path: Path) -> None:
    clone = tmp_path / "connectory"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with reading(clone, tmp_path / "home") as reader:
        follow(blocks(PAGE), reader)
