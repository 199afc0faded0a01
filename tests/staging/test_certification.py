"""Certification through commands and the operator API: from a publish to a public Connector.

The first test goes the whole way. The others begin where the checks have passed, which is written
into the database: they take long, and are tested elsewhere.
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from connectory.contract.errors import ApiError
from connectory.database import audit
from connectory.database.tables import connectors_staged as table
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.kernel.clock import system_clock
from connectory.staging import certification, store
from connectory.staging.certification import Review
from connectory.staging.model import created
from connectory.staging.service import Name
from tests.harness import ANSWER_SECONDS
from tests.identity.test_administration import Console
from tests.staging.conftest import Creator, Platform
from tests.staging.examples import REPOSITORY, certifiable, declared, draft

Json = dict[str, Any]


@dataclass
class Reviewer:
    """An operator with a token."""

    name: str
    http: httpx.Client

    @property
    def actor(self) -> str:
        return f"operator:{self.name}"

    def send(self, of: Json, action: str, **fields: Any) -> httpx.Response:
        """Do something to the version that is known."""
        body = {"version": of["version"], "action": action, **fields}
        return self.http.post(f"/operator/certifications/{of['id']}", json=body)

    def review(self, of: Json, action: str, expect: int = 201, **fields: Any) -> Json:
        answer = self.send(of, action, **fields)
        assert answer.status_code == expect, answer.text
        return dict(answer.json())

    def refused(self, of: Json, action: str, **fields: Any) -> Json:
        """The one error of what is not possible."""
        (error,) = self.review(of, action, expect=400, **fields)["errors"]
        return dict(error)

    def cases(self) -> list[Json]:
        answer = self.http.get("/operator/certifications?limit=500")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])


@contextlib.contextmanager
def operator(platform: Platform) -> Iterator[Reviewer]:
    """A new operator."""
    name = f"ann-{ids.new_id()[:8]}"
    with platform.database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        token = administration.create_operator(name).token
    headers = {"Authorization": f"Bearer {token}"}
    url = platform.server.url
    with httpx.Client(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as client:
        yield Reviewer(name, client)


@pytest.fixture
def ann(platform: Platform) -> Iterator[Reviewer]:
    with operator(platform) as made:
        yield made


@pytest.fixture
def console(platform: Platform, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(platform.installation, capsys)


@pytest.fixture
def ready(platform: Platform, creator: Creator) -> Json:
    """A ConnectorStaged that waits for a reviewer."""
    return new_case(platform, creator, key=creator.name("acme"))


def new_case(platform: Platform, creator: Creator, **fields: Any) -> Json:
    now = system_clock()
    made = created(draft(**fields), declared(), id_=ids.new_id(), project=creator.project, now=now)
    with platform.database.write() as connection:
        store.add(connection, certifiable(made, now=now))
    return creator.get(made.id)


def requested_again(platform: Platform, creator: Creator, id_: str) -> Json:
    """The same one after another request whose checks have passed."""
    with platform.database.write() as connection:
        subject = store.lock(connection, id_=id_)
        assert subject is not None
        store.save(connection, certifiable(subject, now=system_clock()))
    return creator.get(id_)


def case_of(reviewer: Reviewer, subject: Json) -> Json | None:
    """What a reviewer sees of a ConnectorStaged, while it is under certification."""
    found = [each for each in reviewer.cases() if each["connectorStaged"]["id"] == subject["id"]]
    return found[0] if found else None


def acts(platform: Platform, id_: str) -> list[tuple[str, str]]:
    """Who did what to a ConnectorStaged, oldest first."""
    with platform.database.read() as connection:
        found = [
            (act.actor, act.action.removeprefix("staging:connector:"))
            for act in audit.acts(connection, limit=100)
            if act.subject == id_
        ]
    return found[::-1]


def test_a_damaged_one_hides_no_other(
    platform: Platform, creator: Creator, ann: Reviewer, ready: Json, console: Console
) -> None:
    damaged = new_case(platform, creator, key=creator.name("damaged"))
    with platform.database.write() as connection:
        of_it = table.c.id == damaged["id"]
        connection.execute(table.update().where(of_it).values(document='{"id": 1}'))
    assert case_of(ann, ready) is not None
    assert case_of(ann, damaged) is None
    assert ready["id"] in console.run("certification", "list", "--json")[0]
    found = creator.http.get("/connectors/drafts").json()
    assert (found["total"], [each["id"] for each in found["results"]]) == (1, [ready["id"]])
    answer = creator.http.get(f"/connectors/drafts/{damaged['id']}")
    assert answer.status_code == 500
    assert [each["code"] for each in answer.json()["errors"]] == ["General"]
    lines = platform.server.lines()
    told = [each["message"] for each in lines if each.get("connector_staged") == damaged["id"]]
    assert len([each for each in told if "lists leave it out" in each]) == 1
    assert len(told) == 2
    with platform.database.write() as connection:  # other tests list without it
        store.remove(connection, damaged["id"])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_is_approved_is_certified_public_and_there_when_the_answer_comes(
    creator: Creator, platform: Platform, ann: Reviewer
) -> None:
    commit = creator.repositories.tag("v1.0.0")
    made = creator.create(key=creator.name("acme"))
    requested = creator.update(made["id"], {"action": "publish", "certification": True})
    assert (requested["status"], requested["waitingFor"]["what"]) == ("Processing", "a worker")
    assert case_of(ann, made) is None
    ready = creator.settled(made["id"])
    assert ready["status"] == "ReadyForCertification"
    assert ready["waitingFor"]["what"] == "a reviewer"
    assert creator.http.get(f"/connectors/{ready['id']}").status_code == 404
    # What is reviewed and published is what was checked, wherever the tag is now.
    creator.repositories.tag("v1.0.0", move=True)
    assert case_of(ann, ready) == {
        "project": creator.project,
        "commit": commit,
        "since": ready["waitingFor"]["since"],
        "connectorStaged": ready,
    }

    taken = ann.review(ready, "take")
    assert (taken["status"], taken["waitingFor"]["what"]) == ("InCertification", ann.actor)
    assert taken["waitingFor"]["since"] > ready["waitingFor"]["since"]
    assert creator.get(ready["id"]) == taken
    case = case_of(ann, ready)
    assert case is not None
    assert (case["reviewer"], case["connectorStaged"]) == (ann.actor, taken)

    asked = ann.review(taken, "comment", comment="Where is the licence?")
    told = creator.update(
        ready["id"],
        {"action": "addCertificationComment", "comment": "In LICENSE."},
        version=asked["version"],
    )
    done = ann.review(told, "approve", comment="Welcome.")
    assert (done["status"], done["private"], done["alreadyListed"]) == ("Published", False, True)
    assert "waitingFor" not in done
    shop = creator.project.partition(":")[2]
    comments = done["certificationInfo"]["comments"]
    assert [(each["userId"], each["comment"]) for each in comments] == [
        (ann.actor, "Where is the licence?"),
        (shop, "In LICENSE."),
        (ann.actor, "Welcome."),
    ]
    with platform.creator("view_connectors") as other:
        found = other.http.get(f"/connectors/search?key={ready['key']}").json()
        assert [each["id"] for each in found["results"]] == [ready["id"]]
        published = other.http.get(f"/connectors/key={ready['key']}").json()
    assert (published["certified"], published["private"]) == (True, False)
    assert case_of(ann, ready) is None
    assert [act for act in acts(platform, ready["id"]) if act[0] == ann.actor] == [
        (ann.actor, "take"),
        (ann.actor, "comment"),
        (ann.actor, "approve"),
    ]


def test_what_is_rejected_goes_back_with_the_reason_and_can_be_published_again(
    creator: Creator, platform: Platform, ready: Json, ann: Reviewer
) -> None:
    rejected = ann.review(ann.review(ready, "take"), "reject", comment="No licence.")
    assert rejected["status"] == "Failed"
    assert "waitingFor" not in rejected
    last = rejected["publishingReport"]["entries"][-1]
    assert (last["type"], last["message"]) == ("Error", "No licence.")
    said = rejected["certificationInfo"]["comments"][-1]
    assert (said["userId"], said["comment"]) == (ann.actor, "No licence.")
    assert creator.http.get(f"/connectors/{ready['id']}").status_code == 404
    assert (ann.actor, "reject") in acts(platform, ready["id"])
    assert ann.refused(rejected, "approve")["code"] == "ReviewNotPossible"
    again = requested_again(platform, creator, ready["id"])
    assert again["status"] == "ReadyForCertification"
    assert again["publishingReport"] == {"entries": []}, "the report is that of the last request"
    assert again["certificationInfo"] == rejected["certificationInfo"]


def test_a_certified_version_stays_until_the_next_one_is_approved(
    creator: Creator, platform: Platform, ready: Json, ann: Reviewer
) -> None:
    id_ = ready["id"]
    ann.review(ann.review(ready, "take"), "approve")
    creator.update(id_, {"action": "setName", "name": "Newer"})
    private = creator.update(id_, {"action": "publish", "certification": False}, expect=400)
    assert private["errors"][0]["code"] == "CertificationRequired"
    second = requested_again(platform, creator, id_)

    with platform.creator("view_connectors") as other:

        def seen() -> tuple[int, str]:
            shown = other.http.get(f"/connectors/{id_}").json()
            return shown["version"], shown["name"]

        assert seen() == (1, "Acme")
        taken = ann.review(second, "take")
        assert seen() == (1, "Acme")
        rejected = ann.review(taken, "reject", comment="Not yet.")
        assert (seen(), rejected["private"]) == ((1, "Acme"), False)
        third = requested_again(platform, creator, id_)
        ann.review(ann.review(third, "take"), "approve")
        assert seen() == (2, "Newer")
        creator.update(id_, {"action": "unlist"})
        assert other.http.get(f"/connectors/search?key={ready['key']}").json()["total"] == 0
        assert seen() == (2, "Newer")


@pytest.mark.parametrize("taken", [False, True])
def test_under_certification_the_creator_can_comment_and_nothing_else(
    creator: Creator, ready: Json, ann: Reviewer, taken: bool
) -> None:
    known = ann.review(ready, "take") if taken else ready
    id_ = known["id"]
    again = creator.update(id_, {"action": "publish", "certification": True}, expect=400)
    assert again["errors"][0]["code"] == "ConnectorStagedInCertification"
    changed = creator.update(id_, {"action": "setName", "name": "B"}, expect=400)
    assert changed["errors"][0]["code"] == "ConnectorStagedInProcess"
    assert creator.http.delete(f"/connectors/drafts/{id_}").status_code == 400
    assert creator.get(id_) == known
    said = creator.update(id_, {"action": "addCertificationComment", "comment": "Please."})
    assert (said["status"], said["waitingFor"]) == (known["status"], known["waitingFor"])


def test_of_two_who_take_the_same_one_wins(platform: Platform, ready: Json, ann: Reviewer) -> None:
    with operator(platform) as ben, ThreadPoolExecutor(8) as threads:
        who = [ann, ben] * 4
        answers = list(threads.map(lambda each: each.send(ready, "take"), who))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    won = next(each for each, answer in zip(who, answers, strict=True) if answer.is_success)
    assert [act for act in acts(platform, ready["id"]) if act[1] == "take"] == [(won.actor, "take")]


def test_commands_that_take_at_once_are_told_who_was_faster(
    platform: Platform, ready: Json
) -> None:
    def take(number: int) -> str:
        review = Review(reviewer=f"command:{number}", now=system_clock())
        try:
            with platform.database.write() as connection:
                certification.take(connection, Name(id=ready["id"]), review)
        except ApiError as error:
            return str(error)
        return f"command:{number}"

    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(take, range(4)))
    (won,) = [each for each in said if each.startswith("command:")]
    lost = [each for each in said if each != won]
    assert len(lost) == 3
    assert all(f"was taken by {won}," in each for each in lost)


def test_only_who_has_taken_it_decides_by_http(
    platform: Platform, ready: Json, ann: Reviewer, console: Console
) -> None:
    early = ann.refused(ready, "approve")
    assert early["code"] == "ReviewNotPossible"
    assert "cannot be approved while its status is ReadyForCertification" in early["message"]
    taken = ann.review(ready, "take")
    with operator(platform) as ben:
        for action in ("take", "approve", "reject"):
            refused = ben.refused(taken, action, comment="Mine")
            assert refused["code"] == "ReviewTaken"
            assert ann.actor in refused["message"]
        taken = ben.review(taken, "comment", comment="I have seen this before.")
    assert taken["waitingFor"]["what"] == ann.actor
    # The way out when a reviewer is gone: whoever has the machine decides for them.
    assert "Published" in console.says("certification", "approve", ready["key"])


def test_a_draft_is_no_reviewers_business(
    creator: Creator, platform: Platform, ann: Reviewer
) -> None:
    subject = created(
        draft(key=creator.name("acme")),
        declared(),
        id_=ids.new_id(),
        project=creator.project,
        now=system_clock(),
    )
    with platform.database.write() as connection:
        store.add(connection, subject)
    made = creator.get(subject.id)
    for action in ("take", "approve", "reject", "comment"):
        refused = ann.refused(made, action, comment="Let me")
        assert refused["code"] == "ReviewNotPossible"
        assert "Draft" in refused["message"]
    assert creator.get(made["id"]) == made


def test_a_review_of_another_version_or_of_nothing_is_refused(ready: Json, ann: Reviewer) -> None:
    old = ready | {"version": ready["version"] - 1}
    (error,) = ann.review(old, "take", expect=409)["errors"]
    assert (error["code"], error["currentVersion"]) == ("ConcurrentModification", ready["version"])
    ann.review(ready | {"id": ids.new_id()}, "take", expect=404)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"version": 1}, "action"),
        ({"version": 1, "action": "publish"}, "action"),
        ({"action": "take"}, "version"),
        ({"version": "1", "action": "take"}, "version"),
        ({"version": 1, "action": "reject"}, "comment"),
        ({"version": 1, "action": "reject", "comment": ""}, "comment"),
        ({"version": 1, "action": "approve", "comment": 7}, "comment"),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_malformed_review_is_told_with_its_place(
    ready: Json, ann: Reviewer, body: Json, where: str
) -> None:
    answer = ann.http.post(f"/operator/certifications/{ready['id']}", json=body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == "InvalidJsonInput"
    assert where in error["detailedErrorMessage"]


def test_a_revoked_operator_is_refused_at_once_and_what_they_had_is_decided_by_command(
    creator: Creator, platform: Platform, ready: Json, ann: Reviewer, console: Console
) -> None:
    taken = ann.review(ready, "take")
    console.says("operator", "revoke", ann.name)
    assert ann.http.get("/operator/certifications").status_code == 401
    assert ann.send(taken, "approve").status_code == 401
    assert creator.get(ready["id"]) == taken
    done = console.json("certification", "reject", ready["id"], "--comment", "Ann has left.")
    assert done["status"] == "Failed"
    assert done == creator.get(ready["id"])


def test_cases_are_paged_and_what_waits_longest_comes_first(
    creator: Creator, platform: Platform, ann: Reviewer, ready: Json
) -> None:
    second = new_case(platform, creator, key=creator.name("other"))
    # A comment changes the first one, and not for how long it has waited.
    ann.review(ready, "comment", comment="Soon.")
    own = [
        each["connectorStaged"]["id"] for each in ann.cases() if each["project"] == creator.project
    ]
    assert own == [ready["id"], second["id"]]
    whole = ann.http.get("/operator/certifications").json()
    page = ann.http.get("/operator/certifications?limit=1&offset=1").json()
    assert page == {
        "offset": 1,
        "limit": 1,
        "total": whole["total"],
        "count": 1,
        "results": whole["results"][1:2],
    }
    assert whole["total"] >= 2


def test_reviews_by_command_show_on_a_running_server_within_a_second(
    creator: Creator, platform: Platform, ready: Json, console: Console
) -> None:
    listed = console.json("certification", "list")
    assert [each for each in listed if each["connectorStaged"] == ready]
    heading, *rows = console.says("certification", "list").splitlines()
    assert heading.split()[3:] == ["PROJECT", "REPOSITORY", "TAG", "COMMIT", "REVIEWER", "SINCE"]
    (row,) = [each.split() for each in rows if each.startswith(f"{ready['key']} ")]
    since = ready["waitingFor"]["since"]
    assert row[1:] == [creator.project, REPOSITORY.url, REPOSITORY.tag, "a" * 12, "-", since]
    refused = console.refusal("certification", "approve", ready["key"])
    assert "cannot be approved while its status is ReadyForCertification" in refused
    assert "InCertification" in console.says("certification", "take", ready["key"])
    assert "was taken by command:" in console.refusal("certification", "take", ready["id"])
    console.says("certification", "comment", ready["key"], "--comment", "Nice.")
    assert "--comment" in console.refusal("certification", "reject", ready["key"], status=2)
    blank = ("--comment", " ")
    console.refusal("certification", "reject", ready["key"], *blank, status=2)
    assert "'nothing'" in console.refusal("certification", "take", "nothing")
    with platform.creator("view_connectors") as other:
        done = console.json("certification", "approve", ready["id"])
        approved = time.monotonic()
        while not other.http.get(f"/connectors/search?key={ready['key']}").json()["total"]:
            assert time.monotonic() < approved + 1
    assert creator.get(ready["id"]) == done
    verbs = [verb for who, verb in acts(platform, ready["id"]) if who.startswith("command:")]
    assert verbs == ["take", "comment", "approve"]
