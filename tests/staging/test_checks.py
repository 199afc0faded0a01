"""What is asked for goes through all checks, the build included, and its report tells of each."""

import pytest

from tests.staging.conftest import Creator, Platform

PASSED = [
    ("Information", "Connector specification file validation check succeeded"),
    ("Information", "Connector structure check succeeded"),
    ("Information", "Secrets in the source check succeeded"),
    ("Information", "SAST and SCA analysis check succeeded"),
    ("Information", "Connector image build check succeeded"),
]


@pytest.fixture
def platform(checking: Platform) -> Platform:
    return checking


def told(report: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    return [(each["type"], each["title"]) for each in report["entries"]]


def test_a_good_connector_passes_all_checks(creator: Creator, node: str) -> None:
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    creator.update(made["id"], {"action": "updatePreviewable"})
    previewed = creator.settled(made["id"])
    assert previewed["isPreviewable"] == "true"
    assert told(previewed["previewableReport"]) == PASSED
    published = creator.publish(made["id"])
    assert published["status"] == "Published"
    assert told(published["publishingReport"]) == PASSED
