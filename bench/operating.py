"""Starts, memory, and the import of a whole catalogue beside a running server."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import COMMAND, Credentials, Installation, free_port

from bench import load
from bench.report import Section, megabytes, milliseconds
from bench.servers import started
from connectory.catalogue.following import MOST_SCANNED
from connectory.catalogue.lines import read_line

STARTS = 5
READY_SECONDS = 1.0
IDLE_BYTES = 120e6
IMPORT_SECONDS_OF_100_000 = 30.0
FOUND_SECONDS = 1.0

#: What `connectory serve` imports before it does anything.
_IMPORTS = "import connectory.cli.serving, connectory.app, granian.server.embed, uvloop"


@dataclass(frozen=True)
class Serving:
    """A `connectory serve` process; the seconds from its start to the first 200 of /ready."""

    process: "subprocess.Popen[str]"
    url: str
    seconds: float

    def token(self, credentials: Credentials) -> str:
        """An access token."""
        with contextlib.closing(load.Client(self.url)) as client:
            return token(client, credentials)[1]


@dataclass(frozen=True)
class Imported:
    """How an import went; times are seconds."""

    seconds: float
    peak_bytes: int
    #: The longest that a token request waited while it ran, and the usual time without it.
    longest_wait: float
    usual_wait: float
    #: From its end until the server found all that it brought.
    until_found: float
    #: And until its index was made of them; what searches for a text took meanwhile.
    until_indexed: float
    searches: Sequence[float]


@contextlib.contextmanager
def serving(installation: Installation) -> Iterator[Serving]:
    """`connectory serve` on an installation, while the block runs."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    with started(
        [COMMAND, "serve", "--port", str(port)],
        url,
        ready="/ready",
        environment=installation.environment,
        log=installation.data.parent / f"serve-{port}.log",
    ) as process:
        yield Serving(process, url, time.perf_counter() - began)


def token(client: load.Client, credentials: Credentials) -> tuple[float, str]:
    """Ask for an access token; the seconds it took, and the token."""
    form = (
        f"grant_type=client_credentials&client_id={credentials.client_id}"
        f"&client_secret={credentials.client_secret}"
    )
    seconds, body = client.timed("/oauth/token", method="POST", form=form)
    return seconds, body.partition(b'"access_token":"')[2].partition(b'"')[0].decode()


def measure_starts(folder: Path) -> Section:
    """Start on fresh folders, and a second time; look at the memory of an idle server."""
    section = Section("Start and idle memory")
    first, second = [], []
    for number in range(STARTS):
        installation = Installation(folder / f"empty-{number}" / "data")
        installation.data.parent.mkdir()
        with serving(installation) as fresh:
            first.append(fresh.seconds)
        with serving(installation) as again:
            second.append(again.seconds)
    installation.project("idle")
    credentials = installation.credentials("idle")
    with serving(installation) as idle:
        with contextlib.closing(load.Client(idle.url, idle.token(credentials))) as client:
            client.body("/connectors/search")
        time.sleep(1)
        memory = load.proportional_bytes(idle.process.pid)
    ready = load.median(first)
    section.judge(
        "ready on an empty data folder, migrations included",
        f"< {READY_SECONDS:g} s",
        f"{ready:.2f} s (median of {STARTS}; slowest {max(first):.2f} s)",
        ready < READY_SECONDS,
    )
    section.judge(
        "idle memory of the whole process tree",
        f"< {megabytes(IDLE_BYTES)}",
        megabytes(memory),
        memory < IDLE_BYTES,
    )
    bare, imports = _python("pass"), _python(_IMPORTS)
    section.tables.append(
        (
            "What a start is made of",
            [
                ("", "time", "memory"),
                ("a bare Python", f"{bare[0]:.2f} s", megabytes(bare[1])),
                ("and all imports of `serve`", f"{imports[0]:.2f} s", megabytes(imports[1])),
                ("`serve`, first start", f"{ready:.2f} s", ""),
                ("`serve`, second start", f"{load.median(second):.2f} s", megabytes(memory)),
            ],
        )
    )
    section.notes.append(
        f"The limit: nothing in Python is ready before the {bare[0]:.2f} s and"
        f" {megabytes(bare[1])} of a bare interpreter."
    )
    return section


