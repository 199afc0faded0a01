"""The tutorial, done as it is written: every command block is run, every output compared."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.harness import START_SECONDS, free_port

PAGE = DOCS / "tutorial" / "first-search.md"
INSTALL = "make install\n"
#: The home folder that the page's reader has.
READERS_HOME = "/home/ada"


class Reader:
    """Somebody with two terminals who does what the page says."""

    def __init__(self, checkout: Path, home: Path, port: int) -> None:
        self._checkout = checkout
        self._port = port
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CONNECTORY_", "COV"))}
        self._environment = kept | {"HOME": str(home), "PYTHONWARNINGS": "", "LC_ALL": "C.UTF-8"}
        self._home = home
        self._shell = self._bash("-s", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._second: subprocess.Popen[str] | None = None

    def do(self, block: Block) -> str:
        """Run a block in the first terminal; what it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        fails = "fails" in block.attributes.split()
        self._shell.stdin.write(
            f"set -o pipefail; set {'+e' if fails else '-e'}\n"
            f'{self._here(block.text)}\necho "=== $?"\n'
        )
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            if line.startswith("=== "):
                assert (line != "=== 0\n") == fails, printed
                return printed.replace(str(self._home), READERS_HOME)
            printed += line
        raise AssertionError(f"it ended at\n{block.text}\n{printed}")

    def do_in_second_terminal(self, block: Block) -> None:
        """Run a block that goes on; return when its server answers."""
        self._second = self._bash("-euc", self._here(block.text), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self._port}/health").status_code == 200:
                    return
            assert self._second.poll() is None, "the server ended"
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    def leave(self) -> None:
        """Close both terminals."""
        for process in (self._shell, self._second):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()

    def _here(self, text: str) -> str:
        return text.replace("7070", str(self._port))

    def _bash(self, *arguments: str, **streams: int) -> "subprocess.Popen[str]":
        options = {"stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL} | streams
        return subprocess.Popen(
            ["bash", *arguments],
            cwd=self._checkout,
            env=self._environment,
            text=True,
            start_new_session=True,
            **options,
        )


def follow(page: list[Block], reader: Reader) -> None:
    """Do every block, and compare what is printed with what the page shows."""
    for block, after in zip(page, [*page[1:], None], strict=True):
        if block.language != "sh":
            continue
        if "second terminal" in block.attributes:
            reader.do_in_second_terminal(block)
            continue
        printed = reader.do(block)
        if after is not None and after.language == "text":
            assert printed.strip() == after.text.strip(), block.text


@contextlib.contextmanager
def reading(checkout: Path, home: Path) -> Iterator[Reader]:
    home.mkdir()
    reader = Reader(checkout, home, free_port())
    try:
        yield reader
    finally:
        reader.leave()


def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    # The tests run in a checkout that is set up; the long test below does that step as well.
    page = [block for block in blocks(PAGE) if block.text != INSTALL]
    here = f". {sys.prefix}/bin/activate"
    page = [
        Block(each.language, each.attributes, each.text.replace(". .venv/bin/activate", here))
        for each in page
    ]
    with reading(ROOT, tmp_path / "home") as reader:
        follow(page, reader)


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
