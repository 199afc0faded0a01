"""Jobs run by their schedules, never twice at once, and what became of each run can be seen."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.deployments.shops import Shop, entries, example, metrics_of
from tests.harness import Installation
from tests.schedule.working import SELDOM, Working, configured, working
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture(scope="module")
def hosted(platform: Platform) -> Iterator[Working]:
    """Jobs for tests that look at them only, each by its own name."""
    schedules = {
        "ticker": "* * * * * *",
        "slow": "* * * * * *",
        "seldom": SELDOM,
        "poor": SELDOM,
        "large": SELDOM,
        "never": "0 5 31 2 *",
    }
    slow, poor = configured("slow", wait="2200"), configured("poor", answer="500")
    large = configured("large", memory="700")
    with platform.creator() as made:
        yield working(Shop(made, platform), schedules, slow, poor, large)


def test_a_job_runs_by_its_schedule(hosted: Working) -> None:
    runs = hosted.until(
        "ticker", lambda runs: sum(each["state"] == "succeeded" for each in runs) > 1
    )
    first = next(each for each in runs if each["state"] == "succeeded")
    assert (first["cause"], first["status"]) == ("schedule", 200)
    assert first["output"].startswith("run ")
    due, started = (datetime.fromisoformat(first[key]) for key in ("dueAt", "startedAt"))
    assert due.microsecond == 0
    assert 0 <= (started - due).total_seconds() < 10
    told = hosted.told(first["correlationId"])
    assert (told["method"], told["url"], told["body"]) == ("POST", "/ticker", "{}")
    headers = told["headers"]
    assert headers["user-agent"] == "Google-Cloud-Scheduler"
    assert headers["content-type"] == "application/json"
    assert headers["x-cloudscheduler-scheduletime"] == first["dueAt"]
    assert headers["x-correlation-id"] == first["correlationId"]
    assert metrics_of(hosted.shop)['connectory_job_runs_total{outcome="succeeded"}'] > 0


def test_a_run_that_takes_longer_than_its_schedule_is_the_only_one(hosted: Working) -> None:
    runs = hosted.until("slow", lambda runs: sum("finishedAt" in each for each in runs) > 1)
    for before, after in pairwise(runs):
        assert before["finishedAt"] <= after["startedAt"]
    second = runs[1]
    # What came meanwhile is one run, at once after the end.
    assert second["missed"] > 0
    assert all(hosted.told(each["correlationId"])["calls"] == 1 for each in runs[:2])
    answer = hosted.ask("slow")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (409, "JobRunUnderWay")


def test_a_job_is_run_at_once_when_it_is_asked_for(hosted: Working) -> None:
    asked = hosted.run("seldom", headers={"X-Correlation-ID": "asked-for"})
    assert (asked["state"], asked["cause"]) == ("queued", "request")
    found = hosted.ended("seldom", asked["id"])
    assert (found["state"], found["status"]) == ("succeeded", 200)
    assert found["output"].startswith("run ")
    assert found["correlationId"] == "asked-for"
    assert hosted.told("asked-for")["url"] == "/seldom"
    hosted.ended("seldom", hosted.run("seldom")["id"])
    page = hosted.runs("seldom", limit=1)
    assert page["data"] != [found]
    rest = hosted.runs("seldom", limit=1, pageToken=page["next"])
    assert rest["data"] == [found]
    everything = hosted.runs("seldom", limit=500)
    assert everything["data"][:2] == page["data"] + rest["data"]
    assert everything["next"] == ""


def test_a_failure_is_recorded_with_what_the_application_said(hosted: Working) -> None:
    found = hosted.ended("poor", hosted.run("poor")["id"])
    assert (found["state"], found["status"]) == ("failed", 500)
    assert found["output"].startswith("run ")
    assert found["milliseconds"] >= 0
    assert hosted.jobs()["poor"]["lastRun"] == hosted.runs("poor")["data"][0] == found
    assert metrics_of(hosted.shop)['connectory_job_runs_total{outcome="failed"}'] > 0


def test_a_job_has_more_memory_than_a_service(hosted: Working) -> None:
    """Where nothing bounds memory, this cannot fail."""
    assert hosted.ended("large", hosted.run("large")["id"])["state"] == "succeeded"


def test_the_next_runs_are_told_in_utc(hosted: Working) -> None:
    jobs = hosted.jobs()
    assert {each["timeZone"] for each in jobs.values()} == {"UTC"}
    assert jobs["seldom"]["schedule"] == SELDOM
    found = [datetime.fromisoformat(each) for each in jobs["seldom"]["nextRuns"]]
    assert len(found) == 5
    assert {(each.month, each.day, each.hour, each.tzinfo) for each in found} == {(2, 29, 0, UTC)}
    assert len(jobs["ticker"]["nextRuns"]) == 5


def test_a_job_that_never_runs_is_told_in_the_report(hosted: Working) -> None:
    assert hosted.jobs()["never"]["nextRuns"] == []
    (warning,) = entries(hosted.deployment, "Warning")
    assert warning["application"] == "never"
    assert "'0 5 31 2 *' is no time: its day of month never comes" in warning["message"]
    assert hosted.ended("never", hosted.run("never")["id"])["state"] == "succeeded"


def test_what_is_no_job_has_no_runs(hosted: Working) -> None:
    for answer in (hosted.ask("nobody"), hosted.shop.http.get(f"{hosted.path}/nobody/runs")):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "DeploymentApplicationDoesNotExist"
    assert hosted.shop.http.get(f"{hosted.path}/seldom/runs/999999999").status_code == 404
    answer = hosted.shop.http.get(f"{hosted.path}/seldom/runs", params={"pageToken": "x"})
    assert answer.json()["errors"][0]["code"] == "InvalidQueryParam"


@pytest.fixture(scope="module")
def connectory(hosted: Working, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs commands as an API Client of the Project."""
    shop = hosted.shop
    credentials = shop.platform.installation.credentials(shop.creator.project.partition(":")[2])
    settings = {
        "CONNECTORY_API_URL": shop.platform.server.url,
        "CONNECTORY_CLIENT_ID": credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": credentials.client_secret,
    }
    client = Installation(tmp_path_factory.mktemp("client") / "nothing", settings=settings)
    return client.run


