"""Jobs that are due on the same minute: how soon all of them have begun.

One HTTP server stands for all applications and answers at once: what is measured is ours.
`python -m bench.scheduling` measures only this.
"""

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

from tests.schedule.scenes import Scene

from bench import report
from bench.report import Section, milliseconds
from connectory.database import migration
from connectory.database.engine import open_database

JOBS, MOST_SECONDS, MOST_WAIT_SECONDS = 10_000, 10.0, 1.0
_LONGEST_SECONDS = 300.0


def measure(folder: Path, jobs: int = JOBS) -> Section:
    """Seconds from the minute to the last call, and what others waited for the event loop."""
    section = Section(f"{jobs:,} jobs on the same minute")
    folder.mkdir()
    seconds, wait = asyncio.run(_played(folder, jobs))
    section.judge(
        "until all had begun", f"<= {MOST_SECONDS:g} s", f"{seconds:.1f} s", seconds <= MOST_SECONDS
    )
    section.judge(
        "longest wait of a delivery for the event loop meanwhile",
        f"<= {milliseconds(MOST_WAIT_SECONDS)}",
        milliseconds(wait),
        wait <= MOST_WAIT_SECONDS,
    )
    return section


async def _played(folder: Path, jobs: int) -> tuple[float, float]:
    with contextlib.closing(open_database("", folder)) as database:
        migration.migrate(database)
        scene = Scene(database, folder, "2026-01-31 10:00:00")
        scene.add("* * * * *", *range(jobs))
        async with scene.application.listening(), scene.server():
            waiting = asyncio.create_task(_longest_wait())
            await asyncio.sleep(0)
            began = time.perf_counter()
            scene.move("2026-01-31 10:01:00")
            await scene.until(lambda: len(scene.application.calls) == jobs, _LONGEST_SECONDS)
            seconds = time.perf_counter() - began
            waiting.cancel()
            return seconds, await waiting


async def _longest_wait() -> float:
    """How long somebody waited for the event loop, at most, until this is cancelled."""
    longest = 0.0
    while True:
        began = time.perf_counter()
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            return longest
        longest = max(longest, time.perf_counter() - began)


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="connectory-bench-") as folder:
        print(report.markdown([measure(Path(folder) / "jobs")], "Jobs."))


if __name__ == "__main__":
    main()
