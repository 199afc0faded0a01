"""What a node measures of jobs, for `/metrics`."""

from collections.abc import Sequence

from connectory.operations.metrics import Reading
from connectory.schedule.service import Jobs


def gauges(jobs: Jobs) -> Sequence[Reading]:
    """What there is now."""
    name, meaning = "connectory_job_runs_running", "Runs of jobs under way on this node."
    return (Reading(name, meaning, lambda: jobs.firing.running),)


def counters(jobs: Jobs) -> Sequence[Reading]:
    """What there was on this node since the start."""
    counted = jobs.firing.counted
    name, meaning = "connectory_job_runs", "Runs of jobs, by how they ended."
    return (
        Reading(name, meaning, lambda: counted.succeeded, {"outcome": "succeeded"}),
        Reading(name, meaning, lambda: counted.failed, {"outcome": "failed"}),
    )
