"""What a job and a run are, and what becomes of them.

All pure. (docs/decisions/0028-jobs.md)
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from connectory.contract.jobs import JobRunCause, JobRunState
from connectory.gateway.model import Route
from connectory.gateway.posting import Answer
from connectory.kernel.clock import HOUR
from connectory.schedule import cron

#: How many next runs of a job are told.
NEXT_RUNS: Final = 5
#: A clock that was put back by no more than this catches up, and nothing fires twice meanwhile, as
#: Debian's cron has it; by more, and schedules are reckoned anew.
PUT_BACK: Final = 3 * HOUR
STOPPED: Final = "the server that ran it stopped"
_SUCCESS: Final = range(200, 300)


class Job(Struct, frozen=True, kw_only=True):
    """A job application that serves.

    Attributes:
        application_id: The `id` of the ApplicationDeployment.
        deployment_id: Whose that is.
        project: The Project, as `region:projectKey`.
        application: Name of the application.
        endpoint: Path that is called, with a slash in front.
        schedule: When, as connect.yaml or the Deployment has it.
        since: When the schedule began to hold, in microseconds since 1970.
        next_at: When it fires next; none: it does not by itself.
        run_id: The run that waits or is under way; no other begins.
    """

    application_id: str
    deployment_id: str
    project: str
    application: str
    endpoint: str
    schedule: str
    since: int
    next_at: int | None
    run_id: int | None = None

    @property
    def route(self) -> Route:
        """The application as the gateway names it in logs; nobody calls it from outside."""
        return Route(
            application_id=self.application_id,
            deployment_id=self.deployment_id,
            application=self.application,
            slug="",
            prefix="job",
        )


class Run(Struct, frozen=True, kw_only=True):
    """A run of a job.

    Attributes:
        id: Of no other run.
        application_id: Of which application.
        deployment_id: Whose that is.
        cause: Why there is one.
        due_at: The first instant that it stands for, in microseconds since 1970.
        missed: How many later ones it stands for besides.
        state: Where it is.
        correlation_id: Sent with the call.
        started_at: When it began; none while it waits.
        finished_at: When it ended.
        status: The HTTP status; none where there was no answer.
        output: The answer's first bytes, or what was amiss.
    """

    id: int
    application_id: str
    deployment_id: str
    cause: JobRunCause
    due_at: int
    missed: int
    state: JobRunState
    correlation_id: str
    started_at: int | None = None
    finished_at: int | None = None
    status: int | None = None
    output: str = ""


class Due(Struct, frozen=True, kw_only=True):
    """A job that is due, and what firing it means.

    Attributes:
        job: The job; its `next_at` is the instant that is due.
        cause: Why.
        then: When it fires after that.
        missed: How many instants lie between.
    """

    job: Job
    cause: JobRunCause
    then: int | None
    missed: int


class Begun(Struct, frozen=True, kw_only=True):
    """A run that was begun durably, and what it is of."""

    job: Job
    run: Run


class Ended(Struct, frozen=True, kw_only=True):
    """What a run has come to; the fields are those of `Run`."""

    run: Run
    state: JobRunState
    finished_at: int
    status: int | None
    output: str


def fired(jobs: Iterable[Job], now: int) -> list[Due]:
    """What firing jobs means that are due: of those with the same schedule, reckoned once."""
    found: list[Due] = []
    known: dict[tuple[str, int, int], tuple[JobRunCause, int | None, int]] = {}
    for job in jobs:
        at = now if job.next_at is None else job.next_at
        # It matters to `@every` only, of which there are as many as jobs.
        since = job.since if "@every" in job.schedule else 0
        key = (job.schedule, at, since)
        if key not in known:
            known[key] = _fired(job.schedule, at, now, since)
        cause, then, missed = known[key]
        found.append(Due(job=job, cause=cause, then=then, missed=missed))
    return found


def _fired(text: str, at: int, now: int, since: int) -> tuple[JobRunCause, int | None, int]:
    schedule = cron.parse(text)
    then, missed = cron.following(schedule, at, now, since)
    at_start = isinstance(schedule, cron.Start)
    return JobRunCause.START if at_start else JobRunCause.SCHEDULE, then, missed


def first_at(schedule: str, now: int) -> int | None:
    """When a schedule that holds from now on fires first; `@reboot` does at once."""
    parsed = cron.parse(schedule)
    return now if isinstance(parsed, cron.Start) else cron.next_fire(parsed, now, now)


def ended(run: Run, answer: Answer, now: int) -> Ended:
    """What an answer makes of a run."""
    succeeded = answer.status in _SUCCESS
    return Ended(
        run=run,
        state=JobRunState.SUCCEEDED if succeeded else JobRunState.FAILED,
        finished_at=now,
        status=answer.status or None,
        output=answer.text,
    )


def stopped(run: Run, now: int) -> Ended:
    """What becomes of a run whose server stopped."""
    return Ended(run=run, state=JobRunState.FAILED, finished_at=now, status=None, output=STOPPED)


def next_runs(job: Job) -> list[int]:
    """When a job fires next."""
    schedule = cron.parse(job.schedule)
    found: list[int] = []
    at = job.next_at
    while at is not None and len(found) < NEXT_RUNS:
        found.append(at)
        at = cron.next_fire(schedule, at, job.since)
    return found
