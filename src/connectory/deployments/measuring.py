"""What a node measures of the Deployments that it hosts, for `/metrics`.

No label names a Project, a Deployment or an application: there may be any number of those.
"""

import threading
from collections.abc import Sequence

from connectory.logs.service import Logs
from connectory.operations.metrics import Reading
from connectory.runtime.processes import STANDINGS, Processes, Standing

#: How a deploy or redeploy ends.
OUTCOMES = ("deployed", "failed", "cancelled", "overtaken")


class Outcomes:
    """How many deploys ended how on this node, since its start; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(OUTCOMES, 0)

    def count(self, outcome: str) -> None:
        """Count one more, by one of `OUTCOMES`."""
        with self._lock:
            self._counts[outcome] += 1

    def of(self, outcome: str) -> int:
        """How many there were."""
        return self._counts[outcome]


#: Which scripts there are, and how one ends; `interrupted` is one whose work was.
HOOKS = ("postDeploy", "preUndeploy")
SCRIPT_OUTCOMES = ("succeeded", "failed", "interrupted")


class ScriptOutcomes:
    """How many scripts ended how on this node, since its start; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {(hook, outcome): 0 for hook in HOOKS for outcome in SCRIPT_OUTCOMES}

    def count(self, hook: str, outcome: str) -> None:
        """Count one more, by one of `HOOKS` and one of `SCRIPT_OUTCOMES`."""
        with self._lock:
            self._counts[hook, outcome] += 1

    def of(self, hook: str, outcome: str) -> int:
        """How many there were."""
        return self._counts[hook, outcome]


def gauges(runtime: Processes, logs: Logs) -> Sequence[Reading]:
    """What there is now."""

    def applications(standing: Standing) -> Reading:
        return Reading(
            "connectory_applications",
            "Applications on this node, by what they do.",
            lambda: runtime.count(standing),
            {"state": standing},
        )

    return (
        *map(applications, STANDINGS),
        Reading(
            "connectory_log_bytes",
            "What the logs of all Deployments take in the database.",
            lambda: logs.held,
        ),
    )


def counters(outcomes: Outcomes, scripts: ScriptOutcomes, logs: Logs) -> Sequence[Reading]:
    """What there was since the start."""

    def deploys(outcome: str) -> Reading:
        return Reading(
            "connectory_deploys",
            "Deploys and redeploys that ended, by how they did.",
            lambda: outcomes.of(outcome),
            {"outcome": outcome},
        )

    def scripts_of(hook: str, outcome: str) -> Reading:
        return Reading(
            "connectory_scripts",
            "Scripts of connect.yaml that ended, by which they were and how they did.",
            lambda: scripts.of(hook, outcome),
            {"script": hook, "outcome": outcome},
        )

    lines = "connectory_log_lines"
    meaning = "Lines and requests of applications and builds, by what became of them."
    return (
        *map(deploys, OUTCOMES),
        *(scripts_of(hook, outcome) for hook in HOOKS for outcome in SCRIPT_OUTCOMES),
        Reading(lines, meaning, lambda: logs.written, {"outcome": "written"}),
        Reading(lines, meaning, lambda: logs.throttled, {"outcome": "throttled"}),
        Reading(lines, meaning, lambda: logs.dropped, {"outcome": "dropped"}),
    )
