"""Somebody who does what a page of the documentation says, and compares what they see."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.docs.pages import Block
from tests.harness import START_SECONDS, free_port

INSTALL = "make install\n"
#: The home folder that a page's reader has.
READERS_HOME = "/home/ada"

#: What is typed where a block asks: `answer="y"`.
_ANSWER = re.compile(r'\banswer="(\w+)"')
_TERMINAL = Path(__file__).with_name("terminal.py")

_COLOURS = re.compile(r"\x1b\[\d+m")
#: Ids of resources, and those that the official CLI gives its requests.
_IDS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\bcommercetools-cli-[0-9a-f]{32}\b"
)


class Reader:
    """Somebody with two terminals who does what the page says."""

    def __init__(
        self, checkout: Path, home: Path, port: int, variables: Mapping[str, str] | None = None
    ) -> None:
        self._checkout = checkout
        self._port = port
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CONNECTORY_", "COV"))}
        self._environment = kept | {"HOME": str(home), "PYTHONWARNINGS": "", "LC_ALL": "C.UTF-8"}
        self._environment |= variables or {}
        self._home = home
        self._shell = self._bash("-s", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._second: subprocess.Popen[str] | None = None

    def do(self, block: Block) -> str:
        """Run a block in the first terminal; what it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        fails = "fails" in block.attributes.split()
        text = self._here(block.text)
        if asked := _ANSWER.search(block.attributes):
            text = self._answered(text, asked[1])
        self._shell.stdin.write(
            f"set -o pipefail; set {'+e' if fails else '-e'}\n"
            f'{{\n{text}}} < /dev/null\nprintf "\\n=== %s\\n" $?\n'  # stdin is for us
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

    def _answered(self, text: str, answer: str) -> str:
        """A block that asks at a terminal. It sees what was exported, and no other variables."""
        words = [sys.executable, str(_TERMINAL), answer, "bash", "-ec", text]
        return f"{shlex.join(words)}\n"

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


class Sight:
    """What somebody sees in texts: no codes of colours, and of ids only which are the same.

    Ids are others each time. The first that comes up is `id 1` from then on.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, text: str) -> str:
        plain = _IDS.sub(self._name, _COLOURS.sub("", text))
        return "\n".join(line.rstrip() for line in plain.splitlines()).strip()

    def _name(self, found: "re.Match[str]") -> str:
        return self._ids.setdefault(found[0], f"id {len(self._ids) + 1}")


def follow(page: list[Block], reader: Reader) -> None:
    """Do every block, and compare what is printed with what the page shows."""
    shown, seen = Sight(), Sight()
    for block, after in zip(page, [*page[1:], None], strict=True):
        if block.language != "sh":
            continue
        if "second terminal" in block.attributes:
            reader.do_in_second_terminal(block)
            continue
        printed = reader.do(block)
        if after is not None and after.language == "text":
            assert seen.of(printed) == shown.of(after.text), block.text


def installed(page: list[Block]) -> list[Block]:
    """A page for a checkout that is set up, as that in which the tests run.

    The long tests of a page do what is left out here as well.
    """
    here = f". {sys.prefix}/bin/activate"
    return [
        Block(each.language, each.attributes, each.text.replace(". .venv/bin/activate", here))
        for each in page
        if each.text != INSTALL
    ]


@contextlib.contextmanager
def reading(
    checkout: Path, home: Path, variables: Mapping[str, str] | None = None
) -> Iterator[Reader]:
    """A reader in a checkout, with a new home folder, and more variables where they are given."""
    home.mkdir()
    reader = Reader(checkout, home, free_port(), variables)
    try:
        yield reader
    finally:
        reader.leave()
