"""Secrets at rest: encrypted with keys that lie outside the database and outside its backups.

The key ring is a file with one key a line, 32 bytes in URL-safe base64. The first seals; the others
still open what they sealed. `CONNECTORY_SECRET_KEYS_FILE` names it; without that it is
`secret.keys` in the data folder, made when it is needed first, readable by its owner only.

A sealed secret is `1.{key id}.{nonce and ciphertext}`, by AES-256-GCM. What it belongs to (a table
and the id of a row) is authenticated with it, so that it cannot be put into another row.
`connectory.database.sealed` knows where in the database they are.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from connectory.settings import Settings

#: The key ring's name in the data folder.
KEYS_FILE = "secret.keys"

#: What a sealed secret begins with.
FORMAT = "1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_DIGITS = 16
_ROOT = 0


class SecretKeysError(ValueError):
    """The key ring cannot be used, or a secret not be opened with it; the message says why."""


class KeyRing:
    """Seals secrets, and opens what was sealed with any of its keys."""

    def __init__(
        self,
        keys: tuple[bytes, ...],
        changed: Callable[[], tuple[bytes, ...] | None] = lambda: None,
    ) -> None:
        """Take keys of 32 bytes; the first seals.

        `changed` gives the keys that there are now where they are others: a rotation need not wait
        for a restart.

        Raises:
            SecretKeysError: there is none, or one has another length.
        """
        self._changed = changed
        self._take(keys)

    def _take(self, keys: tuple[bytes, ...]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise SecretKeysError(f"a key ring has one key of {_KEY_BYTES} bytes, or several")
        # Imported where it is needed: it takes longer than many a command does.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._ciphers = {_id(key): AESGCM(key) for key in keys}

    def _refresh(self) -> None:
        keys = self._changed()
        if keys is not None:
            self._take(keys)

    @property
    def fingerprint(self) -> str:
        """What tells the key that seals from others, and nothing of the key itself."""
        self._refresh()
        return next(iter(self._ciphers))

    def seal(self, secret: bytes, owner: str) -> str:
        """Encrypt a secret for its owner, as `git_credentials:{id}`."""
        self._refresh()
        key_id, cipher = next(iter(self._ciphers.items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = cipher.encrypt(nonce, secret, _bound(key_id, owner))
        return f"{FORMAT}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

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
        if cipher is None:
            self._refresh()
            cipher = self._ciphers.get(key_id)
        if form != FORMAT or cipher is None:
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

    It follows the file: keys that a rotation adds are used without a restart.

    Raises:
        SecretKeysError: there is no ring where the setting says, or it cannot be read.
    """
    file = keys_file(settings)
    if settings.secret_keys_file is None and not file.exists():
        _make(file)
    seen = _state(file)

    def changed() -> tuple[bytes, ...] | None:
        nonlocal seen
        state = _state(file)
        if state == seen or state is None:
            return None
        keys = _read(file)
        seen = state
        return keys

    return KeyRing(_read(file), changed)


def fingerprints(settings: Settings) -> tuple[str, ...]:
    """The fingerprints of the keys of an installation, the first one's first; none without a ring.

    Raises:
        SecretKeysError: the ring cannot be read.
    """
    file = keys_file(settings)
    return tuple(map(_id, _read(file))) if file.exists() else ()


def ensured_fingerprints(settings: Settings) -> tuple[str, ...]:
    """The same; the installation's own file is made where it has none yet.

    Raises:
        SecretKeysError: there is no ring where the setting says, or it cannot be read.
    """
    file = keys_file(settings)
    if settings.secret_keys_file is None and not file.exists():
        _make(file)
    return tuple(map(_id, _read(file)))


def add_key(settings: Settings) -> str:
    """Put a new key before the others in the installation's own file; its fingerprint.

    Raises:
        SecretKeysError: the ring cannot be read.
    """
    file = keys_file(settings)
    before = file.read_text(encoding="ascii") if ensured_fingerprints(settings) else ""
    _write(file, f"{new_key()}\n{before}")
    return fingerprints(settings)[0]


def drop_keys(settings: Settings, dropped: Collection[str]) -> None:
    """Take keys out of the installation's own file, by their fingerprints.

    Raises:
        SecretKeysError: the ring cannot be read, or no key would be left.
    """
    file = keys_file(settings)
    kept = [key for key in _read(file) if _id(key) not in dropped]
    if not kept:
        raise SecretKeysError("a key ring without keys is none")
    _write(file, "".join(f"{_spelled(key)}\n" for key in kept))


def new_key() -> str:
    """A new key, as a line of a key ring."""
    return _spelled(secrets.token_bytes(_KEY_BYTES))


def _spelled(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def _read(file: Path) -> tuple[bytes, ...]:
    """The keys of a file.

    Raises:
        SecretKeysError: it cannot be read, others may read or change it, or it has other lines than
            keys.
    """
    try:
        with file.open(encoding="ascii") as opened:
            # Of what was opened, whatever the name leads to by now.
            facts = os.fstat(opened.fileno())
            lines = opened.read().splitlines()
    except (OSError, UnicodeError) as error:
        raise SecretKeysError(f"the key ring {file} cannot be read: {error}") from None
    if fault := exposure(file, stat.S_IMODE(facts.st_mode), facts.st_uid, os.geteuid()):
        raise SecretKeysError(f"the key ring {file} {fault}")
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        keys = tuple(base64.b64decode(text, altchars=b"-_", validate=True) for text in texts)
    except binascii.Error:
        keys = ()
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise SecretKeysError(
            f"the key ring {file} must have lines of {_KEY_BYTES} bytes in URL-safe base64"
        )
    return keys


def exposure(file: Path, mode: int, owner: int, user: int) -> str:
    """Why a file of keys may not be used by a user, and how to mend it; "" where it may.

    Root may give its own file to a user by its group: so are Secrets of Kubernetes mounted. Nobody
    else's file is trusted, and root, who may read all, uses those of others as they would.
    (docs/decisions/0034-who-may-read-the-keys.md)
    """
    if owner not in (user, _ROOT) and user != _ROOT:
        return f"belongs to another user ({owner}), who can change it: `chown {user} {file}`"
    by_group = owner == _ROOT != user
    if not mode & (stat.S_IRWXO | (stat.S_IWGRP if by_group else stat.S_IRWXG)):
        return ""
    mended = f"chmod {'640' if by_group else '600'} {file}"
    return f"has the mode {mode:04o}, and others than its owner may read or change it: `{mended}`"


def _state(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file does."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _make(file: Path) -> None:
    """Make a key ring that is whole from its first moment; who comes second finds the first's."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _part(file, new_key() + "\n") as part, contextlib.suppress(FileExistsError):
        file.hardlink_to(part)


def _write(file: Path, text: str) -> None:
    """Put another text in a file's place, at once, and for its owner only."""
    with _part(file, text) as part:
        part.replace(file)


@contextlib.contextmanager
def _part(file: Path, text: str) -> Iterator[Path]:
    """A durable file beside another, which goes when it was not given the other's name."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _id(key: bytes) -> str:
    return hashlib.sha256(b"connectory key id\0" + key).hexdigest()[:_ID_DIGITS]


def _bound(key_id: str, owner: str) -> bytes:
    return f"connectory\0{key_id}\0{owner}".encode()
