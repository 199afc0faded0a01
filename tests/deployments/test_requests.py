"""What clients may ask for, and what they are told at once: `/{projectKey}/deployments`.

What becomes of it in the background is the matter of other tests.
"""

from typing import Any

import pytest

from tests.deployments.shops import Shop, codes
from tests.staging.conftest import REGION, Creator, Platform
from tests.staging.repositories import GOOD

CONNECT_YAML = """\
inheritAs:
  configuration:
    standardConfiguration:
      - key: SHARED
        description: For all
        required: true
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
    configuration:
      standardConfiguration:
        - key: ACME_REGION
          description: Where Acme is called
          default: eu
        - key: ACME_SHOP
          description: Which shop
          required: true
      securedConfiguration:
        - key: ACME_KEY
          description: Key of the account
          required: true
"""
WITH_CLIENT = """\
inheritAs:
  apiClient:
    scopes: [view_products, manage_orders]
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
"""
VALUES = [
    {
        "applicationName": "service",
        "standardConfiguration": [{"key": "ACME_SHOP", "value": "berlin"}],
        "securedConfiguration": [{"key": "ACME_KEY", "value": "s3cret-of-acme"}],
    }
]
SHARED = {"standardConfiguration": [{"key": "SHARED", "value": "yes"}]}


@pytest.fixture
def shop(creator: Creator, platform: Platform) -> Shop:
    return Shop(creator, platform)


def published(shop: Shop, yaml: str = CONNECT_YAML, **fields: Any) -> dict[str, Any]:
    return shop.published(GOOD | {"connect.yaml": yaml}, **fields)


