"""The endpoints of jobs, all additions: what runs when, what became of it, and a run at once."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from connectory.catalogue.paging import before_of
from connectory.contract import errors
from connectory.contract.jobs import Job, JobQueryResponse, JobRun, JobRunPagedQueryResponse
from connectory.contract.scalars import ApplicationName, Id, Key, ProjectKey
from connectory.contract.scopes import MANAGE_DEPLOYMENTS, VIEW_DEPLOYMENTS
from connectory.deployments.endpoints import name_of
from connectory.deployments.model import Deployment
from connectory.deployments.service import Deployments
from connectory.http.answers import Response, of_json
from connectory.http.requestlog import correlation_id
from connectory.http.table import Endpoint, Request
from connectory.kernel.clock import MILLISECOND, to_rfc3339
from connectory.schedule.model import Run, next_runs
from connectory.schedule.service import Jobs, Scheduled

_TAG = "Jobs"
RunId = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,18}(?!\n)$", description="Id of a run.", examples=["17"]),
]

_RUN = {
    "id": "17",
    "applicationName": "stock-import",
    "state": "failed",
    "cause": "schedule",
    "dueAt": "2026-01-31T03:00:00.000Z",
    "missed": 0,
    "startedAt": "2026-01-31T03:00:00.123Z",
    "finishedAt": "2026-01-31T03:00:04.456Z",
    "milliseconds": 4333,
    "status": 500,
    "output": "the warehouse does not answer",
    "correlationId": "job-2d1f5a0e-8f2b-4c57-9d6f-0a1b2c3d4e5f",
}
_JOB = {
    "applicationName": "stock-import",
    "schedule": "0 3 * * *",
    "timeZone": "UTC",
    "nextRuns": [f"2026-02-0{day}T03:00:00.000Z" for day in range(1, 6)],
    "lastRun": _RUN,
}


class RunQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which runs are wanted."""

    limit: Annotated[int, Meta(ge=1, le=500, description="The most of a page.")] = 20
    page_token: Annotated[str, Meta(description="`next` of the page before.")] = ""


def endpoints(jobs: Jobs, deployments: Deployments) -> list[Endpoint]:
    """The endpoints of this slice."""
    return [
        *_of_one(jobs, deployments, "{id}", ("id", Id), "ID"),
        *_of_one(jobs, deployments, "key={key}", ("key", Key), "Key"),
    ]


def _of_one(
    jobs: Jobs, deployments: Deployments, place: str, parameter: tuple[str, Any], by: str
) -> list[Endpoint]:
    async def found(request: Request) -> Deployment:
        return await deployments.get(name_of(request.path), request.own.project)

    async def query(request: Request) -> Response:
        listed = await jobs.list(await found(request))
        return of_json(JobQueryResponse(data=tuple(map(_shown_job, listed))))

    async def runs(request: Request) -> Response:
        deployment, name = await found(request), request.path["applicationName"]
        wanted: RunQuery = request.query
        return of_json(await _page(jobs, deployment, name, wanted))

    async def get(request: Request) -> Response:
        deployment, name = await found(request), request.path["applicationName"]
        id_ = request.path["runId"]
        run = await jobs.find_run(deployment, name, int(id_))
        if run is None:
            raise errors.ResourceNotFound(f"The run '{id_}' does not exist")
        return of_json(shown(run, name))

    async def run_now(request: Request) -> Response:
        deployment, name = await found(request), request.path["applicationName"]
        run = await jobs.run_now(deployment, name, request.allowed, correlation_id.get())
        if run is None:
            raise errors.ResourceNotFound(f"The job '{name}' has not been deployed")
        return of_json(shown(run, name), 201)

    path = f"/{{projectKey}}/deployments/{place}/jobs"
    of_application = f"{path}/{{applicationName}}/runs"
    whose = {"projectKey": ProjectKey, parameter[0]: parameter[1]}
    of_job = {**whose, "applicationName": ApplicationName}
    common: dict[str, Any] = {"tag": _TAG, "addition": True}
    not_there = (errors.ResourceNotFound, errors.DeploymentApplicationDoesNotExist)
    return [
        Endpoint(
            method="GET",
            path=path,
            summary=f"Query jobs of Deployment by {by}",
            description="The job applications of the release that serves, each with its latest run"
            " and the times of its next ones, in UTC.",
            permissions=VIEW_DEPLOYMENTS,
            parameters=whose,
            success=(200, JobQueryResponse),
            errors=(errors.ResourceNotFound,),
            example={"data": [_JOB]},
            handler=query,
            **common,
        ),
        Endpoint(
            method="GET",
            path=of_application,
            summary=f"Query runs of a job of Deployment by {by}",
            description="The latest first; the latest hundred are kept.",
            permissions=VIEW_DEPLOYMENTS,
            parameters=of_job,
            query=RunQuery,
            success=(200, JobRunPagedQueryResponse),
            errors=(*not_there, errors.InvalidQueryParam),
            example={"data": [_RUN], "next": ""},
            handler=runs,
            **common,
        ),
        Endpoint(
            method="POST",
            path=of_application,
            summary=f"Run a job of Deployment by {by}",
            description="At once, whatever its schedule says. There are never two runs of one job"
            " at the same time.",
            permissions=MANAGE_DEPLOYMENTS,
            parameters=of_job,
            success=(201, JobRun),
            errors=(*not_there, errors.JobRunUnderWay),
            example={
                "id": "18",
                "applicationName": "stock-import",
                "state": "queued",
                "cause": "request",
                "dueAt": "2026-01-31T08:30:00.123Z",
                "missed": 0,
                "output": "",
                "correlationId": "commercetools-cli-1f0c",
            },
            handler=run_now,
            **common,
        ),
        Endpoint(
            method="GET",
            path=f"{of_application}/{{runId}}",
            summary=f"Get run of a job of Deployment by {by}",
            permissions=VIEW_DEPLOYMENTS,
            parameters={**of_job, "runId": RunId},
            success=(200, JobRun),
            errors=not_there,
            example=_RUN,
            handler=get,
            **common,
        ),
    ]


async def _page(
    jobs: Jobs, deployment: Deployment, name: str, wanted: RunQuery
) -> JobRunPagedQueryResponse:
    before = before_of(wanted.page_token)
    found = await jobs.runs(deployment, name, before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    return JobRunPagedQueryResponse(
        data=tuple(shown(each, name) for each in page),
        next=str(page[-1].id) if len(found) > len(page) else "",
    )


def shown(run: Run, application: str) -> JobRun:
    """A run as the API shows it."""
    started_at, finished_at = run.started_at, run.finished_at
    took = None if started_at is None or finished_at is None else finished_at - started_at
    return JobRun(
        id=str(run.id),
        application_name=application,
        state=run.state,
        cause=run.cause,
        due_at=to_rfc3339(run.due_at),
        missed=run.missed,
        started_at=UNSET if started_at is None else to_rfc3339(started_at),
        finished_at=UNSET if finished_at is None else to_rfc3339(finished_at),
        milliseconds=UNSET if took is None else max(0, took // MILLISECOND),
        status=UNSET if run.status is None else run.status,
        output=run.output,
        correlation_id=run.correlation_id,
    )


def _shown_job(scheduled: Scheduled) -> Job:
    job, last = scheduled.job, scheduled.last
    return Job(
        application_name=job.application,
        schedule=job.schedule,
        time_zone="UTC",
        next_runs=tuple(map(to_rfc3339, next_runs(job))),
        last_run=UNSET if last is None else shown(last, job.application),
    )
