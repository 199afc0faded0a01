"""A Deployment and a release of one, for tests that deploy nothing."""

from typing import Any

from msgspec.structs import replace

from connectory.contract.connectors import (
    ConnectorConfigurationApplication,
    Creator,
    Repository,
    SecuredConfigurationKey,
)
from connectory.contract.deployments import (
    ConfigurationValue,
    DeploymentConnector,
    DeploymentType,
)
from connectory.contract.scalars import ApplicationType, IntegrationType, Region
from connectory.deployments.accepting import release_of
from connectory.deployments.configuration import Values
from connectory.deployments.model import Application, Deployment, Release, Request


def deployment(**changes: Any) -> Deployment:
    """One that was made and not deployed yet, with an application that has two secrets."""
    made = Deployment(
        id="13c72c44-7a8e-44f2-a570-b5e991f7021a",
        project="europe-west1.gcp:shop",
        version=1,
        type=DeploymentType.SANDBOX,
        region=Region.EUROPE_WEST1_GCP,
        connector=DeploymentConnector(
            id="5ab3edcd-9d23-4934-8f48-256805253119",
            version=1,
            name="Acme",
            integration_types=(IntegrationType.OTHER,),
            creator=Creator(email="connect@acme.example"),
            repository=Repository(url="https://github.com/acme/x.git", tag="v1.0.0"),
            configurations=(
                ConnectorConfigurationApplication(
                    application_name="shop",
                    application_type=ApplicationType.SERVICE,
                    standard_configuration=(),
                    secured_configuration=(
                        SecuredConfigurationKey(key="TOKEN", description="Secret"),
                        SecuredConfigurationKey(key="SPARE", description="Secret"),
                    ),
                ),
            ),
            certified=False,
        ),
        staged=False,
        applications=(
            Application(
                id="c9c3b342-c2ca-41ed-afa1-0242ac120002",
                name="shop",
                type=ApplicationType.SERVICE,
                slug="x2k1m9c0w7h3t5q8z4b6n0ae",
                values=Values(
                    secured=(
                        ConfigurationValue(key="TOKEN", value="sealed a"),
                        ConfigurationValue(key="SPARE", value="sealed much longer"),
                    )
                ),
            ),
        ),
        created_at=1,
        last_modified_at=1,
    )
    return replace(made, **changes)


def release(number: int = 1, **changed: Any) -> Release:
    """One with a service that has a value, and a job."""
    request = Request(id="r", release=number, actor="client:c")
    made = release_of(replace(deployment(), request=request), now=number)
    return replace(made, applications=(service(), job()), **({"commit": "a" * 40} | changed))


def service(
    standard: dict[str, str] | None = None, secured: dict[str, str] | None = None
) -> Application:
    """One with these values; without any, with one in plain text."""
    return Application(
        id="1",
        name="shop",
        type=ApplicationType.SERVICE,
        slug="s",
        values=values({"CITY": "Berlin"} if standard is None else standard, secured or {}),
    )


def values(standard: dict[str, str], secured: dict[str, str]) -> Values:
    """Values in plain text, and secrets as they are sealed."""
    return Values(
        standard=tuple(ConfigurationValue(key=key, value=each) for key, each in standard.items()),
        secured=tuple(ConfigurationValue(key=key, value=each) for key, each in secured.items()),
    )


def job(schedule: str = "@daily") -> Application:
    return Application(id="2", name="night", type=ApplicationType.JOB, slug="n", schedule=schedule)
