"""What an application finds in its environment.

Source: BEHAVIOUR §4. The names of the API Client's credentials are all that are in use: those of
the published documentation, of the starter code, and of connectors in the field.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from connectory.deployments.configuration import Values
from connectory.deployments.model import GeneratedClient

#: Decrypts a value of the Deployment.
Open = Callable[[str], str]


class Commerce(Struct, frozen=True, kw_only=True):
    """Where the commerce platform answers; `{region}` stands for the Project's."""

    api_url: str
    auth_url: str


def values_of(values: Values, unseal: Open) -> dict[str, str]:
    """The values of one list pair; a secret without a value is empty."""
    found = {each.key: each.value for each in values.standard}
    found |= {each.key: unseal(each.value) if each.value else "" for each in values.secured}
    return found


def credentials(
    client: GeneratedClient, secret: str, project: str, commerce: Commerce
) -> Mapping[str, str]:
    """The API Client under all the names in use; `project` is `region:projectKey`."""
    region, _, key = project.partition(":")
    scope = " ".join(each if ":" in each else f"{each}:{key}" for each in client.scopes)
    return {
        "CTP_CLIENT_ID": client.id,
        "CTP_CLIENT_SECRET": secret,
        "CTP_CLIENT_SCOPE": scope,
        "CTP_SCOPE": scope,
        "CTP_CLIENT_REGION": region,
        "CTP_PROJECT_KEY": key,
        "CTP_API_URL": commerce.api_url.replace("{region}", region),
        "CTP_AUTH_URL": commerce.auth_url.replace("{region}", region),
    }
