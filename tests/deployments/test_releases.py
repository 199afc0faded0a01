"""The releases of a Deployment, listed with what each of them changed."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from connectory.contract.releases import ReleaseChanges
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.deployments import store
from connectory.deployments.model import Release
from connectory.deployments.releases import Releases
from connectory.deployments.service import Name
from tests.deployments.examples import deployment, release, service
from tests.deployments.shops import Shop, compared, configured, example
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


def told(release: dict[str, Any]) -> dict[str, Any]:
    """What it says that it changed, without what is empty."""
    return {name: value for name, value in release["changes"].items() if value}


def test_releases_are_listed_with_what_each_changed(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    made = shop.deployed(connector, key="live", configurations=configured("One", "key-of-acme 1"))
    assert compared(made) == []
    again = shop.redeploy(made["id"], configurationValues=configured("Two", "key-of-acme 1"))
    change = "1 value changed: GREETING\nGREETING: 'One' → 'Two'"
    assert compared(again) == [("service", "Environment changed", change)]
    broken = example("crash-at-start") | {
        "connect.yaml": example("hard-coded-port")["connect.yaml"]
    }
    shop.next_version(connector, broken)
    failed = shop.redeploy(made["id"], updateConnector=True)
    assert (failed["status"], compared(failed)) == (
        "Failed",
        [("service", "Environment unchanged", "")],
    )
    page = shop.releases("key=live")
    assert {name: page[name] for name in ("offset", "limit", "total", "count")} == {
        "offset": 0, "limit": 20, "total": 3, "count": 3,
    }  # fmt: skip
    third, second, first = page["results"]
    assert [
        (each["number"], each["outcome"], each["serving"], each["connector"]["version"])
        for each in page["results"]
    ] == [(3, "failed", False, 2), (2, "deployed", True, 1), (1, "deployed", False, 1)]
    assert "changes" not in first
    # The secret was given again, and is the same.
    assert told(second) == {
        "since": 1,
        "configuration": [
            {
                "applicationName": "service",
                "key": "GREETING",
                "change": "changed",
                "secured": False,
                "before": "One",
                "after": "Two",
            }
        ],
    }
    assert told(third) == {
        "since": 2,
        "connectorVersion": {"before": 1, "after": 2},
        "commit": {"before": second["commit"], "after": third["commit"]},
    }
    assert third["connector"]["tag"] == "v2.0.0"
    assert first["actor"].startswith("client:")
    assert first["createdAt"] <= first["finishedAt"] <= second["createdAt"]
    again = shop.redeploy(made["id"], configurationValues=configured(key="key-of-acme 2"))
    change = "1 value changed: API_KEY (secured)"
    assert compared(again) == [("service", "Environment changed", change)]
    newest = shop.releases(made["id"], limit=1, offset=0)["results"]
    # What failed is no measure: it is compared with what was deployed.
    assert [(each["number"], told(each)["since"]) for each in newest] == [(4, 2)]
    assert shop.releases(made["id"], limit=2, offset=3)["results"] == [first]
    shop.delete(made["id"])


def test_releases_are_those_of_ones_own_project(shop: Shop, platform: Platform) -> None:
    missing = shop.http.get(f"{shop.path}/key=nothing/releases")
    assert missing.status_code == 404
    with platform.creator() as stranger:
        assert stranger.http.get(f"{shop.path}/key=live/releases").status_code == 403


def test_the_release_before_is_found_however_many_failed_since(database: Database) -> None:
    with database.write() as connection:
        store.add(connection, deployment())
        for number in range(1, 25):
            outcome = "deployed" if number in (1, 2) else "failed"
            store.put_release(connection, release(number, outcome=outcome))
        connection.exec_driver_sql("UPDATE releases SET document = '{}' WHERE number IN (2, 7)")
        for number, expected in ((24, 1), (2, 1), (1, None)):
            found = store.deployed_before(connection, deployment().id, number)
            assert (found and found.number) == expected


@pytest.mark.parametrize(("key", "changed"), [(b"k", ["BB"]), (b"l", ["AA", "BB"])])
def test_a_secret_whose_key_is_lost_counts_as_changed(
    database: Database, key: bytes, changed: list[str]
) -> None:
    subject = deployment(release=2, releases=2)
    ring = KeyRing((b"k" * 32,))

    def sealed_by(number: int, *secrets: str) -> Release:
        given_ = {
            name: ring.seal(secret.encode(), subject.secret_owner)
            for name, secret in zip(("AA", "BB"), secrets, strict=True)
        }
        made = release(number, outcome="deployed")
        return replace(made, applications=(service({}, {**given_, "CC": "as it was"}),))

    with database.write() as connection:
        store.add(connection, subject)
        store.put_release(connection, sealed_by(1, "the same", "old"))
        store.put_release(connection, sealed_by(2, "the same", "new"))
    asked = Releases(database, lambda: KeyRing((key * 32,)))
    page = asyncio.run(asked.page(Name(id=subject.id), subject.project, offset=0, limit=1))
    assert isinstance(page.results[0].changes, ReleaseChanges)
    assert [each.key for each in page.results[0].changes.configuration] == changed
