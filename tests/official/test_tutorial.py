"""The tutorials on the official CLI, done as they are written, by somebody who hates waiting."""

import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.docs.reader import INSTALL, follow, installed, reading
from tests.harness import UNCONFINED
from tests.official import npm
from tests.official.machine import IMPATIENT

#: Each with the folder that all of it goes into.
PUBLISH = (DOCS / "tutorial" / "publish-with-the-official-cli.md", "cli-tutorial")
EVENTS = (DOCS / "tutorial" / "events-and-jobs.md", "events-tutorial")
both = pytest.mark.parametrize(("page", "folder"), [PUBLISH, EVENTS], ids=["publish", "events"])


def install(folder: str) -> str:
    return f"npm install --prefix ~/{folder} @commercetools/cli@{npm.CLI_VERSION}\n"


@both
@pytest.mark.long  # two dozen starts of the CLI take a second each
@pytest.mark.timeout(300)
def test_every_command_does_what_the_page_says(
    page: Path, folder: str, packages: Path, tmp_path: Path
) -> None:
    # The packages are those that the other tests use; the long test below installs its own.
    link = Block("sh", "", f"mkdir ~/{folder}; ln -s {packages} ~/{folder}/node_modules\n")
    steps = [link if each.text == install(folder) else each for each in installed(blocks(page))]
    with reading(ROOT, tmp_path / "home", IMPATIENT | UNCONFINED) as reader:
        follow(steps, reader)


@both
def test_no_command_is_left_out(page: Path, folder: str) -> None:
    texts = [block.text for block in blocks(page)]
    assert {block.language for block in blocks(page)} == {"sh", "text"}
    assert texts.count(INSTALL) == texts.count(install(folder)) == 1


@pytest.mark.parametrize("page", [PUBLISH[0], EVENTS[0]], ids=["publish", "events"])
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("packages")  # it is skipped where npm reaches no registry
def test_it_works_from_a_fresh_clone_with_all_its_waits(page: Path, tmp_path: Path) -> None:
    clone = tmp_path / "connectory"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with reading(clone, tmp_path / "home") as reader:
        follow(blocks(page), reader)
