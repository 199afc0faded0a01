"""ConnectorStaged for the tests of pure functions."""

from typing import Any

from connectory.contract.connectors import (
    ConnectorConfigurationApplication,
    Creator,
    Repository,
)
from connectory.contract.scalars import ApplicationType
from connectory.contract.staged import ConnectorStagedDraft, Publish, UpdateAction
from connectory.staging import outcomes
from connectory.staging.actions import Acting, apply
from connectory.staging.model import Declared, Staged, created

REPOSITORY = Repository(url="https://github.com/acme/connector.git", tag="v1.0.0")
NEXT = Repository(url=REPOSITORY.url, tag="v2.0.0")
ID = "5ab3edcd-9d23-4934-8f48-256805253119"
PROJECT = "europe-west1.gcp:shop"


def declared(name: str = "service", commit: str = "a" * 40) -> Declared:
    """What a connect.yaml with one application declares."""
    application = ConnectorConfigurationApplication(
        application_name=name,
        application_type=ApplicationType.SERVICE,
        standard_configuration=(),
        secured_configuration=(),
    )
    return Declared(commit=commit, configurations=(application,))


def draft(**fields: Any) -> ConnectorStagedDraft:
    given: dict[str, Any] = {
        "key": "acme",
        "name": "Acme",
        "creator": Creator(email="connect@acme.example"),
        "repository": REPOSITORY,
    }
    return ConnectorStagedDraft(**given | fields)


def staged(**fields: Any) -> Staged:
    return created(draft(**fields), declared(), id_=ID, project=PROJECT, now=1)


def applied(subject: Staged, *actions: UpdateAction, now: int = 2) -> Staged:
    numbers = iter(range(100))
    acting = Acting(
        actor="client:c",
        project_key="shop",
        now=now,
        new_id=lambda: f"request-{now}-{next(numbers)}",
        declared={NEXT: declared("other", "b" * 40), REPOSITORY: declared()},
    )
    return apply(subject, actions, acting)


def certifiable(subject: Staged, *, now: int = 2) -> Staged:
    """The same when certification was requested and the checks have passed: a reviewer's turn."""
    requested = applied(subject, Publish(certification=True), now=now)
    return outcomes.passed(requested, "publish", declared(), now)
