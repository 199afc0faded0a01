"""The API against a model in plain Python: creators, checks and reviewers, in any order.

The node is composed as in life, its database and its git repositories are real. What a worker does
is done by hand, and stops in the middle of the checks, so that anything may happen meanwhile.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectory.database.engine import Database
from tests.harness import Installation
from tests.staging.composed import Composed
from tests.staging.conftest import REGION
from tests.staging.expected import (
    BETTER,
    BROKEN,
    GOOD,
    MISSING,
    UNDER_CERTIFICATION,
    Expected,
    Json,
    Refused,
    shown,
)
from tests.staging.repositories import GOOD as FILES

OWN, OTHER = f"{REGION}:shop", f"{REGION}:other"
PREVIEW = {"action": "updatePreviewable"}
PUBLISH, CERTIFY = ({"action": "publish", "certification": asked} for asked in (False, True))
_EDITS = st.one_of(
    st.builds(lambda name: {"action": "setName", "name": name}, st.sampled_from(["Acme", "Bolt"])),
    st.builds(
        lambda kinds: {"action": "setIntegrationTypes", "integrationTypes": kinds},
        st.sampled_from([["psp"], ["tax", "psp"]]),
    ),
    st.builds(
        lambda tag: {"action": "setRepository", "tag": tag},
        st.sampled_from([GOOD, BETTER, BROKEN, MISSING]),
    ),
    st.builds(
        lambda action: {"action": action, "privateProject": OTHER},
        st.sampled_from(["addPrivateProject", "removePrivateProject"]),
    ),
    st.just({"action": "addCertificationComment", "comment": "Please."}),
    st.just({"action": "unlist"}),
)
_PREVIEW = st.just(PREVIEW)
_PUBLISH = st.sampled_from([CERTIFY, CERTIFY, PUBLISH])
#: Any of which may be refused, and then all are. A preview and a publish of the same update have no
#: order, and what follows could not be repeated: tests/crash has them.
ACTIONS = st.one_of(
    st.lists(st.one_of(_EDITS, _PREVIEW), min_size=1, max_size=3),
    st.lists(st.one_of(_EDITS, _PUBLISH), min_size=1, max_size=3),
)
REVIEWERS = st.sampled_from(["operator:ann", "operator:bob"])
REVIEWS = st.sampled_from(["take", "take", "approve", "approve", "reject", "comment"])
#: Updates that something begins with, and how many steps those who work on it go on.
STARTS = (
    [],
    [[PREVIEW], 1],
    [[PREVIEW], [CERTIFY], 1],
    [[PUBLISH], 2],
    [[CERTIFY], 2],
    [[CERTIFY], 3],
    [[CERTIFY], 4],
    [[CERTIFY], 4, [{"action": "setName", "name": "Bolt"}], [CERTIFY], 2],
)
TAGS = st.sampled_from([GOOD, BETTER, BROKEN])
#: Versions that are sent: mostly the one that is there.
LATE = st.sampled_from([0] * 16 + [-1, 1])


class Platform:
    """A node with two Projects, two operators and a repository."""

    def __init__(self, node: Composed) -> None:
        self.node = node
        self.own, self.other = node.client("shop"), node.client("other")
        self.reviewers = {f"operator:{name}": node.operator(name) for name in ("ann", "bob")}
        self.numbers = itertools.count()
        for tag in (GOOD, BETTER):
            node.repositories.tag(tag)
        node.repositories.tag(BROKEN, {"connect.yaml": FILES["connect.yaml"]})


class Staging(RuleBasedStateMachine):
    """Each rule does the same by HTTP and to `self.expected`, and compares what it is told."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self.platform = platform
        self.node = platform.node
        self.key = f"acme-{next(platform.numbers)}"
        self.id = ""
        self.expected: Expected | None = None
        #: What it was when all others were asked.
        self.seen: Expected | None = None
        #: Kind and number of the requests whose work is queued, and of the one that is worked on.
        self.queue: list[tuple[str, int]] = []
        self.worked: tuple[str, int] | None = None
        self.is_cancelled = False

    @initialize(tag=TAGS, start=st.sampled_from(STARTS))
    def begin_with(self, tag: str, start: list[Any]) -> None:
        """Where it begins: few steps of chance lead far away from a draft."""
        self.node.forget_work()
        self.create(tag)
        for step in start:
            if isinstance(step, list):
                self.update(step)
            else:
                self.go_on(step)

    def teardown(self) -> None:
        self.node.end()

    # Creators

    @precondition(lambda self: self.expected is None)
    @rule(tag=TAGS)
    def create(self, tag: str) -> None:
        draft = {
            "key": self.key,
            "name": "Acme",
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": self.node.repositories.url(), "tag": tag},
        }
        answer = self.node.ask(self.platform.own, "POST", "/connectors/drafts", draft)
        if self.expected is not None:
            assert_refused(answer, "DuplicateField")
            return
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]
        self.expected = Expected("Acme", tag)

    @precondition(lambda self: self.expected is not None)
    @rule(action=_EDITS)
    def edit(self, action: Json) -> None:
        self.update([action])

    @precondition(lambda self: self.expected is not None)
    @rule()
    def request_preview(self) -> None:
        self.update([PREVIEW])

    @precondition(lambda self: self.expected is not None)
    @rule(action=_PUBLISH)
    def request_publish(self, action: Json) -> None:
        self.update([action])

    @precondition(lambda self: self.expected is not None)
    @rule(actions=ACTIONS, late=LATE)
    def update(self, actions: list[Json], late: int = 0) -> None:
        version = self.expected.version + late if self.expected else 1
        body = {"version": max(1, version), "actions": actions}
        answer = self.node.ask(self.platform.own, "POST", self.path, body)
        number = next(self.platform.numbers) * 10
        if self.acts(answer, lambda it: it.updated(actions, number), body["version"]):
            for place, action in enumerate(actions):
                kind = {"updatePreviewable": "preview"}.get(action["action"], action["action"])
                if self.request((kind, number + place)) is not None:
                    self.queue.append((kind, number + place))

    def delete(self) -> None:
        answer = self.node.ask(self.platform.own, "DELETE", self.path)
        before = self.expected
        if self.acts(answer, lambda it: it.require_deletable() or it, None, status=200):
            assert before is not None
            self.expected = None
            left = self.node.ask(self.platform.own, "GET", f"/connectors/{self.id}")
            assert left.status_code == (404 if before.connector is None else 200)

    # The worker

    @precondition(lambda self: self.worked is None and self.queue)
    @rule()
    def begin(self) -> None:
        work = self.node.begin()
        assert work is not None
        begun = self.queue.pop(0)
        assert work.kind == begun[0]
        request = self.request(begun)
        assert self.node.is_working == (request is not None)
        if self.expected is not None and request is not None:
            self.worked = begun
            self.expected = self.expected.begun(begun[0], request)

    @precondition(lambda self: self.worked is not None)
    @rule()
    def end(self) -> None:
        self.node.end()
        kind, number = self.worked or ("", 0)
        request = self.request((kind, number))
        if self.expected is not None and request is not None:
            if self.is_cancelled:
                self.expected = self.expected.cancelled(kind)
            else:
                self.expected = self.expected.ended(kind, request)
        self.worked, self.is_cancelled = None, False

    @precondition(lambda self: self.worked is not None)
    @rule(tag=TAGS, what=st.sampled_from(["set", "again", "drop", "cancel"]))
    def disturb(self, tag: str, what: str) -> None:
        """In the middle of the checks, something happens to what they are of."""
        if what == "set":
            self.update([{"action": "setRepository", "tag": tag}])
        elif what == "again":
            self.update([{"action": "setRepository", "tag": tag}, PREVIEW])
        elif what == "drop":
            self.delete()
        else:
            self.cancel(0)

    @precondition(lambda self: self.worked or self.queue)
    @rule(which=st.integers(0, 2))
    def cancel(self, which: int) -> None:
        """An operator cancels the oldest piece of work that has not ended, or a later one."""
        open_ = [work for work in self.node.works() if work.state in ("queued", "running")]
        known = [*([self.worked] if self.worked else []), *self.queue]
        assert [work.kind for work in open_] == [kind for kind, _ in known]
        if which >= len(known):
            return
        self.node.cancel(open_[which].id)
        if known[which] == self.worked:
            self.is_cancelled = True
            return
        self.queue.remove(known[which])
        if self.expected is not None and self.request(known[which]) is not None:
            self.expected = self.expected.cancelled(known[which][0])

    # Reviewers

    @precondition(lambda self: self.expected and self.expected.status in UNDER_CERTIFICATION)
    @rule(action=REVIEWS, reviewer=REVIEWERS, late=LATE)
    def review(self, action: str, reviewer: str, late: int = 0) -> None:
        version = max(1, self.expected.version + late) if self.expected else 1
        body: Json = {"version": version, "action": action}
        if action in ("reject", "comment"):
            body["comment"] = "No licence."
        token = self.platform.reviewers[reviewer]
        path = f"/operator/certifications/{self.id}"
        answer = self.node.ask(token, "POST", path, body)
        self.acts(answer, lambda it: it.reviewed(action, reviewer), version)

    @precondition(
        lambda self: (
            self.worked
            or self.queue
            or (self.expected and self.expected.status in UNDER_CERTIFICATION)
        )
    )
    @rule(steps=st.integers(1, 4))
    def go_on(self, steps: int) -> None:
        """Whatever is next, so that chance gets somewhere."""
        for _ in range(steps):
            status = self.expected.status if self.expected else ""
            if self.worked is not None:
                self.end()
            elif self.queue:
                self.begin()
            elif status == "ReadyForCertification":
                self.review("take", "operator:ann")
            elif status == "InCertification" and self.expected and self.expected.reviewer:
                self.review("approve", self.expected.reviewer)
            else:
                return

    @rule(
        what=st.sampled_from(["create", "delete", "review", "nothing to do"]),
        action=REVIEWS,
        reviewer=REVIEWERS,
    )
    def attempt(self, what: str, action: str, reviewer: str) -> None:
        """What is seldom possible, or ends everything."""
        if what == "create":
            self.create(GOOD)
        elif what == "delete":
            self.delete()
        elif what == "review":
            self.review(action, reviewer)
        elif not self.queue:
            assert self.worked is not None or self.node.begin() is None

    # What is seen

    @invariant()
    def is_as_expected(self) -> None:
        answer = self.node.ask(self.platform.own, "GET", self.path)
        if self.expected is None:
            assert answer.status_code == 404
        else:
            assert shown(answer.json()) == self.expected.shown
        if self.expected == self.seen:
            return
        self.seen = self.expected
        assert self.node.ask(self.platform.other, "GET", self.path).status_code == 404
        for token, project in ((self.platform.own, OWN), (self.platform.other, OTHER)):
            found = self.node.ask(token, "GET", f"/connectors/search?key={self.key}").json()
            listed = self.expected.found(project, OWN) if self.expected else []
            assert [
                (
                    each["version"],
                    each["certified"],
                    each["name"],
                    tuple(each["integrationTypes"]),
                    each["repository"]["tag"],
                )
                for each in found["results"]
            ] == listed

    @property
    def path(self) -> str:
        return f"/connectors/drafts/{self.id}"

    def request(self, of: tuple[str, int]) -> Any:
        """A request, while it is under way."""
        return self.expected and self.expected.request(*of)

    def acts(
        self,
        answer: Any,
        act: Callable[[Expected], Expected],
        version: int | None,
        status: int = 201,
    ) -> bool:
        """Compare an answer with what the model says, and go on from there; whether it is so."""
        before = self.expected
        if before is None:
            assert answer.status_code == 404, answer.text
            return False
        if version not in (None, before.version):
            assert answer.status_code == 409, answer.text
            return False
        try:
            self.expected = act(before)
        except Refused as refused:
            assert_refused(answer, str(refused))
            return False
        assert answer.status_code == status, answer.text
        assert shown(answer.json()) == self.expected.shown
        return True


def assert_refused(answer: Any, code: str) -> None:
    assert answer.status_code == 400, answer.text
    assert [error["code"] for error in answer.json()["errors"]] == [code]


@pytest.fixture
def platform(installation: Installation, database: Database, tmp_path: Path) -> Iterator[Platform]:
    node = Composed(installation, database, tmp_path)
    yield Platform(node)
    node.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("examples", "steps"), [(6, 20), pytest.param(150, 30, marks=pytest.mark.long)]
)
def test_the_api_does_what_its_model_does(platform: Platform, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Staging(platform),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
