"""What a ConnectorReference means for a Project: the Connector or ConnectorStaged to deploy."""

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.catalogue import store as catalogue
from connectory.contract.connectors import ConnectorReference
from connectory.contract.deployments import Redeploy
from connectory.contract.errors import (
    ApiError,
    ConnectorReferenceNotFound,
    ConnectorStagedNotPreviewable,
    DeploymentConnectorUpdateFailure,
)
from connectory.contract.staged import IsPreviewable
from connectory.deployments.accepting import as_it_is
from connectory.deployments.model import Deployment, Reference
from connectory.staging import store as staging


def find(
    connection: Connection, reference: ConnectorReference, project: str, *, anew: bool
) -> Reference:
    """What is referenced, as far as a Project (`region:projectKey`) may see it.

    `anew` asks for a Connector that is listed; one that is unlisted is deployed only where it is
    already.

    Raises:
        ConnectorReferenceNotFound: there is none, not in this version, or not for the Project.
        ConnectorStagedNotPreviewable: it is a ConnectorStaged that is not previewable.
    """
    id_ = reference.id.lower() if isinstance(reference.id, str) else None
    key = reference.key if isinstance(reference.key, str) else None
    version = reference.version if isinstance(reference.version, int) else None
    missing = ConnectorReferenceNotFound(id_ or key or "", version)
    if reference.staged:
        found = _staged(connection, id_, key, version, project)
    else:
        found = _published(connection, id_, key, version, project, anew=anew)
    if found is None:
        raise missing
    return found


def of_redeploy(connection: Connection, before: Deployment, action: Redeploy) -> Reference:
    """What a redeploy deploys: the version that is deployed, or the latest.

    Raises:
        DeploymentConnectorUpdateFailure: the latest cannot be had.
    """
    if not action.update_connector:
        return as_it_is(before)
    wanted = ConnectorReference(id=before.connector.id, staged=before.staged)
    try:
        return find(connection, wanted, before.project, anew=False)
    except ApiError as error:
        raise DeploymentConnectorUpdateFailure(
            before.name, f"id={before.connector.id}", error.message
        ) from None


def _published(
    connection: Connection,
    id_: str | None,
    key: str | None,
    version: int | None,
    project: str,
    *,
    anew: bool,
) -> Reference | None:
    found = catalogue.deployable(connection, id_=id_, key=key, version=version)
    if found is None or not found.exists_for(project) or (anew and not found.listed):
        return None
    return Reference(
        id=found.id,
        version=found.version,
        content=found.content,
        commit=found.commit,
        owner=found.owner,
        staged=False,
    )


def _staged(
    connection: Connection, id_: str | None, key: str | None, version: int | None, project: str
) -> Reference | None:
    found = staging.find(connection, id_=id_, key=key)
    if found is None or (version is not None and version != found.version):
        return None
    if project not in (found.project, *found.private_projects):
        return None
    if found.is_previewable is not IsPreviewable.TRUE or found.previewed is None:
        raise ConnectorStagedNotPreviewable(found.name, found.version)
    data = found.data.declaring(found.previewed)
    content = data.connector(private=found.private, certified=False)
    return Reference(
        id=found.id,
        version=found.version,
        content=replace(content, api_client=found.previewed.api_client),
        commit=found.previewed.commit,
        owner=found.project,
        staged=True,
    )
