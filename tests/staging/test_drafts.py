"""ConnectorStaged through the API: from a real repository to a Connector in the catalogue."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import connector
from tests.staging.conftest import Creator, Platform
from tests.staging.repositories import GOOD, Repositories


def test_a_draft_has_what_its_connect_yaml_declares(
    creator: Creator, repositories: Repositories
) -> None:
    repositories.tag("v1.0.0")
    key = creator.name("acme")
    made = creator.create(key=key, privateProjects=["europe-west1.gcp:b2"])
    assert made | {"id": ""} == {
        "id": "",
        "key": key,
        "version": 1,
        "name": "Acme",
        "description": "",
        "integrationTypes": ["other"],
        "creator": {"email": "connect@acme.example"},
        "repository": {"url": repositories.url(), "tag": "v1.0.0"},
        "configurations": [
            {
                "applicationName": "service",
                "applicationType": "service",
                "standardConfiguration": [
                    {"key": "ACME_REGION", "description": "Where Acme is called", "default": "eu"}
                ],
                "securedConfiguration": [{"key": "ACME_KEY", "description": "Key of the account"}],
            }
        ],
        "private": True,
        "privateProjects": ["europe-west1.gcp:b2"],
        "supportedRegions": [],
        "status": "Draft",
        "alreadyListed": False,
        "hasChanges": False,
        "isPreviewable": "none",
    }
    assert creator.get(made["id"]) == made
    assert creator.get(f"key={key}") == made


def test_a_publish_makes_a_connector_that_search_finds(
    creator: Creator, repositories: Repositories
) -> None:
    repositories.tag("v1.0.0")
    made = creator.create(name=creator.name("Acme"))
    done = creator.publish(made["id"])
    assert done["status"] == "Published", done
    assert (done["alreadyListed"], done["hasChanges"], done["private"]) == (True, False, True)
    assert "waitingFor" not in done
    titles = [entry["title"] for entry in done["publishingReport"]["entries"]]
    assert titles[0] == "Connector specification file validation check succeeded"
    found = creator.http.get("/connectors/search", params={"text": made["name"].upper()}).json()
    assert [each["id"] for each in found["results"]] == [made["id"]]
    published = creator.http.get(f"/connectors/{made['id']}").json()
    assert published["version"] == 1
    assert published["configurations"] == done["configurations"]
    assert (published["private"], published["certified"]) == (True, False)
    assert creator.publish(made["id"])["status"] == "Published"
    assert creator.http.get(f"/connectors/{made['id']}").json()["version"] == 2


def test_a_preview_is_granted_to_what_passes_and_refused_to_what_does_not(
    creator: Creator, repositories: Repositories
) -> None:
    repositories.tag("v1.0.0")
    repositories.tag("v2.0.0")
    made = creator.create()
    creator.update(made["id"], {"action": "updatePreviewable"})
    assert creator.settled(made["id"])["isPreviewable"] == "true"
    after = creator.update(made["id"], {"action": "setRepository", "tag": "v2.0.0"})
    assert after["isPreviewable"] == "none"
    # The tag is moved after connect.yaml was read, to what no check passes.
    repositories.tag("v2.0.0", {"README.md": ""}, move=True)
    creator.update(made["id"], {"action": "updatePreviewable"})
    refused = creator.settled(made["id"])
    assert refused["isPreviewable"] == "false"
    entries = refused["previewableReport"]["entries"]
    assert [(each["type"], each["title"]) for each in entries] == [
        ("Error", "Connector specification file not found")
    ]


def test_a_publish_that_fails_leaves_the_connector_as_it_was_and_can_be_tried_again(
    creator: Creator, repositories: Repositories
) -> None:
    repositories.tag("v1.0.0")
    made = creator.create()
    creator.publish(made["id"])
    before = creator.http.get(f"/connectors/{made['id']}").json()
    repositories.tag("v1.0.0", {"connect.yaml": "deployAs: 7\n"}, move=True)
    failed = creator.publish(made["id"])
    assert (failed["status"], failed["alreadyListed"]) == ("Failed", True)
    assert "line 1" in failed["publishingReport"]["entries"][-1]["message"]
    assert creator.http.get(f"/connectors/{made['id']}").json() == before
    repositories.tag("v1.0.0", move=True)
    assert creator.publish(made["id"])["status"] == "Published"


def test_what_is_published_is_the_commit_that_was_checked(
    creator: Creator, repositories: Repositories
) -> None:
    repositories.tag("v1.0.0")
    made = creator.create()
    renamed = GOOD["connect.yaml"].replace("ACME_REGION", "ACME_PLACE")
    repositories.tag("v1.0.0", {**GOOD, "connect.yaml": renamed}, move=True)
    done = creator.publish(made["id"])
    keys = done["configurations"][0]["standardConfiguration"]
    assert [each["key"] for each in keys] == ["ACME_PLACE"]
    published = creator.http.get(f"/connectors/{made['id']}").json()
    assert published["configurations"] == done["configurations"]


@pytest.mark.parametrize(
    ("tag", "files", "code", "said"),
    [
        ("v9", None, "GitRepositoryNotReachable", "v9"),
        ("bad", {"README.md": ""}, "ConnectorSpecificationFileNotFound", "no connect.yaml"),
        ("yml", {"connect.yml": ""}, "ConnectorSpecificationFileNotFound", "rename"),
        ("two", {"connect.yaml": "deployAs: 7\n"}, "ConnectorSpecificationFileNotValid", "line 1"),
    ],
)
def test_a_repository_that_cannot_be_used_is_refused_with_the_reason(
    creator: Creator, tag: str, files: dict[str, str] | None, code: str, said: str
) -> None:
    creator.repositories.tag("v1.0.0")
    if files is not None:
        creator.repositories.tag(tag, files)
    answer = creator.http.post("/connectors/drafts", json=creator.draft(tag))
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert error["code"] == code
    assert said in error["detailedErrorMessage"]
    assert creator.http.get("/connectors/drafts").json()["total"] == 0
    made = creator.create()
    told = creator.update(made["id"], {"action": "setRepository", "tag": tag}, expect=400)
    assert told["errors"][0]["code"] == code
    assert creator.get(made["id"]) == made


def test_others_do_not_see_a_draft(creator: Creator, platform: Platform) -> None:
    creator.repositories.tag("v1.0.0")
    key = creator.name("acme")
    made = creator.create(key=key)
    with platform.creator() as other:
        for path in (f"/connectors/drafts/{made['id']}", f"/connectors/drafts/key={key}"):
            assert other.http.get(path).status_code == 404
            update = {"version": 1, "actions": [{"action": "setName", "name": "Mine"}]}
            assert other.http.post(path, json=update).status_code == 404
            assert other.http.delete(path).status_code == 404
        assert other.http.get("/connectors/drafts").json()["total"] == 0
        other.repositories.tag("v1.0.0")
        duplicate = other.http.post("/connectors/drafts", json=other.draft(key=key))
    assert duplicate.status_code == 400
    assert duplicate.json()["errors"] == [
        {
            "code": "DuplicateField",
            "message": f"A duplicate value {key} exists for field key.",
            "field": "key",
            "duplicateValue": key,
        }
    ]
    assert creator.get(made["id"]) == made


def test_keys_are_unique_across_drafts_connectors_and_imports(
    creator: Creator, platform: Platform
) -> None:
    creator.repositories.tag("v1.0.0")
    imported, key = creator.name("imported"), creator.name("acme")
    platform.installation.import_lines([connector(imported)])
    answer = creator.http.post("/connectors/drafts", json=creator.draft(key=imported))
    assert answer.json()["errors"][0]["code"] == "DuplicateField"
    made = creator.create(key=key)
    assert "line 1" in platform.installation.import_lines([connector(key)], expect=1)
    creator.publish(made["id"])
    assert "ConnectorStaged" in platform.installation.import_lines([connector(key)], expect=1)


def test_one_of_many_updates_of_the_same_version_wins(creator: Creator) -> None:
    creator.repositories.tag("v1.0.0")
    made = creator.create()

    def rename(number: int) -> Any:
        actions = [{"action": "setName", "name": f"Name {number}"}]
        return creator.http.post(
            f"/connectors/drafts/{made['id']}", json={"version": 1, "actions": actions}
        )

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(rename, range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    won = next(answer for answer in answers if answer.status_code == 201)
    assert creator.get(made["id"]) == won.json()
    lost = next(answer for answer in answers if answer.status_code == 409).json()["errors"][0]
    assert (lost["code"], lost["expectedVersion"], lost["currentVersion"]) == (
        "ConcurrentModification",
        1,
        2,
    )


def test_unlist_takes_a_connector_out_of_search_and_delete_frees_its_key(
    creator: Creator,
) -> None:
    creator.repositories.tag("v1.0.0")
    key = creator.name("acme")
    made = creator.create(key=key)
    creator.publish(made["id"])

    def found() -> int:
        return int(creator.http.get(f"/connectors/search?key={key}").json()["total"])

    assert creator.update(made["id"], {"action": "unlist"})["alreadyListed"] is False
    assert found() == 0
    assert creator.http.get(f"/connectors/key={key}").status_code == 200
    creator.publish(made["id"])
    assert found() == 1
    deleted = creator.http.delete(f"/connectors/drafts/key={key}")
    assert deleted.status_code == 200
    assert deleted.json()["id"] == made["id"]
    assert found() == 0
    assert creator.http.get(f"/connectors/{made['id']}").status_code == 200, "it may run somewhere"
    assert creator.create(key=key)["id"] != made["id"]


def test_assigned_projects_see_a_private_connector_at_once(
    creator: Creator, platform: Platform
) -> None:
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    creator.publish(made["id"])
    path = f"/connectors/{made['id']}"
    with platform.creator() as other:
        assign = {"privateProject": other.project}
        assert other.http.get(path).status_code == 404
        creator.update(made["id"], {"action": "addPrivateProject", **assign})
        assert other.http.get(path).status_code == 200
        creator.update(made["id"], {"action": "removePrivateProject", **assign})
        assert other.http.get(path).status_code == 404


def test_drafts_are_filtered_sorted_and_paged(creator: Creator) -> None:
    creator.repositories.tag("v1.0.0")
    keys = [creator.name(name) for name in ("b", "a", "c")]
    for key, kind in zip(keys, ("psp", "tax", "psp"), strict=True):
        creator.create(key=key, name=key, integrationTypes=[kind])
    creator.create(name="without")

    def found(query: str) -> list[str]:
        answer = creator.http.get(f"/connectors/drafts?{query}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["count"] == len(body["results"])
        return [each["name"] for each in body["results"]]

    b, a, c = keys
    assert found("") == ["without", c, a, b]
    assert found("sort=key") == [a, b, c, "without"]
    assert found("sort=key desc") == [c, b, a, "without"]
    assert found("sort=createdAt asc&limit=2&offset=1") == [a, c]
    assert found("integrationTypes=psp&sort=name") == [b, c]
    assert found("integrationTypes=psp&integrationTypes=tax&sort=name") == [a, b, c]
    assert found("isPrivate=true&limit=0") == []
    assert creator.http.get("/connectors/drafts?isPrivate=true&limit=0").json()["total"] == 4
    assert found("isPrivate=false") == []


@pytest.mark.parametrize(
    ("actions", "where"),
    [
        ([{"action": "fly"}], "actions[0]"),
        ([{"name": "A"}], "actions[0]"),
        ([{"action": "setName"}], "name"),
        ([{"action": "setName", "name": "A"}, {"action": "publish"}], "certification"),
        ([{"action": "publish", "certification": "yes"}], "actions[0].certification"),
        ([{"action": "setSupportedRegions", "regions": []}], "actions[0].regions"),
        ([{"action": "setSupportedRegions", "regions": ["mars"]}], "actions[0].regions[0]"),
        ([{"action": "addPrivateProject", "privateProject": "x"}], "actions[0].privateProject"),
    ],
)
def test_a_malformed_action_is_told_with_its_place_and_nothing_is_changed(
    creator: Creator, actions: list[dict[str, Any]], where: str
) -> None:
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    told = creator.update(made["id"], *actions, expect=400)
    assert told["errors"][0]["code"] == "InvalidJsonInput"
    assert where in told["errors"][0]["detailedErrorMessage"]
    assert creator.get(made["id"]) == made


def test_fields_that_the_contract_does_not_know_are_ignored(creator: Creator) -> None:
    creator.repositories.tag("v1.0.0")
    made = creator.create(noOfDevelopers=7)
    after = creator.update(made["id"], {"action": "setName", "name": "B", "because": "so"})
    assert (after["name"], after["version"]) == ("B", 2)