def test_a_job_is_run_and_seen_by_command(hosted: Working, connectory: Any) -> None:
    done = connectory("run-job", "seldom", "--wait")
    assert "of seldom: succeeded" in done.stdout
    assert "  run " in done.stdout
    failed = connectory("run-job", "poor", "--deployment", hosted.id, "--wait", "--json", expect=1)
    assert json.loads(failed.stdout)["state"] == "failed"
    assert "failed: 500 run " in failed.stderr
    listed = connectory("job", "list", hosted.id).stdout.splitlines()
    rows = {line.split()[0]: line for line in listed}
    assert rows["seldom"].split()[1:7] == [*SELDOM.split(), "2028-02-29T00:00:00.000Z"]
    assert rows["poor"].endswith(" failed")
    assert rows["never"].split()[6] == "never"
    (heading, *runs) = connectory("job", "runs", hosted.id, "poor").stdout.splitlines()
    assert heading.split() == ["ID", "DUE", "STATE", "TOOK", "MISSED", "ANSWER"]
    assert "  500 run " in runs[0]
    unknown = connectory("run-job", "nobody", expect=1).stderr
    assert unknown == "connectory: the Deployments of the Project have no job 'nobody'\n"


def test_a_schedule_is_overridden_and_goes_on_over_redeploys(shop: Shop) -> None:
    schedules = {"often": "0 3 * * *", "starter": "@reboot", "old": SELDOM}
    override = {"applicationName": "often", "schedule": "@every 1h"}
    made = working(shop, schedules, override)
    job = made.jobs()["often"]
    assert job["schedule"] == "@every 1h"
    (run,) = made.until("starter", lambda runs: runs and "finishedAt" in runs[-1])
    assert (run["cause"], run["state"]) == ("start", "succeeded")
    # Another release: what has the same schedule keeps its next time, and a start is a start.
    shop.redeploy(made.id)
    assert made.jobs()["often"]["nextRuns"] == job["nextRuns"]
    made.until("starter", lambda runs: len(runs) == 2 and "finishedAt" in runs[-1])
    shop.redeploy(made.id, configurationValues=[override | {"schedule": "@every 2h"}])
    assert made.jobs()["often"]["nextRuns"][0] > job["nextRuns"][0]
    shop.delete(made.id)
    with shop.platform.database.read() as connection:
        for table in ("jobs", "job_runs"):
            query = f"SELECT count(*) FROM {table} WHERE deployment_id = '{made.id}'"
            assert connection.exec_driver_sql(query).scalar_one() == 0


@pytest.mark.long
def test_the_example_runs(shop: Shop) -> None:
    made = Working(shop, shop.deployed(shop.published(example("job"))))
    found = made.ended("stock-import", made.run("stock-import")["id"])
    assert (found["state"], found["output"]) == ("succeeded", "nothing new in main")
    shop.delete(made.id)
