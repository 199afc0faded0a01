"""Secrets at rest: a key ring outside the database, and nothing that opens without it."""

import base64
import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectory.database.secrets import KeyRing, SecretKeysError, exposure, load_key_ring, new_key
from connectory.settings import Settings
from tests.harness import Installation

ONE, TWO = bytes(32), b"\1" * 32


def private(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def test_a_secret_is_opened_by_who_sealed_it():
    ring = KeyRing((ONE,))
    sealed = ring.seal(b"secret", "table:row")

    assert b"secret" not in sealed.encode()
    assert ring.open(sealed, "table:row") == b"secret"
    assert ring.seal(b"secret", "table:row") != sealed


def test_a_secret_is_bound_to_its_owner_and_its_key():
    sealed = KeyRing((ONE,)).seal(b"secret", "table:row")

    with pytest.raises(SecretKeysError, match="damaged"):
        KeyRing((ONE,)).open(sealed, "table:other")
    with pytest.raises(SecretKeysError, match="not in this key ring"):
        KeyRing((TWO,)).open(sealed, "table:row")
    form, _, text = sealed.split(".")
    other = KeyRing((TWO,)).fingerprint
    with pytest.raises(SecretKeysError):
        KeyRing((ONE, TWO)).open(f"{form}.{other}.{text}", "table:row")


@pytest.mark.parametrize("sealed", ["", ".", "1", "1..", "2.x.y", "1.%s.", "1.%s.AAAA", "1.%s.ä"])
def test_what_was_never_sealed_is_refused(sealed: str):
    ring = KeyRing((ONE,))

    with pytest.raises(SecretKeysError):
        ring.open(sealed.replace("%s", ring.fingerprint), "table:row")


def test_every_changed_byte_is_noticed():
    ring = KeyRing((ONE,))
    form, key_id, text = ring.seal(b"secret", "table:row").split(".")
    raw = base64.urlsafe_b64decode(text)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(SecretKeysError):
            ring.open(f"{form}.{key_id}.{base64.urlsafe_b64encode(changed).decode()}", "table:row")


def test_a_new_key_seals_and_the_old_one_still_opens():
    old = KeyRing((ONE,)).seal(b"secret", "table:row")
    ring = KeyRing((TWO, ONE))

    assert ring.open(old, "table:row") == b"secret"
    assert ring.fingerprint == KeyRing((TWO,)).fingerprint
    assert ring.seal(b"x", "table:row").split(".")[1] == ring.fingerprint


def test_the_ring_is_made_once_and_is_its_owners_only(tmp_path: Path):
    settings = Settings(data=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        prints = {
            ring.fingerprint for ring in pool.map(lambda _: load_key_ring(settings), range(8))
        }

    assert len(prints) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["secret.keys"]
    assert (tmp_path / "secret.keys").stat().st_mode & 0o777 == 0o600


def test_the_file_of_the_setting_is_used_and_never_made(tmp_path: Path):
    file = tmp_path / "keys"
    settings = Settings(data=tmp_path, secret_keys_file=file)
    with pytest.raises(SecretKeysError, match="cannot be read"):
        load_key_ring(settings)

    private(file, f"# newest first\n{new_key()}\n\n{new_key()}\n")
    load_key_ring(settings)

    assert not (tmp_path / "secret.keys").exists()


@pytest.mark.parametrize("text", ["", "# nothing", "short", "A" * 44, "ä", "=" * 44])
def test_a_file_that_is_no_key_ring_is_refused_without_its_content(tmp_path: Path, text: str):
    file = tmp_path / "keys"
    private(file, text)

    with pytest.raises(SecretKeysError) as refused:
        load_key_ring(Settings(data=tmp_path, secret_keys_file=file))
    if len(text) > 40:
        assert text not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_ring_that_others_may_read_or_change_stops_a_start_and_commands(
    tmp_path: Path, mode: int
) -> None:
    installation = Installation(tmp_path / "data")
    installation.run("migrate")
    file = installation.data / "secret.keys"
    private(file, new_key() + "\n")
    file.chmod(mode)

    for command in (("serve",), ("secrets", "list")):
        said = installation.run(*command, expect=1).stderr
        assert said.count("\n") == 1
        assert f"{file} has the mode {mode:04o}" in said
        assert f"`chmod 600 {file}`" in said
        assert "Traceback" not in said
    file.chmod(0o400)
    assert installation.run("secrets", "list").stderr == ""


@pytest.mark.parametrize(
    ("mode", "owner", "user", "mended"),
    [
        (0o600, 7, 7, ""),
        (0o400, 0, 0, ""),
        (0o700, 7, 0, ""),  # a command of root's on what is a service's
        (0o440, 0, 7, ""),  # a Secret of Kubernetes, with an fsGroup
        (0o640, 0, 7, ""),
        (0o644, 0, 7, "chmod 640 ring"),
        (0o660, 0, 7, "chmod 640 ring"),
        (0o440, 0, 0, "chmod 600 ring"),
        (0o640, 7, 0, "chmod 600 ring"),
        (0o640, 7, 7, "chmod 600 ring"),
        (0o600, 8, 7, "chown 7 ring"),
        (0o644, 8, 7, "chown 7 ring"),
    ],
)
def test_who_owns_a_ring_and_who_may_read_it(mode: int, owner: int, user: int, mended: str) -> None:
    fault = exposure(Path("ring"), mode, owner, user)

    assert fault.partition("`")[2].rstrip("`") == mended


def test_the_backup_says_that_the_keys_are_not_in_it(tmp_path: Path):
    installation = Installation(tmp_path / "data")
    installation.project("shop")
    token = tmp_path / "token"
    token.write_text("secret-of-the-host")
    installation.run(
        *("git-credential", "add", "--project", "shop", "--prefix", "https://github.com/acme"),
        *("--token-file", str(token)),
    )

    said = installation.run("backup", str(tmp_path / "file.backup")).stderr

    assert "secret.keys" in said
    content = gzip.decompress((tmp_path / "file.backup").read_bytes())
    key = (installation.data / "secret.keys").read_text().strip()
    assert b"git_credentials" in content
    assert key.encode() not in content
    assert b"secret-of-the-host" not in content