def draft_of(shop: Shop, subject: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return shop.draft(subject, **{"configurations": VALUES, "globalConfiguration": SHARED} | fields)


def create(shop: Shop, subject: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return shop.create(
        subject, **{"configurations": VALUES, "globalConfiguration": SHARED} | fields
    )


def test_a_deployment_is_accepted_with_its_values_and_no_secret_comes_back(shop: Shop) -> None:
    connector = published(shop)
    made = create(shop, connector, key="live")
    assert made["version"] == 1
    assert made["status"] == "Deploying"
    assert made["type"] == "sandbox"
    assert made["preview"] is False
    assert made["deployedRegion"] == REGION
    assert made["connector"]["id"] == connector["id"]
    assert made["connector"]["version"] == 1
    assert [each["applicationName"] for each in made["connector"]["configurations"]] == ["service"]
    assert "private" not in made["connector"]
    (application,) = made["applications"]
    assert application["standardConfiguration"] == [
        {"key": "ACME_REGION", "value": "eu"},
        {"key": "ACME_SHOP", "value": "berlin"},
    ]
    assert application["securedConfiguration"] == [{"key": "ACME_KEY", "value": "****"}]
    assert made["globalConfiguration"]["standardConfiguration"] == SHARED["standardConfiguration"]
    for place in (made["id"], "key=live"):
        answer = shop.creator.http.get(f"{shop.path}/{place}")
        assert answer.status_code == 200
        assert answer.json()["id"] == made["id"]
        assert "s3cret" not in answer.text


def test_secrets_are_not_in_the_database(shop: Shop) -> None:
    made = create(shop, published(shop))
    with shop.platform.database.read() as connection:
        for table in ("deployments", "releases", "work", "audit"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            assert "s3cret-of-acme" not in repr(rows), table
    assert made["id"]


def test_what_is_referenced_must_be_there_for_the_project(shop: Shop, platform: Platform) -> None:
    connector = published(shop)
    unknown = draft_of(shop, connector, connector={"key": "no-such-key", "version": 4})
    (error,) = shop.refused(unknown)
    assert error["code"] == "ConnectorReferenceNotFound"
    assert error["message"] == "Connector 'no-such-key' with version 4 not found"
    future = draft_of(shop, connector, connector={"id": connector["id"], "version": 2})
    assert codes(shop.refused(future)) == ["ConnectorReferenceNotFound"]
    with platform.creator() as stranger:
        foreign = Shop(stranger, platform)
        assert codes(foreign.refused(draft_of(foreign, connector))) == [
            "ConnectorReferenceNotFound"
        ]


def test_a_version_that_is_given_is_deployed_exactly(shop: Shop) -> None:
    connector = published(shop)
    shop.creator.update(connector["id"], {"action": "setName", "name": "Newer"})
    shop.creator.publish(connector["id"])
    old = create(shop, connector, connector={"id": connector["id"], "version": 1})
    new = create(shop, connector)
    assert (old["connector"]["name"], old["connector"]["version"]) == ("Acme", 1)
    assert (new["connector"]["name"], new["connector"]["version"]) == ("Newer", 2)


def test_a_connector_that_is_unlisted_is_not_deployed_anew(shop: Shop) -> None:
    connector = published(shop)
    shop.creator.update(connector["id"], {"action": "unlist"})
    assert codes(shop.refused(draft_of(shop, connector))) == ["ConnectorReferenceNotFound"]


def test_a_type_must_fit_what_is_referenced(shop: Shop) -> None:
    connector = published(shop)
    (error,) = shop.refused(draft_of(shop, connector, type="preview"))
    assert error["code"] == "DeploymentInvalidType"
    assert error["message"] == (
        f"The Connector id={connector['id']} or key={connector['key']} cannot be deployed as a"
        " 'preview' type. Only 'sandbox|production' types are allowed."
    )
    (error,) = shop.refused(draft_of(shop, connector, type="production"))
    assert error["code"] == "DeploymentProductionDeactivated"
    assert codes(shop.refused(draft_of(shop, connector, type="other"))) == ["InvalidJsonInput"]


def test_a_connectorstaged_is_deployed_as_a_preview_once_it_is_previewable(shop: Shop) -> None:
    shop.creator.repositories.tag("v1.0.0", GOOD)
    made = shop.creator.create()
    reference = {"id": made["id"], "staged": True}
    draft = draft_of(shop, made, connector=reference, configurations=[], globalConfiguration={})
    (error,) = shop.refused(draft)
    assert error["code"] == "ConnectorStagedNotPreviewable"
    assert error["message"] == f"Connector id={made['id']} with version 1 is not previewable"
    shop.creator.update(made["id"], {"action": "updatePreviewable"})
    staged = shop.creator.settled(made["id"])
    assert staged["isPreviewable"] == "true"
    assert codes(shop.refused(draft | {"type": "sandbox"})) == ["DeploymentInvalidType"]
    answer = shop.creator.http.post(shop.path, json=draft)
    assert answer.status_code == 201, answer.text
    assert answer.json()["type"] == "preview"
    assert answer.json()["preview"] is True
    assert answer.json()["connector"]["version"] == staged["version"]


def test_a_region_must_be_supported(shop: Shop) -> None:
    connector = published(shop, supportedRegions=["us-central1.gcp"])
    (error,) = shop.refused(draft_of(shop, connector))
    assert error["code"] == "DeploymentUnsupportedRegion"
    assert error["message"] == f"Deployment unsupported region {REGION}"
    assert create(shop, connector, region="us-central1.gcp")["deployedRegion"] == "us-central1.gcp"


def test_a_key_is_taken_once_in_a_project(shop: Shop, platform: Platform) -> None:
    connector = published(shop)
    create(shop, connector, key="twice")
    (error,) = shop.refused(draft_of(shop, connector, key="twice"))
    assert (error["code"], error["duplicateValue"]) == ("DuplicateField", "twice")
    with platform.creator() as stranger:
        other = Shop(stranger, platform)
        assert create(other, published(other), key="twice")["key"] == "twice"


def test_every_fault_of_the_values_is_told(shop: Shop) -> None:
    connector = published(shop)
    draft = draft_of(shop, connector, configurations=[{"applicationName": "other"}])
    draft["globalConfiguration"] = {}
    assert codes(shop.refused(draft)) == [
        "DeploymentUnknownApplicationConfiguration",
        "InvalidJsonInput",
        "InvalidJsonInput",
        "DeploymentMissingGlobalConfigurationKey",
    ]


def test_an_api_client_needs_the_scope_that_makes_one(shop: Shop) -> None:
    connector = published(shop, WITH_CLIENT)
    draft = draft_of(shop, connector, configurations=[], globalConfiguration={})
    assert codes(shop.refused(draft, 403)) == ["AuthorizationError"]
    with shop.other_client("manage_connectors_deployments manage_api_clients") as http:
        assert http.post(shop.path, json=draft).status_code == 201


def test_a_token_of_another_project_is_refused(shop: Shop, platform: Platform) -> None:
    made = create(shop, published(shop))
    with platform.creator() as stranger:
        for method, path in (
            ("GET", shop.path),
            ("POST", shop.path),
            ("GET", f"{shop.path}/{made['id']}"),
            ("DELETE", f"{shop.path}/{made['id']}"),
        ):
            body = {"json": draft_of(shop, made["connector"])} if method == "POST" else {}
            assert stranger.http.request(method, path, **body).status_code == 403
        own = f"/{stranger.project.partition(':')[2]}/deployments/{made['id']}"
        assert stranger.http.get(own).status_code == 404


def test_deployments_are_listed_filtered_sorted_and_paged(shop: Shop) -> None:
    connector = published(shop, integrationTypes=["tax"])
    made = [create(shop, connector, key=key)["key"] for key in ("bb", "aa", "cc")]
    found = shop.creator.http.get(shop.path).json()
    assert [each["key"] for each in found["results"]] == made[::-1]
    assert (found["total"], found["count"], found["limit"], found["offset"]) == (3, 3, 20, 0)

    def keys(query: str) -> list[str]:
        page = shop.creator.http.get(f"{shop.path}?{query}").json()
        return [each["key"] for each in page["results"]]

    assert keys("sort=key+asc") == ["aa", "bb", "cc"]
    assert keys("sort=key+asc&limit=1&offset=1") == ["bb"]
    assert keys("integrationTypes=tax&sort=key") == ["aa", "bb", "cc"]
    assert keys("integrationTypes=psp") == []
    assert keys("deploymentType=sandbox&sort=createdAt+asc") == made
    assert keys("deploymentType=preview") == []
    answer = shop.creator.http.get(f"{shop.path}?limit=501&deploymentType=other&sort=size")
    assert answer.status_code == 400
    assert codes(answer.json()["errors"]) == ["InvalidQueryParam"] * 3


def test_a_redeploy_wants_the_version_and_one_action(shop: Shop) -> None:
    made = create(shop, published(shop))
    path = f"{shop.path}/{made['id']}"
    redeploy = {"action": "redeploy"}
    stale = shop.creator.http.post(path, json={"version": 99, "actions": [redeploy]})
    assert stale.status_code == 409
    assert stale.json()["errors"][0]["code"] == "ConcurrentModification"
    for actions in ([], [redeploy, redeploy], [{"action": "rename"}]):
        answer = shop.creator.http.post(path, json={"version": 1, "actions": actions})
        assert answer.status_code == 400
        assert codes(answer.json()["errors"]) == ["InvalidJsonInput"]


def test_what_is_not_there_is_a_404(shop: Shop) -> None:
    for place in ("5ab3edcd-9d23-4934-8f48-256805253119", "key=nothing"):
        for method in ("GET", "DELETE"):
            answer = shop.creator.http.request(method, f"{shop.path}/{place}")
            assert answer.status_code == 404
            assert codes(answer.json()["errors"]) == ["ResourceNotFound"]
    malformed = shop.creator.http.get(f"{shop.path}/no-uuid")
    assert codes(malformed.json()["errors"]) == ["InvalidPathParam"]
