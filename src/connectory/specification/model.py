"""What a valid connect.yaml says: the applications of a Connector and what they share."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from connectory.contract.connectors import (
    ConnectorApiClient,
    ConnectorConfigurationApplication,
    ConnectorGlobalConfiguration,
    SecuredConfigurationKey,
    StandardConfigurationKey,
)
from connectory.contract.scalars import ApplicationType
from connectory.kernel.prepared import prepared
from connectory.specification import shape
from connectory.specification.document import Node
from connectory.specification.faults import Position
from connectory.specification.resolution import Kind

_FILE: Final = prepared(shape.File)
_TYPES = {"mc-app": ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION}


class Configuration(Struct, frozen=True):
    """Environment variables: those in plain text, and the secrets."""

    standard: tuple[StandardConfigurationKey, ...] = ()
    secured: tuple[SecuredConfigurationKey, ...] = ()


class Application(Struct, frozen=True, kw_only=True):
    """An application that is deployed.

    Attributes:
        name: Its name, and the name of its folder.
        type: What it is.
        configuration: Its own environment variables.
        endpoint: Path under which it is called; None for those that are not called.
        schedule: When a job runs, as the file has it: see `schedule` for how odd that may be.
        post_deploy: Command line to run after a deployment.
        pre_undeploy: Command line to run before an undeployment.
        health_check: How to find out whether it is well.
        retry_policy: How failed messages of an event application are sent again.
        at: Where it stands in the file: `deployAs.0`.
        position: Where its name stands.
    """

    name: str
    type: ApplicationType
    configuration: Configuration
    endpoint: str | None = None
    schedule: str | None = None
    post_deploy: str | None = None
    pre_undeploy: str | None = None
    health_check: shape.HealthCheck | None = None
    retry_policy: shape.RetryPolicy | None = None
    at: str = ""
    position: Position = Position()


class Specification(Struct, frozen=True, kw_only=True):
    """A connect.yaml that is valid.

    Attributes:
        applications: In the order of the file, without those of type `unknown`.
        inherited: Environment variables that every application gets.
        scopes: Scopes of the API Client that a Deployment makes for itself; None: it makes none.
    """

    applications: tuple[Application, ...]
    inherited: Configuration = Configuration()
    scopes: tuple[str, ...] | None = None

    def configurations(self) -> tuple[ConnectorConfigurationApplication, ...]:
        """The `configurations` of the Connector."""
        return tuple(
            ConnectorConfigurationApplication(
                application_name=each.name,
                application_type=each.type,
                standard_configuration=each.configuration.standard,
                secured_configuration=each.configuration.secured,
            )
            for each in self.applications
        )

    def global_configuration(self) -> ConnectorGlobalConfiguration | UnsetType:
        """The `globalConfiguration` of the Connector; nothing where no key is inherited."""
        if not self.inherited.standard and not self.inherited.secured:
            return UNSET
        return ConnectorGlobalConfiguration(
            standard_configuration=self.inherited.standard,
            secured_configuration=self.inherited.secured,
        )

    def api_client(self) -> ConnectorApiClient | UnsetType:
        """The `apiClient` of the Connector."""
        return UNSET if self.scopes is None else ConnectorApiClient(scopes=self.scopes)


def from_document(root: Node) -> Specification:
    """The specification of a document in which `checking` has found no Error.

    Raises:
        msgspec.ValidationError: there is one after all.
    """
    file = msgspec.convert(_plain(root), _FILE)
    listed = root.get("deployAs")
    nodes = listed.items if listed else []
    applications = [
        _application(each, f"deployAs.{place}", (node.get("name") or node).position)
        for place, (each, node) in enumerate(zip(file.deploy_as, nodes, strict=True))
        if not isinstance(each, shape.Unknown)
    ]
    shared = file.inherit_as or shape.InheritAs()
    return Specification(
        applications=tuple(applications),
        inherited=_configuration(shared.configuration),
        scopes=shared.api_client.scopes if shared.api_client else None,
    )


def _application(written: shape.Application, at: str, position: Position) -> Application:
    tag = str(written.__struct_config__.tag)
    scripts = getattr(written, "scripts", UNSET) or shape.Scripts()
    properties = getattr(written, "properties", UNSET)
    return Application(
        name=written.name,
        type=_TYPES[tag] if tag in _TYPES else ApplicationType(tag),
        configuration=_configuration(getattr(written, "configuration", UNSET)),
        endpoint=getattr(written, "endpoint", None),
        schedule=properties.schedule if properties else None,
        post_deploy=scripts.post_deploy or None,
        pre_undeploy=scripts.pre_undeploy or None,
        health_check=getattr(written, "health_check", None) or None,
        retry_policy=getattr(written, "retry_policy", None) or None,
        at=at,
        position=position,
    )


def _configuration(written: shape.Configuration | UnsetType) -> Configuration:
    if not written:
        return Configuration()
    return Configuration(
        standard=tuple(
            StandardConfigurationKey(
                key=each.key,
                description=each.description,
                required=each.required,
                default=each.default,
            )
            for each in _listed(written.standard_configuration)
        ),
        secured=tuple(
            SecuredConfigurationKey(
                key=each.key, description=each.description, required=each.required
            )
            for each in _listed(written.secured_configuration)
        ),
    )


def _listed(entries: Iterable[Any] | UnsetType) -> Iterable[Any]:
    return () if isinstance(entries, UnsetType) else entries


def _plain(node: Node) -> Any:
    """A node as Python's own values; a valid document is neither deep nor endless."""
    if node.kind is Kind.OBJECT:
        return {name: _plain(entry.value) for name, entry in node.entries.items()}
    if node.kind is Kind.ARRAY:
        return [_plain(item) for item in node.items]
    return node.value
