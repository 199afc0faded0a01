"""What a request to deploy comes to: pure rules of types, applications and releases."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from connectory.contract.connectors import (
    ConnectorApiClient,
    ConnectorConfigurationApplication,
    ConnectorContent,
)
from connectory.contract.deployments import DeploymentConnector, DeploymentDraft, DeploymentType
from connectory.contract.errors import (
    AuthorizationError,
    DeploymentInvalidType,
    DeploymentProductionDeactivated,
)
from connectory.contract.scopes import Permission
from connectory.deployments.configuration import Configured
from connectory.deployments.model import Application, Deployment, Reference, Release
from connectory.deployments.programs import health_check_of
from connectory.http.access import Grant
from connectory.kernel import ids
from connectory.specification.model import Specification
from connectory.specification.shape import Scripts


def deployed_connector(reference: Reference) -> DeploymentConnector:
    """A Connector as a Deployment shows it."""
    content = reference.content
    shared = set(DeploymentConnector.__struct_fields__) & set(ConnectorContent.__struct_fields__)
    fields = {name: getattr(content, name) for name in shared}
    return DeploymentConnector(id=reference.id, version=reference.version, **fields)


def scopes_of(api_client: ConnectorApiClient | UnsetType) -> tuple[str, ...] | None:
    """The scopes of the API Client that a Connector wants."""
    return None if isinstance(api_client, UnsetType) else api_client.scopes


def kept_or_new(
    declared: ConnectorConfigurationApplication,
    known: Mapping[str, Application],
    configured: Configured,
) -> Application:
    """An application of a Deployment: the one that it has, or a new one."""
    name = declared.application_name
    values = configured.applications[name]
    before = known.get(name)
    if before is not None and before.type is declared.application_type:
        return replace(before, values=values)
    return Application(
        id=ids.new_id(),
        name=name,
        type=declared.application_type,
        slug=ids.new_slug(),
        values=values,
    )


def type_of(draft: DeploymentDraft, reference: Reference, *, production: bool) -> DeploymentType:
    """The type of a new Deployment.

    Raises:
        DeploymentInvalidType: what is referenced cannot be deployed as the one that is asked for.
        DeploymentProductionDeactivated: the Project is not one for production.
    """
    asked = draft.type if isinstance(draft.type, DeploymentType) else None
    if reference.staged:
        if asked not in (None, DeploymentType.PREVIEW):
            raise DeploymentInvalidType(reference.name, str(asked), DeploymentType.PREVIEW)
        return DeploymentType.PREVIEW
    if asked is DeploymentType.PREVIEW:
        allowed = f"{DeploymentType.SANDBOX}|{DeploymentType.PRODUCTION}"
        raise DeploymentInvalidType(reference.name, asked, allowed)
    if asked is DeploymentType.PRODUCTION and not production:
        raise DeploymentProductionDeactivated
    return asked or DeploymentType.SANDBOX


def as_it_is(before: Deployment) -> Reference:
    """The version of the Connector that a Deployment has, which a redeploy keeps."""
    connector = before.connector
    shared = set(type(connector).__struct_fields__) & set(ConnectorContent.__struct_fields__)
    fields = {name: getattr(connector, name) for name in shared}
    fields["supported_regions"] = connector.supported_regions or ()
    if before.scopes is not None:
        fields["api_client"] = ConnectorApiClient(scopes=before.scopes)
    return Reference(
        id=connector.id,
        version=connector.version,
        content=ConnectorContent(**fields, private=False),
        commit=before.commit,
        owner=before.source_owner,
        staged=before.staged,
    )


def release_of(subject: Deployment, now: int) -> Release:
    """The release that the deploy under way makes.

    Raises:
        ValueError: none is under way.
    """
    if subject.request is None:
        raise ValueError(f"no deploy of {subject.name} is under way")
    return Release(
        deployment_id=subject.id,
        number=subject.request.release,
        connector=subject.connector,
        commit=subject.commit,
        applications=subject.applications,
        shared=subject.shared,
        client=subject.client,
        actor=subject.request.actor,
        created_at=now,
    )


def as_written(release: Release, subject: Deployment, specification: Specification) -> Release:
    """A release of a Deployment with all that the connect.yaml of its commit says."""
    written = {each.name: each for each in specification.applications}
    applications = tuple(
        replace(each, schedule=found.schedule, retry_policy=found.retry_policy)
        if (found := written.get(each.name))
        else each
        for each in subject.applications
    )
    return replace(
        release,
        commit=subject.commit,
        applications=applications,
        endpoints={name: each.endpoint for name, each in written.items() if each.endpoint},
        health_checks={
            name: health_check_of(each.health_check)
            for name, each in written.items()
            if each.health_check
        },
        retry_policies={
            name: each.retry_policy for name, each in written.items() if each.retry_policy
        },
        scripts={
            name: Scripts(
                post_deploy=each.post_deploy or UNSET, pre_undeploy=each.pre_undeploy or UNSET
            )
            for name, each in written.items()
            if each.post_deploy or each.pre_undeploy
        },
    )


def require_client_permission(
    before: Deployment, scopes: tuple[str, ...] | None, grant: Grant
) -> None:
    """Make sure that the API Client that a Deployment is to have may be made.

    Raises:
        AuthorizationError: it is a new one, and the grant makes none.
    """
    new = scopes is not None and (before.client is None or before.client.scopes != scopes)
    if new and Permission.MANAGE_API_CLIENTS not in grant.permissions:
        raise AuthorizationError
