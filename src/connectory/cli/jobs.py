"""`connectory run-job` and `connectory job`: job applications and their runs, over HTTP."""

import time
from collections.abc import Iterator

import click

from connectory.cli.api import Api, with_api
from connectory.cli.applications import Json, named, the_one
from connectory.cli.installation import as_json, show, table
from connectory.contract.jobs import JobRunState
from connectory.specification.faults import visible

#: How often a run that is waited for is looked at.
_POLL_SECONDS = 0.2
_PAGE = 100
_ENDED = (JobRunState.SUCCEEDED, JobRunState.FAILED)


class JobFault(Exception):
    """A run did not succeed; the message says why."""


@click.command("run-job")
@click.argument("application")
@click.option("--deployment", "key", metavar="KEY", help="Of which Deployment the application is.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; exit 1 if it failed.")
@click.option("--seconds", default=1800.0, show_default=True, help="How long to wait at most.")
@as_json
@with_api
def run_job(
    *, api: Api, application: str, key: str | None, wait: bool, seconds: float, as_json: bool
) -> None:
    """Run a job application now, whatever its schedule says."""

    def fits(found: Json) -> bool:
        return bool(found.get("schedule")) and found["applicationName"] == application

    place = the_one(api, key, application, fits, "job")
    path = api.path("deployments", place.deployment["id"], "jobs", application, "runs")
    run = api.post(path, None)
    if wait:
        run = _ended(api, f"{path}/{run['id']}", seconds)
    if as_json:
        show(run)
    elif wait:
        _show(run)
    else:
        click.echo(f"run {run['id']} of {place.name} was asked for")
    if run["state"] == JobRunState.FAILED:
        raise JobFault(f"run {run['id']} failed: {_last(run) or 'the answer was empty'}")


@click.group()
def job() -> None:
    """See the jobs of a Deployment and their runs; KEY is its key or id."""


@job.command("list")
@click.argument("key")
@as_json
@with_api
def list_(*, api: Api, key: str, as_json: bool) -> None:
    """List jobs: when they run next (UTC), and what became of the latest run."""
    found = api.get(api.path("deployments", named(key), "jobs"))["data"]
    if as_json:
        show(found)
    elif found:
        table([("APPLICATION", "SCHEDULE", "NEXT RUN", "LAST RUN"), *map(_job_row, found)])


@job.command()
@click.argument("key")
@click.argument("application")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@as_json
@with_api
def runs(*, api: Api, key: str, application: str, limit: int, as_json: bool) -> None:
    """List runs of a job, the latest first."""
    found = list(_runs(api, key, application, limit))
    if as_json:
        show(found)
    elif found:
        table([("ID", "DUE", "STATE", "TOOK", "MISSED", "ANSWER"), *map(_run_row, found)])


def _ended(api: Api, path: str, seconds: float) -> Json:
    """A run when it is waited for no more."""
    deadline = time.monotonic() + seconds
    while True:
        found: Json = api.get(path)
        if found["state"] in _ENDED:
            return found
        if time.monotonic() > deadline:
            raise JobFault(f"run {found['id']} is still {found['state']}")
        time.sleep(_POLL_SECONDS)


def _runs(api: Api, key: str, application: str, limit: int) -> Iterator[Json]:
    path = api.path("deployments", named(key), "jobs", application, "runs")
    token: str | None = None
    while limit > 0:
        page = api.get(path, {"limit": min(limit, _PAGE), "pageToken": token})
        yield from page["data"]
        limit -= len(page["data"])
        token = page["next"]
        if not token:
            return


def _job_row(found: Json) -> tuple[str, ...]:
    last = found.get("lastRun")
    return (
        found["applicationName"],
        visible(found["schedule"]),
        next(iter(found["nextRuns"]), "never"),
        f"{last['dueAt']} {last['state']}" if last else "",
    )


def _run_row(found: Json) -> tuple[str, ...]:
    took = found.get("milliseconds")
    return (
        found["id"],
        found["dueAt"],
        found["state"],
        "" if took is None else f"{took} ms",
        str(found["missed"]),
        _last(found),
    )


def _last(run: Json) -> str:
    status = f"{run['status']} " if "status" in run else ""
    return visible((status + next(iter(run["output"].splitlines()), ""))[:80]).rstrip()


def _show(run: Json) -> None:
    click.echo(f"run {run['id']} of {run['applicationName']}: {run['state']}")
    click.echo(f"  took           {run.get('milliseconds', 0)} ms")
    click.echo(f"  correlation id {visible(run['correlationId'])}")
    for line in run["output"].splitlines():
        click.echo(f"  {visible(line)}")
