"""The server is killed during a run: it is told as failed, and is not made again."""

from pathlib import Path

from tests.deployments.shops import opened, own_installation
from tests.schedule.working import SELDOM, Working, configured, working


def test_a_run_under_way_at_a_kill_has_failed_and_is_not_made_again(tmp_path: Path) -> None:
    installation = own_installation(tmp_path)
    with installation.serving() as server, opened(installation, server) as shop:
        made = working(shop, {"worker": SELDOM}, configured("worker", wait="60000"))
        asked = made.run("worker", headers={"X-Correlation-ID": "killed"})
        assert made.told("killed")["calls"] == 1
        server.kill()
    with installation.serving() as server, opened(installation, server) as shop:
        again = Working(shop, made.deployment)
        found = again.ended("worker", asked["id"])
        assert found["state"] == "failed"
        assert found["output"] == "the server that ran it stopped"
        assert [each["id"] for each in again.runs("worker")["data"]] == [asked["id"]]
        # It can run once more, as nothing is under way.
        again.run("worker", headers={"X-Correlation-ID": "after"})
        assert again.told("after")["calls"] == 1
        server.kill()  # it would wait for the run