def import_beside(
    running: Serving, installation: Installation, credentials: Credentials, file: Path, total: int
) -> Imported:
    """Import a file while the server answers token requests, one every twentieth of a second.

    `total` is what a search finds when the server has taken all in.
    """
    client = load.Client(running.url)
    usual = [token(client, credentials)[0] for _ in range(20)]
    waits = []
    began = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, "import", str(file)],
        env=installation.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, load.peak_bytes(process.pid))
        waits.append(token(client, credentials)[0])
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    if process.stderr:
        process.stderr.close()
    reader = load.Client(running.url, token(client, credentials)[1])
    needle = b'"total":%d,' % total
    deadline = time.perf_counter() + 300
    while needle not in reader.body("/connectors/search?limit=0"):
        assert time.perf_counter() < deadline, "the server does not find what was imported"
        time.sleep(0.02)
    until_found = time.perf_counter() - began - seconds
    searches = []
    while b"connectory_connectors_scanned 0.0" not in reader.body("/metrics"):
        assert time.perf_counter() < deadline, "the server makes no index of what was imported"
        searches.append(reader.timed("/connectors/search?text=payment%20con")[0])
        time.sleep(0.05)
    until_indexed = time.perf_counter() - began - seconds
    for each in (client, reader):
        each.close()
    usually = load.median(usual)
    return Imported(seconds, peak, max(waits), usually, until_found, until_indexed, searches)


def judge_import(
    imported: Imported, lines: Path, count: int, restart: Serving, installation: Installation
) -> Section:
    """Judge an import, and say what a Connector costs in a server that was started after it."""
    section = Section(f"Import of {count:,} Connectors")
    limit = IMPORT_SECONDS_OF_100_000 * count / 100_000
    section.judge(
        "`connectory import`, beside a running server",
        f"< {limit:g} s",
        f"{imported.seconds:.1f} s",
        imported.seconds < limit,
    )
    if count <= MOST_SCANNED:
        section.judge(
            "found by that server after its end",
            "<= 1 s",
            f"{imported.until_found:.2f} s",
            imported.until_found <= FOUND_SECONDS,
        )
    decoding, writing = _decoding_seconds(lines, count), _writing_seconds(lines)
    stored = sum(file.stat().st_size for file in installation.data.iterdir())
    memory = load.resident_bytes(restart.process.pid)
    section.tables.append(
        (
            "Beside it",
            [
                ("", "measured"),
                ("peak memory of the import", megabytes(imported.peak_bytes)),
                ("longest wait of a token request meanwhile", milliseconds(imported.longest_wait)),
                ("the same without an import (median)", milliseconds(imported.usual_wait)),
                ("until the running server found all", f"{imported.until_found:.2f} s"),
                ("until its index was made of all", f"{imported.until_indexed:.1f} s"),
                *_meanwhile(imported.searches),
                ("start of a server on it, to ready", f"{restart.seconds:.1f} s"),
                ("memory of that server", megabytes(memory)),
                ("the same for one Connector", f"{memory / count:,.0f} bytes"),
                ("file of lines, for one Connector", f"{lines.stat().st_size / count:,.0f} bytes"),
                ("disk, for one Connector", f"{stored / count:,.0f} bytes"),
            ],
        )
    )
    section.notes.append(
        f"The limits: to read and check the lines takes {decoding:.1f} s of one core, to write"
        f" {megabytes(lines.stat().st_size)} durably {writing:.1f} s; the import takes"
        f" {imported.seconds / (decoding + writing):.1f}x both together."
    )
    return section


def _meanwhile(searches: Sequence[float]) -> list[tuple[str, str]]:
    if not searches:
        return []
    return [
        ("a search for parts of two words meanwhile (median)", milliseconds(load.median(searches))),
        ("the slowest of them", milliseconds(max(searches))),
    ]


def _decoding_seconds(lines: Path, count: int) -> float:
    """How long all lines take to be read and checked, reckoned from the first of them."""
    some = min(count, 20_000)
    with lines.open("rb") as file:
        began = time.perf_counter()
        for _, line in zip(range(some), file, strict=False):
            read_line(line)
        return (time.perf_counter() - began) * count / some


def _writing_seconds(lines: Path) -> float:
    """How long a plain durable copy of a file takes."""
    copy = lines.with_suffix(".copy")
    began = time.perf_counter()
    with lines.open("rb") as source, copy.open("wb") as target:
        while piece := source.read(2**20):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    seconds = time.perf_counter() - began
    copy.unlink()
    return seconds


def _python(code: str) -> tuple[float, float]:
    """The seconds that a Python process takes from start to end, and its peak memory."""
    code += "\nfrom pathlib import Path; print(Path('/proc/self/status').read_text())"
    found: list[tuple[float, int]] = []
    for _ in range(STARTS):
        began = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        seconds = time.perf_counter() - began
        found.append((seconds, load.peak_of(run.stdout.decode())))
    return load.median([seconds for seconds, _ in found]), load.median([peak for _, peak in found])
