"""What a machine lacks is skipped, and fails where the machine is said to have it."""

import pytest

from tests.conftest import lacking


def test_what_is_lacking_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTORY_TEST_REQUIRE", "browser node")
    with pytest.raises(pytest.skip.Exception, match="postgresql: no initdb"):
        lacking("postgresql", "no initdb")


def test_what_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTORY_TEST_REQUIRE", "browser postgresql")
    with pytest.raises(pytest.fail.Exception, match="postgresql is required here, but no initdb"):
        lacking("postgresql", "no initdb")
