"""The rows of jobs and their runs.

Of a job, `run_id` is the run that waits or is under way: whoever would begin another finds it, on
whatever node. Rows of jobs are locked in the order of their ids.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from connectory.contract.jobs import JobRunCause, JobRunState
from connectory.database.shards import SHARDS, shard_of
from connectory.database.tables import job_runs, jobs
from connectory.schedule.model import Begun, Due, Ended, Job, Run, fired, first_at

_fire = (
    update(jobs)
    .where(jobs.c.application_id == bindparam("of"))
    .values(
        run_id=bindparam("run_id_"),
        next_at=bindparam("next_at_"),
        reckoned_at=bindparam("reckoned_at_"),
    )
)
_reckon = (
    update(jobs)
    .where(jobs.c.application_id == bindparam("of"), jobs.c.reckoned_at == bindparam("before"))
    .values(since=bindparam("now"), next_at=bindparam("next_at_"), reckoned_at=bindparam("now"))
)
_end = (
    update(job_runs)
    .where(job_runs.c.id == bindparam("of"), job_runs.c.state == JobRunState.RUNNING)
    .values(
        state=bindparam("state_"),
        finished_at=bindparam("finished_at_"),
        status=bindparam("status_"),
        output=bindparam("output_"),
    )
)
_free = (
    update(jobs)
    .where(jobs.c.application_id == bindparam("of"), jobs.c.run_id == bindparam("run_id_"))
    .values(run_id=None)
)
_claim = (
    update(job_runs)
    .where(job_runs.c.id == bindparam("of"), job_runs.c.state == JobRunState.QUEUED)
    .values(state=JobRunState.RUNNING, started_at=bindparam("now"))
)
#: Before the names of a run's columns that are read beside a job's.
_RUN: Final = "of_run_"


class UnderWay(Struct, frozen=True):
    """A run of the job waits or is under way already."""


# Jobs


def put(connection: Connection, job: Job, now: int) -> None:
    """Write a job of a release that serves from now on; the same schedule fires on as it did.

    A schedule of the start of a release fires each time.
    """
    place = jobs.c.application_id == job.application_id
    values: dict[str, Any] = {
        "deployment_id": job.deployment_id,
        "project": job.project,
        "application": job.application,
        "endpoint": job.endpoint,
        "schedule": job.schedule,
    }
    there = connection.execute(select(jobs.c.schedule).where(place).with_for_update())
    before = there.scalar_one_or_none()
    first = first_at(job.schedule, now)
    if before != job.schedule or first == now:
        values |= {"since": now, "next_at": first, "reckoned_at": now}
    if before is None:
        shard = shard_of(job.application_id)
        connection.execute(
            insert(jobs).values(application_id=job.application_id, shard=shard, **values)
        )
    else:
        connection.execute(update(jobs).where(place).values(values))


def of_deployment(connection: Connection, deployment_id: str) -> list[Job]:
    """The jobs of a Deployment, by the names of their applications."""
    query = select(jobs).where(jobs.c.deployment_id == deployment_id)
    return [_job(row) for row in connection.execute(query.order_by(jobs.c.application))]


def remove(connection: Connection, application_ids: Iterable[str]) -> None:
    """Remove jobs: nothing fires any more."""
    ids = sorted(application_ids)
    connection.execute(delete(jobs).where(jobs.c.application_id.in_(ids)))


def due(connection: Connection, now: int, shards: Collection[int], limit: int) -> list[Due]:
    """Jobs of these shards that are due and have no run, those that are due for longest first."""
    query = select(jobs).where(jobs.c.next_at <= now, jobs.c.run_id.is_(None), _in(shards))
    rows = connection.execute(query.order_by(jobs.c.next_at).limit(limit))
    return fired(map(_job, rows), now)


def begin(connection: Connection, chosen: Sequence[tuple[Due, str]], now: int) -> list[Begun]:
    """Write that runs are under way, each with its correlation id, of jobs that are due still."""
    wanted = {each.job.application_id: (each, correlation_id) for each, correlation_id in chosen}
    still = connection.execute(
        select(jobs.c.application_id, jobs.c.next_at, jobs.c.schedule)
        .where(jobs.c.application_id.in_(wanted), jobs.c.run_id.is_(None))
        .order_by(jobs.c.application_id)
        .with_for_update(skip_locked=True)
    ).all()
    fit = [
        wanted[id_]
        for id_, next_at, schedule in still
        if (next_at, schedule) == (wanted[id_][0].job.next_at, wanted[id_][0].job.schedule)
    ]
    if not fit:
        return []
    rows = [
        _new_run(each.job, each.cause, correlation_id, now)
        | {"missed": each.missed, "state": JobRunState.RUNNING, "started_at": now}
        for each, correlation_id in fit
    ]
    query = insert(job_runs).returning(job_runs, sort_by_parameter_order=True)
    runs = [_run(row) for row in connection.execute(query, rows)]
    changes = [
        {
            "of": run.application_id,
            "run_id_": run.id,
            "next_at_": each.then,
            "reckoned_at_": now,
        }
        for (each, _), run in zip(fit, runs, strict=True)
    ]
    connection.execute(_fire, changes)
    return [Begun(job=each.job, run=run) for (each, _), run in zip(fit, runs, strict=True)]


def put_back(connection: Connection, latest: int, shards: Collection[int], limit: int) -> list[str]:
    """Applications whose next run was reckoned after an instant: the clock was put back since."""
    query = select(jobs.c.application_id).where(jobs.c.reckoned_at > latest, _in(shards))
    return list(connection.execute(query.order_by(jobs.c.application_id).limit(limit)).scalars())


def reckon_anew(connection: Connection, application_ids: Sequence[str], now: int) -> None:
    """Let schedules hold from now on; what was to fire at a start still is."""
    query = select(jobs).where(jobs.c.application_id.in_(application_ids))
    rows = connection.execute(query.order_by(jobs.c.application_id).with_for_update()).all()
    changes = [
        {
            "of": row.application_id,
            "before": row.reckoned_at,
            "now": now,
            "next_at_": None if row.next_at is None else first_at(row.schedule, now),
        }
        for row in rows
    ]
    if changes:
        connection.execute(_reckon, changes)


# Runs


def request(
    connection: Connection, job_of: str, correlation_id: str, now: int
) -> Run | UnderWay | None:
    """Have a job run soon; None where there is no such job."""
    place = jobs.c.application_id == job_of
    row = connection.execute(select(jobs).where(place).with_for_update()).one_or_none()
    if row is None:
        return None
    if row.run_id is not None:
        return UnderWay()
    values = _new_run(_job(row), JobRunCause.REQUEST, correlation_id, now)
    made = connection.execute(insert(job_runs).values(values).returning(job_runs)).one()
    connection.execute(update(jobs).where(place).values(run_id=made.id))
    return _run(made)


def under_way(connection: Connection, shards: Collection[int]) -> list[Begun]:
    """Runs of these shards that wait or are under way."""
    names = [each.label(f"{_RUN}{each.name}") for each in job_runs.c]
    query = (
        select(jobs, *names)
        .join(job_runs, job_runs.c.id == jobs.c.run_id)
        .where(jobs.c.run_id.is_not(None), _in(shards))
    )
    return [Begun(job=_job(row), run=_run(row, _RUN)) for row in connection.execute(query)]


def claim(connection: Connection, waiting: Sequence[Begun], now: int) -> list[Begun]:
    """Write that runs are under way which waited."""
    begun = []
    for each in waiting:
        if connection.execute(_claim, {"of": each.run.id, "now": now}).rowcount:
            run = replace(each.run, state=JobRunState.RUNNING, started_at=now)
            begun.append(Begun(job=each.job, run=run))
    return begun


def end(connection: Connection, outcomes: Sequence[Ended]) -> None:
    """Write what runs have come to; one that has ended stays as it is."""
    ordered = sorted(outcomes, key=lambda each: each.run.application_id)
    # Jobs before runs, as everywhere here: nobody waits for somebody who waits for them.
    connection.execute(
        _free, [{"of": each.run.application_id, "run_id_": each.run.id} for each in ordered]
    )
    connection.execute(
        _end,
        [
            {
                "of": each.run.id,
                "state_": each.state,
                "finished_at_": each.finished_at,
                "status_": each.status,
                "output_": each.output,
            }
            for each in ordered
        ],
    )


def find_run(connection: Connection, application_id: str, id_: int) -> Run | None:
    """A run of an application."""
    query = select(job_runs).where(
        job_runs.c.id == id_, job_runs.c.application_id == application_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _run(row)


def runs_of(
    connection: Connection, application_id: str, *, before: int | None, limit: int
) -> list[Run]:
    """Runs of an application with ids less than one, the latest first."""
    conditions = [job_runs.c.application_id == application_id]
    if before is not None:
        conditions.append(job_runs.c.id < before)
    query = select(job_runs).where(and_(*conditions)).order_by(job_runs.c.id.desc()).limit(limit)
    return [_run(row) for row in connection.execute(query)]


def last_runs(connection: Connection, application_ids: Collection[str]) -> dict[str, Run]:
    """The latest run of each application that has one."""
    latest = (
        select(func.max(job_runs.c.id))
        .where(job_runs.c.application_id.in_(application_ids))
        .group_by(job_runs.c.application_id)
    )
    query = select(job_runs).where(job_runs.c.id.in_(latest))
    return {row.application_id: _run(row) for row in connection.execute(query)}


def sweep(connection: Connection, application_ids: Collection[str], *, kept: int) -> None:
    """Remove the oldest runs of applications but for so many of each."""
    for each in application_ids:
        mine = job_runs.c.application_id == each
        oldest_kept = connection.execute(
            select(job_runs.c.id)
            .where(mine)
            .order_by(job_runs.c.id.desc())
            .offset(kept - 1)
            .limit(1)
        ).scalar_one_or_none()
        if oldest_kept is not None:
            connection.execute(delete(job_runs).where(mine, job_runs.c.id < oldest_kept))


def remove_runs(connection: Connection, application_ids: Iterable[str]) -> None:
    """Remove all runs of applications."""
    connection.execute(delete(job_runs).where(job_runs.c.application_id.in_(list(application_ids))))


def remove_of(connection: Connection, deployment_id: str) -> None:
    """Remove the jobs of a Deployment, and all their runs."""
    for table in (jobs, job_runs):
        connection.execute(delete(table).where(table.c.deployment_id == deployment_id))


def _new_run(job: Job, cause: JobRunCause, correlation_id: str, now: int) -> dict[str, Any]:
    asked = cause is JobRunCause.REQUEST or job.next_at is None
    return {
        "application_id": job.application_id,
        "deployment_id": job.deployment_id,
        "cause": cause,
        "due_at": now if asked else job.next_at,
        "missed": 0,
        "state": JobRunState.QUEUED,
        "correlation_id": correlation_id,
        "output": "",
    }


def _in(shards: Collection[int]) -> ColumnElement[bool]:
    return jobs.c.shard.in_(sorted(shards)) if len(shards) < SHARDS else true()


def _job(row: Row[Any]) -> Job:
    return Job(
        application_id=row.application_id,
        deployment_id=row.deployment_id,
        project=row.project,
        application=row.application,
        endpoint=row.endpoint,
        schedule=row.schedule,
        since=row.since,
        next_at=row.next_at,
        run_id=row.run_id,
    )


def _run(row: Row[Any], prefix: str = "") -> Run:
    found = {name: getattr(row, prefix + name) for name in Run.__struct_fields__}
    found |= {"cause": JobRunCause(found["cause"]), "state": JobRunState(found["state"])}
    return Run(**found)
