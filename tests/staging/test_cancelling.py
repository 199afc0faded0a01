"""A preview or a publish that an operator cancels ends at once, with the build that it makes."""

import json
import time

import pytest

from tests.staging.conftest import Creator, Platform
from tests.staging.repositories import GOOD

SLOW = {
    **GOOD,
    "service/package.json": json.dumps(
        {"name": "service", "scripts": {"build": "sleep 300", "start": "node index.js"}}
    ),
}


@pytest.fixture
def platform(checking: Platform) -> Platform:
    return checking


@pytest.mark.parametrize(
    ("action", "ended"),
    [
        ({"action": "updatePreviewable"}, ("Draft", "none")),
        pytest.param(
            {"action": "publish", "certification": False},
            ("Failed", "none"),
            marks=pytest.mark.long,
        ),
    ],
    ids=["preview", "publish"],
)
def test_its_build_is_ended(
    platform: Platform,
    creator: Creator,
    node: str,
    action: dict[str, object],
    ended: tuple[str, str],
) -> None:
    creator.repositories.tag("v1.0.0", SLOW)
    made = creator.create(key=creator.name("slow"))
    creator.update(made["id"], action)
    artifacts = platform.installation.data / "builds" / "artifacts"
    deadline = time.monotonic() + 60
    while not list(artifacts.glob("*/part-*/root/service")):
        assert time.monotonic() < deadline, creator.get(made["id"])
        time.sleep(0.05)
    (work,) = [
        each
        for each in platform.installation.run_json("work", "list")
        if each["subject"] == made["id"]
    ]
    platform.installation.run("work", "cancel", work["id"])
    found = creator.settled(made["id"], 30)
    assert (found["status"], found["isPreviewable"]) == ended
    while list(artifacts.glob("*/part-*")):
        assert time.monotonic() < deadline + 30
        time.sleep(0.05)
