"""OAuth scopes: a permission on one Project, spelled `{permission}:{projectKey}`.

Source: RAML `api.raml`, its traits and the security scheme. Any one of the scopes that an
endpoint names is enough.
"""

import enum
from collections.abc import Iterable
from typing import Final

from connectory.contract.scalars import is_project_key


class Permission(enum.StrEnum):
    """What a scope allows on its Project."""

    MANAGE_PROJECT = "manage_project"  #: Everything that the others allow but API Clients.
    MANAGE_CONNECTORS = "manage_connectors"  #: Create, change and publish ConnectorStaged.
    VIEW_CONNECTORS = "view_connectors"  #: Read and search Connectors and ConnectorStaged.
    MANAGE_CONNECTORS_DEPLOYMENTS = "manage_connectors_deployments"  #: Deploy and undeploy.
    VIEW_CONNECTORS_DEPLOYMENTS = "view_connectors_deployments"  #: Read Deployments and logs.
    MANAGE_API_CLIENTS = "manage_api_clients"  #: Have a Deployment make an API Client.


#: The permissions of which one is needed to read Connectors and ConnectorStaged.
VIEW_CONNECTORS: Final = frozenset(
    {Permission.MANAGE_PROJECT, Permission.MANAGE_CONNECTORS, Permission.VIEW_CONNECTORS}
)

#: The permissions of which one is needed to create, change and publish ConnectorStaged.
MANAGE_CONNECTORS: Final = frozenset({Permission.MANAGE_PROJECT, Permission.MANAGE_CONNECTORS})

#: The permissions of which one is needed to read Deployments and their logs.
VIEW_DEPLOYMENTS: Final = frozenset(
    {
        Permission.MANAGE_PROJECT,
        Permission.MANAGE_CONNECTORS_DEPLOYMENTS,
        Permission.VIEW_CONNECTORS_DEPLOYMENTS,
    }
)

#: The permissions of which one is needed to deploy and undeploy.
MANAGE_DEPLOYMENTS: Final = frozenset(
    {Permission.MANAGE_PROJECT, Permission.MANAGE_CONNECTORS_DEPLOYMENTS}
)


class ScopeError(ValueError):
    """A scope that cannot be granted; the message says which and why."""


def parse_scope(scope: str, project_key: str) -> frozenset[Permission]:
    """The permissions of a scope, which must all be on one Project.

    Takes `view_connectors` for `view_connectors:{projectKey}`.

    Raises:
        ScopeError: a word is not a scope, or is on another Project.
    """
    permissions = set()
    for word in scope.split():
        name, colon, key = word.partition(":")
        try:
            permission = Permission(name)
        except ValueError:
            raise ScopeError(
                f"'{word}' is not a scope; the scopes are {', '.join(Permission)}"
            ) from None
        if colon and (key != project_key or not is_project_key(key)):
            raise ScopeError(f"'{word}' is not on the Project '{project_key}'")
        permissions.add(permission)
    return frozenset(permissions)


def format_scope(permissions: Iterable[Permission], project_key: str) -> str:
    """Spell permissions on a Project as OAuth does: words in a fixed order, one blank between."""
    held = set(permissions)
    return " ".join(f"{each}:{project_key}" for each in Permission if each in held)
