"""What threads may do at the same time, for the first time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: msgspec works a type out where it is used first; a thread that comes meanwhile used to crash.
AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from connectory.specification.model import _FILE
application = {"name": "a", "applicationType": "service", "endpoint": "/a", "configuration": {
    "standardConfiguration": [{"key": "REGION", "description": "b"}]}}
barrier = threading.Barrier(6)
def convert():
    barrier.wait()
    msgspec.convert({"deployAs": [application]}, _FILE)
threads = [threading.Thread(target=convert) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_may_read_a_specification_for_the_first_time_at_once() -> None:
    running = [subprocess.Popen([sys.executable, "-c", AT_ONCE]) for _ in range(16)]
    assert [process.wait(60) for process in running] == [0] * len(running)


def conversions(file: Path) -> list[str]:
    """The types that a module converts to in its functions, as they are written there."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = {each.arg: each.value for each in node.keywords}
            if node.func.attr in ("convert", "decode") and "type" in keywords:
                found.append(ast.unparse(keywords["type"]))
            elif node.func.attr == "convert" and len(node.args) > 1:
                found.append(ast.unparse(node.args[1]))
    return found


@pytest.mark.parametrize("file", sorted((ROOT / "src").rglob("*.py")), ids=lambda file: file.stem)
def test_types_that_are_converted_to_were_prepared_when_the_module_was_imported(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    unprepared = [kind for kind in conversions(file) if f"{kind}: Final = prepared(" not in text]
    assert unprepared == []
