"""What a valid connect.yaml says, for the API and for a deployment."""

import msgspec

from connectory.contract.scalars import ApplicationType
from connectory.specification import read
from connectory.specification.model import Specification
from connectory.specification.shape import ExponentialBackoff, HealthCheck

TEXT = """\
inheritAs:
  configuration:
    standardConfiguration:
      - {key: CTP_REGION, description: Region, default: europe-west1.gcp}
  apiClient:
    scopes: [manage_orders, view_products]
deployAs:
  - name: orders
    applicationType: event
    endpoint: /orders
    scripts:
      postDeploy: npm run connector:post-deploy
    configuration:
      securedConfiguration:
        - {key: TOKEN, description: Token, required: true}
    healthCheck: {path: /health, intervalSeconds: 10.0}
    retryPolicy: {strategy: exponential-backoff, minBackoffSeconds: 1, maxBackoffSeconds: 60}
  - name: nightly
    applicationType: job
    endpoint: nightly
    properties: {schedule: 0 3 * * *}
  - {name: files, applicationType: assets}
  - {name: later, applicationType: unknown, endpoint: /x}
"""
PAGE = """\
deployAs:
  - name: page
    applicationType: mc-app
    configuration:
      standardConfiguration:
        - {key: CUSTOM_APPLICATION_ID, description: d, required: true}
        - {key: ENTRY_POINT_URI_PATH, description: d, required: true}
        - {key: CLOUD_IDENTIFIER, description: d, required: true}
"""


def specification(text: str) -> Specification:
    found = read(text.encode()).specification
    assert found is not None
    return found


def test_the_configurations_are_those_of_the_api() -> None:
    assert msgspec.to_builtins(specification(TEXT).configurations()) == (
        {
            "applicationName": "orders",
            "applicationType": "event",
            "standardConfiguration": (),
            "securedConfiguration": ({"key": "TOKEN", "description": "Token", "required": True},),
        },
        {
            "applicationName": "nightly",
            "applicationType": "job",
            "standardConfiguration": (),
            "securedConfiguration": (),
        },
        {
            "applicationName": "files",
            "applicationType": "assets",
            "standardConfiguration": (),
            "securedConfiguration": (),
        },
    )


def test_what_is_inherited_is_global() -> None:
    found = specification(TEXT)
    assert msgspec.to_builtins(found.global_configuration()) == {
        "standardConfiguration": (
            {"key": "CTP_REGION", "description": "Region", "default": "europe-west1.gcp"},
        ),
        "securedConfiguration": (),
    }
    assert msgspec.to_builtins(found.api_client()) == {"scopes": ("manage_orders", "view_products")}


def test_what_is_not_inherited_is_not_there() -> None:
    found = specification("deployAs: []\ninheritAs: {configuration: {standardConfiguration: []}}")
    assert found.global_configuration() is msgspec.UNSET
    assert found.api_client() is msgspec.UNSET
    assert found.configurations() == ()


def test_an_application_has_what_a_deployment_needs() -> None:
    orders, nightly, files = specification(TEXT).applications
    assert orders.type is ApplicationType.EVENT
    assert orders.post_deploy == "npm run connector:post-deploy"
    assert orders.pre_undeploy is None
    assert orders.health_check == HealthCheck(path="/health", interval_seconds=10)
    assert orders.retry_policy == ExponentialBackoff(min_backoff_seconds=1, max_backoff_seconds=60)
    assert (nightly.endpoint, nightly.schedule) == ("nightly", "0 3 * * *")
    assert (files.endpoint, files.schedule, files.retry_policy) == (None, None, None)
    assert (files.at, files.position.line, files.position.column) == ("deployAs.2", 22, 12)


def test_the_former_name_of_a_type_means_todays() -> None:
    (page,) = specification(PAGE).applications
    assert page.type is ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION
