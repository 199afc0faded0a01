"""What opens private repositories: for one Project, and for addresses that start with a prefix.

A token opens HTTPS addresses, a key SSH ones. Secrets are sealed in the database and leave this
module only towards git.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, cast

from sqlalchemy import Connection, delete, select

from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.sealed import note, owner_of
from connectory.database.secrets import KeyRing, SecretKeysError
from connectory.database.tables import git_credentials
from connectory.kernel import ids
from connectory.sources.address import Address, covers, parse_address
from connectory.sources.model import AddressRefused, RepositoryNotReachable

Kind = Literal["token", "ssh"]

_SCHEMES: dict[Kind, tuple[str, ...]] = {"token": ("https", "http"), "ssh": ("ssh",)}
#: What the hosts take as the user of a token, where they do not care which.
_TOKEN_USER = "x-access-token"  # noqa: S105 - a name
_LONGEST_TOKEN = 4096


class CredentialError(ValueError):
    """A credential cannot be added or found; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A credential without its secret.

    Attributes:
        id: Of the row.
        project: `region:projectKey`.
        prefix: The canonical spelling of what it opens.
        username: Who logs in, with a token.
        kind: token or ssh.
        created_at: Microseconds since 1970.
        sealed: The secret, encrypted.
    """

    id: str
    project: str
    prefix: str
    username: str
    kind: Kind
    created_at: int
    sealed: str = field(repr=False)


class Credentials:
    """Changes credentials in the caller's transaction, on behalf of an actor."""

    def __init__(self, connection: Connection, *, actor: str, now: int) -> None:
        self._connection = connection
        self._actor = actor
        self._now = now

    def add(
        self,
        ring: KeyRing,
        secret: bytes,
        *,
        project: str,
        prefix: str,
        kind: Kind,
        username: str = "",
    ) -> Credential:
        """Add one; it takes the place of another of the same Project, prefix and kind.

        Raises:
            CredentialError: the prefix does not fit the kind, or the secret is none.
        """
        canonical = _prefix(prefix, kind)
        secret = _key(secret) if kind == "ssh" else _token(secret)
        if ":" in username or not username.isprintable():
            raise CredentialError("a user name has no : and no control characters")
        for each in of_project(self._connection, project):
            if (each.prefix, each.kind) == (canonical, kind):
                self._delete(each)
        note(self._connection, ring.fingerprint, self._now)
        new_id = ids.new_id()
        credential = Credential(
            id=new_id,
            project=project,
            prefix=canonical,
            username=(username or _TOKEN_USER) if kind == "token" else "",
            kind=kind,
            created_at=self._now,
            sealed=ring.seal(secret, _owner(new_id, project, canonical)),
        )
        self._connection.execute(git_credentials.insert().values(vars(credential)))
        self._record("add", credential)
        return credential

    def remove(self, credential_id: str) -> Credential:
        """Remove one.

        Raises:
            CredentialError: there is none of this id.
        """
        for each in all_credentials(self._connection):
            if each.id == credential_id:
                self._delete(each)
                self._record("remove", each)
                return each
        raise CredentialError(
            f"there is no git credential '{credential_id}';"
            " `connectory git-credential list` shows those there are"
        )

    def _delete(self, credential: Credential) -> None:
        self._connection.execute(
            delete(git_credentials).where(git_credentials.c.id == credential.id)
        )

    def _record(self, verb: str, credential: Credential) -> None:
        details = {
            "project": credential.project,
            "prefix": credential.prefix,
            "kind": credential.kind,
        }
        act = Act(
            at=self._now,
            actor=self._actor,
            action=f"sources:git-credential:{verb}",
            subject=credential.id,
            details=details,
        )
        audit.record(self._connection, act)


def all_credentials(connection: Connection) -> list[Credential]:
    """All credentials, by Project and prefix."""
    order = (git_credentials.c.project, git_credentials.c.prefix)
    return _credentials(connection.execute(select(git_credentials).order_by(*order)).mappings())


def of_project(connection: Connection, project: str) -> list[Credential]:
    """The credentials of a Project."""
    query = select(git_credentials).where(git_credentials.c.project == project)
    return _credentials(connection.execute(query).mappings())


def _credentials(rows: Iterable[object]) -> list[Credential]:
    return [Credential(**cast("dict[str, str]", row)) for row in rows]  # type: ignore[arg-type]


def matching(credentials: Iterable[Credential], address: Address) -> Credential | None:
    """The credential that opens an address: the one of the longest prefix."""
    spelled = str(address)
    fitting = [
        each
        for each in credentials
        if address.scheme in _SCHEMES[each.kind] and covers(each.prefix, spelled)
    ]
    return max(fitting, key=lambda each: len(each.prefix), default=None)


def opened(credential: Credential, ring: Callable[[], KeyRing]) -> bytes:
    """The secret of a credential.

    Raises:
        RepositoryNotReachable: it cannot be opened with the keys that are there.
    """
    owner = _owner(credential.id, credential.project, credential.prefix)
    try:
        return ring().open(credential.sealed, owner)
    except SecretKeysError as error:
        raise RepositoryNotReachable(
            "the credential for this repository cannot be opened: the server's operator must look"
            f" at its secret keys ({error})"
        ) from None


def _owner(credential_id: str, project: str, prefix: str) -> str:
    """What a secret is bound to: for another Project or prefix it cannot be opened."""
    return owner_of("git_credentials", credential_id, project, prefix)


def _prefix(prefix: str, kind: Kind) -> str:
    try:
        address = parse_address(prefix, schemes=("https", "http", "ssh"))
    except AddressRefused as error:
        raise CredentialError(f"the prefix {prefix!r} cannot be one: {error.reason}") from None
    if address.scheme not in _SCHEMES[kind]:
        wanted = "https://host/path" if kind == "token" else "ssh://git@host/path or git@host:path"
        raise CredentialError(
            f"a credential by {kind} is for addresses such as {wanted}, and {prefix!r} is none"
        )
    return str(address)


def _token(secret: bytes) -> bytes:
    token = secret.strip()
    if not token or len(token) > _LONGEST_TOKEN or any(byte <= 32 or byte >= 127 for byte in token):  # noqa: PLR2004 - ASCII
        raise CredentialError("the file must have one token of printable ASCII characters")
    return token


def _key(secret: bytes) -> bytes:
    # Imported where it is needed: it takes longer than many a command does.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    for load in (serialization.load_ssh_private_key, serialization.load_pem_private_key):
        try:
            load(secret, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return secret.rstrip() + b"\n"
    raise CredentialError(
        "the file must have a private SSH key without a passphrase, such as"
        " `ssh-keygen -t ed25519 -N '' -f FILE` makes"
    )
