"""What an application finds in its environment.

Source: BEHAVIOUR §4. The names of the API Client's credentials are all that are in use: those of
the published documentation, of the starter code, and of connectors in the field.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from connectory.deployments.clients import CommerceAccess, GeneratedClient
from connectory.deployments.configuration import Values

#: Decrypts a value of the Deployment.
Open = Callable[[str], str]


class Commerce(Struct, frozen=True, kw_only=True):
    """Where the commerce platform answers; `{region}` stands for the Project's."""

    api_url: str
    auth_url: str


class Environment(Struct, frozen=True, kw_only=True):
    """What an application finds, as far as Connectory gives it.

    Attributes:
        values: By name; secrets among them, never to be shown.
        secured: The names of those that are secrets.
    """

    values: Mapping[str, str]
    secured: frozenset[str]


def values_of(values: Values, unseal: Open) -> dict[str, str]:
    """The values of one list pair; a secret without a value is empty."""
    found = {each.key: each.value for each in values.standard}
    found |= {each.key: unseal(each.value) if each.value else "" for each in values.secured}
    return found


#: The one of the credentials that is a secret.
CLIENT_SECRET: Final = "CTP_CLIENT_SECRET"  # noqa: S105 - a name


def credentials(
    client: GeneratedClient, secret: str, project: str, commerce: Commerce
) -> Mapping[str, str]:
    """The API Client under all the names in use; `project` is `region:projectKey`.

    `commerce` is where the platform is said to answer to a client of Connectory's own; one of a
    commerce project knows that itself.
    """
    region, _, key = project.partition(":")
    access = client.commerce or CommerceAccess(
        api_url=commerce.api_url.replace("{region}", region),
        auth_url=commerce.auth_url.replace("{region}", region),
        scope=scope_on(client.scopes, key),
    )
    return {
        "CTP_CLIENT_ID": client.id,
        CLIENT_SECRET: secret,
        "CTP_CLIENT_SCOPE": access.scope,
        "CTP_SCOPE": access.scope,
        "CTP_CLIENT_REGION": region,
        "CTP_PROJECT_KEY": key,
        "CTP_API_URL": access.api_url,
        "CTP_AUTH_URL": access.auth_url,
    }


def scope_on(scopes: Iterable[str], key: str) -> str:
    """Scopes of a connect.yaml as those on a project, separated by blanks."""
    return " ".join(each if ":" in each else f"{each}:{key}" for each in scopes)
