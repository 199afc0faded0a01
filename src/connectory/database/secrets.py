"""Secrets at rest: encrypted with keys that lie outside the database and outside its backups.

The key ring is a file with one key a line, 32 bytes in URL-safe base64. The first seals; the others
still open what they sealed. `CONNECTORY_SECRET_KEYS_FILE` names it; without that it is
`secret.keys` in the data folder, made when it is needed first, readable by its owner only.

A sealed secret is `1.{key id}.{nonce and ciphertext}`, by AES-256-GCM. What it belongs to (a table
and the id of a row) is authenticated with it, so that it cannot be put into another row.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from connectory.settings import Settings

#: The key ring's name in the data folder.
KEYS_FILE = "secret.keys"

_FORMAT = "1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_DIGITS = 16


class SecretKeysError(ValueError):
    """The key ring cannot be used, or a secret not be opened with it; the message says why."""


class KeyRing:
    """Seals secrets, and opens what was sealed with any of its keys."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        """Take keys of 32 bytes; the first seals.

        Raises:
            SecretKeysError: there is none, or one has another length.
        """
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise SecretKeysError(f"a key ring has one key of {_KEY_BYTES} bytes, or several")
        # Imported where it is needed: it takes longer than many a command does.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._ciphers = {_id(key): AESGCM(key) for key in keys}

    @property
    def fingerprint(self) -> str:
        """What tells the key that seals from others, and nothing of the key itself."""
        return next(iter(self._ciphers))

    def seal(self, secret: bytes, owner: str) -> str:
        """Encrypt a secret for its owner, as `git_credentials:{id}`."""
        key_id = self.fingerprint
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, secret, _bound(key_id, owner))
        return f"{_FORMAT}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, owner: str) -> bytes:
        """Decrypt what was sealed for an owner.

        Raises:
            SecretKeysError: its key is not in the ring, it was sealed for another owner, or it
                was changed.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        form, _, rest = sealed.partition(".")
        key_id, _, text = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        if form != _FORMAT or cipher is None:
            raise SecretKeysError(
                f"a secret was sealed with the key {key_id[:_ID_DIGITS]!r}, which is not in this"
                " key ring; every node, and every restored installation, needs the same one"
            )
        try:
            raw = base64.urlsafe_b64decode(text)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(key_id, owner))
        except (InvalidTag, ValueError):
            raise SecretKeysError(f"the secret of {owner} is damaged") from None


def keys_file(settings: Settings) -> Path:
    """Where the key ring of an installation is."""
    return settings.secret_keys_file or settings.data / KEYS_FILE


def load_key_ring(settings: Settings) -> KeyRing:
    """The key ring of an installation; its own file is made where it has none yet.

    Raises:
        SecretKeysError: there is no ring where the setting says, or it cannot be read.
    """
    file = keys_file(settings)
    if settings.secret_keys_file is None and not file.exists():
        _make(file)
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError) as error:
        raise SecretKeysError(f"the key ring {file} cannot be read: {error}") from None
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        return KeyRing(
            tuple(base64.b64decode(text, altchars=b"-_", validate=True) for text in texts)
        )
    except (binascii.Error, SecretKeysError):
        raise SecretKeysError(
            f"the key ring {file} must have lines of {_KEY_BYTES} bytes in URL-safe base64"
        ) from None


def new_key() -> str:
    """A new key, as a line of a key ring."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _make(file: Path) -> None:
    """Make a key ring that is whole from its first moment; who comes second finds the first's."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as target:
            target.write(new_key() + "\n")
            target.flush()
            os.fsync(target.fileno())
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(part)
    finally:
        part.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _id(key: bytes) -> str:
    return hashlib.sha256(b"connectory key id\0" + key).hexdigest()[:_ID_DIGITS]


def _bound(key_id: str, owner: str) -> bytes:
    return f"connectory\0{key_id}\0{owner}".encode()
