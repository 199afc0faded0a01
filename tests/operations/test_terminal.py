"""What a person at a terminal sees: a log to read, a bar while an import goes on, the demo."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from connectory.catalogue import demo
from tests.harness import COMMAND, START_SECONDS, Installation, connector, free_port


class Terminal:
    """A command whose standard output and error are a terminal."""

    def __init__(self, installation: Installation, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, *arguments],
            env=installation.environment | {"TERM": "xterm", "COLUMNS": "100"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.shown = ""

    def read_until(self, enough: Callable[[str], object]) -> str:
        """What is on the screen as soon as it is enough, or when the command has ended."""
        deadline = time.monotonic() + START_SECONDS
        while not enough(self.shown) and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._ours, 65_536).decode()
                except OSError:  # Linux says so when the other side is closed
                    break
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._ours)


@pytest.fixture
def plain(tmp_path: Path) -> Installation:
    """An installation on the embedded database."""
    data = tmp_path / "data"
    data.mkdir()
    return Installation(data)


def test_the_log_is_one_to_read(plain: Installation) -> None:
    port = free_port()
    with contextlib.closing(Terminal(plain, "serve", "--port", str(port))) as terminal:
        shown = terminal.read_until(lambda text: "serving" in text and text.endswith("\n"))
        assert re.search(
            rf"^\d\d:\d\d:\d\d info    serving http://127\.0\.0\.1:{port}\r$", shown, re.MULTILINE
        )
        assert "{" not in shown
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(30) == 0
        assert " info    stopped" in terminal.read_until(lambda text: "stopped" in text)


def test_no_path_can_draw_on_the_terminal(plain: Installation) -> None:
    port = free_port()
    plain.settings["CONNECTORY_ACCESS_LOG"] = "all"
    with contextlib.closing(Terminal(plain, "serve", "--port", str(port))) as terminal:
        terminal.read_until(lambda text: "serving" in text)
        httpx.get(f"http://127.0.0.1:{port}/a%1b%5b2J%0ab%c2%9bc")
        shown = terminal.read_until(lambda text: "404" in text)
    assert r"GET /a\x1b[2J\nb\x9bc 404" in shown
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_an_import_shows_how_far_it_is(plain: Installation, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.jsonl"
    lines = [json.dumps(connector(f"c{number}")) for number in range(3_000)]
    file.write_text("\n".join(lines) + "\n")
    with contextlib.closing(Terminal(plain, "import", str(file))) as terminal:
        shown = terminal.read_until(lambda _: False)
        assert terminal.process.wait(10) == 0
    percentages = [int(each) for each in re.findall(r"reading .*?(\d+)%", shown)]
    assert percentages == sorted(percentages)
    assert len(set(percentages)) > 5
    assert percentages[-1] == 100
    assert "imported: 3000 new, 0 changed, 0 unchanged" in shown


def test_an_import_off_a_terminal_shows_no_bar(plain: Installation, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.jsonl"
    file.write_text(json.dumps(connector("one")))
    done = plain.run("import", str(file))
    assert (done.stdout, done.stderr) == ("imported: 1 new, 0 changed, 0 unchanged\n", "")


def test_the_requests_that_the_demo_prints_work_as_they_are_copied(plain: Installation) -> None:
    port = free_port()
    with contextlib.closing(Terminal(plain, "serve", "--demo", "--port", str(port))) as terminal:
        shown = terminal.read_until(lambda text: "Ctrl-C stops it." in text).replace("\r", "")
        for each in (
            f"API        http://127.0.0.1:{port}\n",
            f"reference  http://127.0.0.1:{port}/docs\n",
            f"client     {demo.CLIENT_ID}\n",
            f"secret     {demo.CLIENT_SECRET}\n",
        ):
            assert each in shown
        script = shown.partition("in another terminal:")[2].partition("Ctrl-C")[0]
        catalogue, _, deployment = script.partition(
            "Deploy a connector, call it, and read its log:"
        )
        assert catalogue.count("curl ") == 3
        deployment, _, more = deployment.partition(
            "Send it a message, run its job, break it and bring the release before back:"
        )
        create, call, read = re.split(r"\n    (?=curl)", deployment.strip("\n "))
        # A reader looks whether it is deployed before they call it.
        waited = f"until {call} | grep -q Hello; do sleep 0.3; done; sleep 1; echo; {call}; echo"
        script = "\n".join((catalogue, f"echo; {create} > /dev/null", waited, read))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("\n    curl", "\n    echo; curl")],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        then = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", more],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    page, one, hello, log = (json.loads(line) for line in done.stdout.splitlines() if line.strip())
    assert page["count"] == 3
    assert page["total"] > 10
    assert one["key"] == "adyen-payment"
    assert hello == {"message": "Hello, you!"}
    assert "greeting you" in json.dumps(log)
    assert more.count("connectory ") == 5
    assert "to listener: acknowledged" in then.stdout
    assert "of tidy: succeeded" in then.stdout
    for said in ("heard of OrderCreated", "everything is tidy", "greeting you"):
        assert said in then.stdout
    assert "GREETING: 'Hello' → 'ouch'" in then.stdout
    assert "GREETING: 'ouch' → 'Hello'" in then.stdout
