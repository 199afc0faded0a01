"""What a Deployment keeps of the API Clients that were made for it."""

from connectory.contract.connectors import Wire


class CommerceAccess(Wire, frozen=True, kw_only=True):
    """What an application needs, beside its credentials, to call a commerce project.

    Attributes:
        api_url: Where its API answers.
        auth_url: Where tokens are had.
        scope: What its API Client may do, as the project answered.
    """

    api_url: str
    auth_url: str
    scope: str


class GeneratedClient(Wire, frozen=True, kw_only=True):
    """The API Client that was made for a Deployment.

    Attributes:
        id: Its Client ID.
        scopes: What it may do, as connect.yaml asks for it.
        secret: Its secret, encrypted.
        commerce: The commerce project that it is one of; none where it is Connectory's own.
    """

    id: str
    scopes: tuple[str, ...]
    secret: str
    commerce: CommerceAccess | None = None


class AskedClient(Wire, frozen=True, kw_only=True):
    """An API Client that a commerce project was asked for, and whose id nobody wrote down yet.

    Attributes:
        name: What it is called there, once and never again.
        request: The deploy that asked.
        at: When, in microseconds since 1970.
    """

    name: str
    request: str
    at: int
