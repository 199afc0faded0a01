"""`python -m bench`: measure, print, and put the numbers into docs/performance.md if asked."""

import argparse
import contextlib
import os
import platform
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from tests.harness import Installation

from bench import (
    catalogue,
    deploys,
    gateway,
    load,
    messaging,
    operating,
    publishing,
    queries,
    reads,
    report,
    rivals,
    scheduling,
    searches,
)
from bench.report import Section
from connectory.database.engine import open_database

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"


def main(arguments: list[str]) -> int:
    """Measure; 1 where `--check` was given and a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--million", action="store_true", help="with 1,000,000 Connectors")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target was missed")
    parser.add_argument(
        "--write", action="store_true", help=f"put the numbers into {DOCUMENT.relative_to(ROOT)}"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="connectory-bench-") as folder:
        sections = measure(Path(folder), 1_000_000 if options.million else 100_000)
        if options.million:
            _say("a million messages that wait")
            sections.append(messaging.measure_waiting(Path(folder)))
        else:
            sections += measure_the_rest(Path(folder))
    text = report.markdown(sections, _preface(time.monotonic() - began))
    print(text)
    if options.write:
        report.write_block(DOCUMENT, "million" if options.million else "numbers", text)
    missed = [each for section in sections for each in section.verdicts if each.met is False]
    for verdict in missed:
        print(f"MISSED: {verdict.what}: {verdict.measured}, target {verdict.target}")
    return 1 if missed and options.check else 0


def measure(folder: Path, count: int) -> list[Section]:
    """What depends on the catalogue, with one of so many Connectors."""
    _say("starts and idle memory")
    starts = operating.measure_starts(folder)
    _say(f"a catalogue of {count:,}, and one of 1,000")
    large, small = Catalogue(folder, count), Catalogue(folder, 1_000)
    _say(f"import of {count:,}")
    with operating.serving(large.installation) as running:
        imported = operating.import_beside(
            running, large.installation, large.credentials, large.lines, large.sample.visible
        )
    small.installation.run("import", str(small.lines))
    with (
        operating.serving(large.installation) as running,
        operating.serving(small.installation) as running_small,
    ):
        bulk = operating.judge_import(imported, large.lines, count, running, large.installation)
        _say("searches through HTTP")
        token = running.token(large.credentials)
        timed = searches.measure(
            (running.url, token, large.sample),
            (running_small.url, running_small.token(small.credentials), small.sample),
        )
        with contextlib.closing(load.Client(running.url, token)) as client:
            page = client.body("/connectors/search")
        typical = reads.typical_body(running.url, token, large.sample.ids)
    found = judge_searches(folder, large, timed, page)
    _say("point reads")
    read = reads.measure(large.installation, token, large.sample.ids, typical, folder)
    return [read, found, bulk, starts]


def measure_the_rest(folder: Path) -> list[Section]:
    """What does not."""
    _say("validation and publishes")
    published = publishing.measure(folder)
    _say("the gateway, beside nginx")
    passed = gateway.measure(folder)
    _say("deploys, cold starts and idle services")
    deployed = deploys.measure(folder)
    _say("messages")
    messages = messaging.measure(folder)
    _say("jobs")
    return [published, deployed, messages, scheduling.measure(folder / "jobs"), passed]


class Catalogue:
    """An installation with a Project and a client, the lines to import, and what to search for."""

    def __init__(self, folder: Path, count: int) -> None:
        home = folder / f"of-{count}"
        home.mkdir()
        self.count = count
        self.lines = home / "catalogue.jsonl"
        self.sample = queries.Sample()
        with self.lines.open("wb") as file:
            for line in catalogue.lines(self.sample.watch(catalogue.connectors(count))):
                file.write(line)
        self.installation = Installation(home / "data")
        self.installation.project(catalogue.PROJECT_KEY)
        self.credentials = self.installation.credentials(catalogue.PROJECT_KEY)


def judge_searches(folder: Path, large: Catalogue, timed: searches.Timed, page: bytes) -> Section:
    """The same searches in the index alone and in the rivals; verdicts and tables."""
    section = Section(f"Searches over {large.count:,} Connectors")
    _say("searches in the index alone")
    asked = queries.searches(large.sample, searches.EACH)
    with contextlib.closing(open_database("", large.installation.data)) as database:
        alone, built, size = searches.index_alone(database, asked, catalogue.PROJECT)
    _say("searches in SQLite FTS5 and PostgreSQL pg_trgm")
    lacking: list[str] = []
    with rivals.databases(folder, catalogue.connectors(large.count), lacking) as made:
        made_any = bool(made)
        theirs, differing = searches.measure_rivals(made, asked, timed.totals)
    searches.judge(section, timed, alone, theirs, million=large.count > 100_000)
    searches.add_limits(
        section, page, timed.large, size, folder=folder, installation=large.installation
    )
    if made_any:
        section.judge(
            f"totals of {len(timed.totals):,} texts that differ from the rivals'",
            "0",
            str(len(differing)),
            not differing,
        )
    section.notes += [
        f"The index is built in {built:.1f} s.",
        *(f"Not compared: {why}." for why in lacking),
        *(f"Another total: {each}." for each in differing[:5]),
    ]
    return section


def _preface(seconds: float) -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"Measured on {time.strftime('%Y-%m-%d')} in {seconds / 60:.0f} minutes:"
        f" {os.cpu_count()} cores ({found[1] if found else platform.machine()}),"
        f" {platform.system()} {platform.release().partition('-')[0]},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}."
        f" Load of the machine at the end: {os.getloadavg()[1]:.1f}."
    )


def _say(what: str) -> None:
    width = shutil.get_terminal_size().columns
    print(f"bench: {what} …"[:width], file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
