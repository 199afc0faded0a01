"""Projects and API Clients, and the rules that need no database."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from connectory.contract.scalars import Region, is_project_key
from connectory.contract.scopes import Permission
from connectory.kernel.clock import HOUR

#: First path segments of the API, today's and the published ones that come: a Project of this key
#: could not be told from them in `/{projectKey}/deployments`.
RESERVED_PROJECT_KEYS = frozenset(
    {
        "connectors",
        "console",
        "docs",
        "health",
        "metrics",
        "oauth",
        "operator",
        "projects",
        "ready",
        "schemas",
        "v1",
    }
)

#: How long the secret that a rotation replaces still holds, unless told otherwise.
ROTATION_OVERLAP = 24 * HOUR


class IdentityError(ValueError):
    """A command on Projects or clients asks for what cannot be; the message says how to mend it."""


class Project(Struct, frozen=True, kw_only=True):
    """A Composable Commerce Project, as far as Connect knows it."""

    key: str
    region: str
    production: bool
    #: Microseconds since 1970.
    created_at: int

    @property
    def identifier(self) -> str:
        """`region:projectKey`, as Connectors name Projects."""
        return f"{self.region}:{self.key}"


class Client(Struct, frozen=True, kw_only=True):
    """An API Client of a Project."""

    id: str
    project_key: str
    permissions: frozenset[Permission]
    #: Microseconds since 1970.
    created_at: int
    revoked_at: int | None = None


class Operator(Struct, frozen=True, kw_only=True):
    """Who reviews Connectors and runs the installation by HTTP."""

    name: str
    #: Microseconds since 1970.
    created_at: int
    revoked_at: int | None = None


class Secret(Struct, frozen=True, kw_only=True):
    """The hash of a client's secret, and until when it holds; None: until replaced."""

    digest: str
    expires_at: int | None


#: Names and addresses of people and programs: they are shown in comments and in the audit log.
_is_operator_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}").fullmatch

#: What a permission allows beside its own: a token may be narrowed to that.
_INCLUDED: Final[Mapping[Permission, frozenset[Permission]]] = {
    Permission.MANAGE_PROJECT: frozenset(Permission) - {Permission.MANAGE_API_CLIENTS},
    Permission.MANAGE_CONNECTORS: frozenset({Permission.VIEW_CONNECTORS}),
    Permission.MANAGE_CONNECTORS_DEPLOYMENTS: frozenset({Permission.VIEW_CONNECTORS_DEPLOYMENTS}),
}


def allowed_by(held: frozenset[Permission]) -> frozenset[Permission]:
    """Permissions together with those that they include."""
    return held.union(*(_INCLUDED.get(each, frozenset()) for each in held))


def check_project(key: str, region: str) -> None:
    """Refuse what cannot be a Project.

    Raises:
        IdentityError: the key is malformed or reserved, or the region unknown.
    """
    if not is_project_key(key):
        raise IdentityError(
            f"'{key}' cannot be a Project key: 2 to 36 letters, digits, hyphens and underscores"
        )
    if key.lower() in RESERVED_PROJECT_KEYS:
        raise IdentityError(
            f"'{key}' cannot be a Project key: the API has a path of that name; choose another"
        )
    if region not in set(Region):
        raise IdentityError(f"'{region}' is not a region; the regions are {', '.join(Region)}")


def check_operator(name: str) -> None:
    """Refuse what cannot be the name of an operator.

    Raises:
        IdentityError: it is malformed.
    """
    if not _is_operator_name(name):
        raise IdentityError(
            f"'{name}' cannot be the name of an operator: 1 to 64 letters, digits and . _ @ + -,"
            " the first a letter or a digit"
        )
