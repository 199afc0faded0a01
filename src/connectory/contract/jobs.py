"""The wire types of job applications: their schedules and runs. All are additions of ours."""

import enum

from msgspec import UNSET, UnsetType

from connectory.contract.connectors import Wire


class JobRunState(enum.StrEnum):
    """Where a run is."""

    QUEUED = "queued"  #: It was asked for, and begins in a moment.
    RUNNING = "running"  #: The application was called, and has not answered yet.
    SUCCEEDED = "succeeded"  #: It answered with a status of 2xx.
    FAILED = "failed"  #: It answered otherwise, or not at all.


class JobRunCause(enum.StrEnum):
    """Why there is a run."""

    SCHEDULE = "schedule"
    REQUEST = "request"  #: Somebody asked for it.
    START = "start"  #: Its schedule is `@reboot`, and a release has begun to serve.


class JobRun(Wire, frozen=True, kw_only=True):
    """A run of a job.

    Attributes:
        id: Its id.
        application_name: Of which application.
        state: Where it is.
        cause: Why there is one.
        due_at: When it was due: the first of all instants that it stands for.
        missed: How many later ones it stands for besides; more than 100 are not counted.
        started_at: When the call was begun.
        finished_at: When it ended.
        milliseconds: How long it took.
        status: The HTTP status of the answer; there where there was one.
        output: The first bytes of the answer, or why there was none.
        correlation_id: `X-Correlation-ID` of the call, also in the application's log.
    """

    id: str
    application_name: str
    state: JobRunState
    cause: JobRunCause
    due_at: str
    missed: int
    started_at: str | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET
    milliseconds: int | UnsetType = UNSET
    status: int | UnsetType = UNSET
    output: str
    correlation_id: str


class Job(Wire, frozen=True, kw_only=True):
    """A job application and its schedule.

    Attributes:
        application_name: Its name.
        schedule: When it runs.
        time_zone: Of the schedule: always UTC.
        next_runs: When it runs next, five times at most; none where it never does.
        last_run: Its latest run, which may be under way.
    """

    application_name: str
    schedule: str
    time_zone: str
    next_runs: tuple[str, ...]
    last_run: JobRun | UnsetType = UNSET


class JobQueryResponse(Wire, frozen=True, kw_only=True):
    """The jobs of a Deployment.

    Attributes:
        data: One for each job application that serves, by name.
    """

    data: tuple[Job, ...]


class JobRunPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of runs, the latest first.

    Attributes:
        data: The runs.
        next: The `pageToken` of the next page; "" on the last one.
    """

    data: tuple[JobRun, ...]
    next: str
