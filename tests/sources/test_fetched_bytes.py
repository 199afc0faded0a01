"""What a Project may fetch in an hour, and what it is told beyond that."""

import pytest

from connectory.contract.errors import LimitExceeded
from connectory.kernel.buckets import Buckets
from connectory.sources.model import FetchedTooMuch
from connectory.staging.declaring import read_declared
from tests.sources.conftest import PROJECT, Make, at
from tests.sources.origins import Origin

OTHER = "europe-west1.gcp:other"


def test_the_fetch_that_goes_beyond_it_is_finished_and_the_next_one_refused(
    origin: Origin, make_sources: Make
) -> None:
    origin.commit({"a": b"x" * 10}, "v1")
    origin.commit({"a": b"y" * 10}, "v2")
    sources = make_sources(project_fetched_bytes_per_hour=1)
    first = sources.fetch(at("v1"), PROJECT)
    with pytest.raises(FetchedTooMuch, match=r"try again in \d+ minutes") as refused:
        sources.fetch(at("v2"), PROJECT)
    assert refused.value.transient, "a preview or a publish is tried again"
    assert sources.fetch(at("v1"), PROJECT) == first, "what is there costs nothing"
    assert sources.read(first, "a", PROJECT, max_bytes=100) == b"x" * 10
    assert sources.fetch(at("v2"), OTHER).commit != first.commit, "another Project"


def test_a_request_is_told_so_at_once(origin: Origin, make_sources: Make) -> None:
    origin.commit({"a": b"x"}, "v1")
    origin.commit({"a": b"y"}, "v2")
    sources = make_sources(project_fetched_bytes_per_hour=1)
    sources.fetch(at("v1"), PROJECT)
    with pytest.raises(LimitExceeded, match="CONNECTORY_PROJECT_FETCHED_BYTES_PER_HOUR"):
        read_declared(sources, at("v2"), PROJECT)


def test_without_the_setting_there_is_no_limit(origin: Origin, make_sources: Make) -> None:
    sources = make_sources()
    for number in range(3):
        origin.commit({"a": b"%d" % number}, f"v{number}")
        sources.fetch(at(f"v{number}"), PROJECT)


def test_what_is_owed_is_paid_before_anything_is_taken() -> None:
    now = 0.0
    buckets = Buckets(100, 10.0, lambda: now)
    assert buckets.take("shop", 60) == 0
    buckets.charge("shop", 90)
    assert buckets.take("shop", 10) == pytest.approx(6)
    now = 6.0
    assert buckets.take("shop", 10) == 0
    assert buckets.take("shop", 1) > 0
    now = 1_000.0
    assert buckets.take("shop", 101) > 0, "a bucket holds no more than its size"
