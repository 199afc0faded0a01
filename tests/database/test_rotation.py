"""The keys of secrets: noted, asked for at a start and a restore, rotated, and pruned."""

import contextlib
import json
import os
from pathlib import Path

import pytest
import sqlalchemy

from connectory.database import sealed
from connectory.database.engine import Database
from connectory.database.secrets import (
    SecretKeysError,
    add_key,
    fingerprints,
    load_key_ring,
    new_key,
)
from connectory.database.tables import deployments, git_credentials, releases
from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from connectory.sources.credentials import Credentials, all_credentials, opened
from tests.harness import Installation, free_port

PROJECT = "europe-west1.gcp:shop"


def add_credential(database: Database, settings: Settings, prefix: str = "acme") -> None:
    with database.write() as connection:
        Credentials(connection, actor="command:tests", now=system_clock()).add(
            load_key_ring(settings),
            f"token-of-{prefix}".encode(),
            project=PROJECT,
            prefix=f"https://github.com/{prefix}",
            kind="token",
        )


def secrets(database: Database, settings: Settings) -> list[bytes]:
    """All secrets, opened."""
    with database.read() as connection:
        found = all_credentials(connection)
    return [opened(each, lambda: load_key_ring(settings)) for each in found]


@pytest.fixture
def settings(installation: Installation) -> Settings:
    return Settings.load(installation.environment)


def test_a_start_makes_a_ring_and_notes_its_key(database: Database, settings: Settings):
    sealed.begin(database, settings, 1)
    sealed.begin(database, settings, 2)

    assert (settings.data / "secret.keys").stat().st_mode & 0o777 == 0o600
    with database.read() as connection:
        assert sealed.first_uses(connection) == {fingerprints(settings)[0]: 1}


def test_a_start_without_a_key_that_sealed_something_is_refused(
    database: Database, settings: Settings
):
    add_credential(database, settings)
    (print_,) = fingerprints(settings)
    (settings.data / "secret.keys").rename(settings.data / "kept")

    with pytest.raises(SecretKeysError, match=f"1 rows .* key {print_}, .* secrets prune --lost"):
        sealed.begin(database, settings, 1)
    assert not (settings.data / "secret.keys").exists()

    (settings.data / "kept").rename(settings.data / "secret.keys")
    sealed.begin(database, settings, 1)


def test_a_key_that_sealed_nothing_may_be_lost(database: Database, settings: Settings):
    sealed.begin(database, settings, 1)
    (settings.data / "secret.keys").unlink()

    sealed.begin(database, settings, 2)


def test_a_server_without_its_keys_says_so_in_one_line(tmp_path: Path):
    installation = Installation(tmp_path / "data")
    installation.project("shop")
    token = tmp_path / "token"
    token.write_text("secret-of-the-host")
    installation.run(
        *("git-credential", "add", "--project", "shop", "--prefix", "https://github.com/acme"),
        *("--token-file", str(token)),
    )
    (installation.data / "secret.keys").unlink()

    said = installation.run("serve", "--port", str(free_port()), expect=1).stderr
    assert said.count("\n") == 1
    assert "put the key ring of this installation there" in said

    assert "given up: " in installation.run("secrets", "prune", "--lost").stdout
    with installation.serving():
        pass


def test_rotation_seals_all_anew_and_pruning_removes_the_old_key(
    installation: Installation, database: Database, settings: Settings
):
    add_credential(database, settings, "one")
    add_credential(database, settings, "two")
    (first,) = fingerprints(settings)

    done = installation.run_json("secrets", "rotate")

    second, *others = fingerprints(settings)
    assert others == [first]
    assert done["fingerprint"] == second
    assert done["resealed"][0] == {"table": "git_credentials", "sealed": 2, "failed": 0}
    assert not any(each["sealed"] or each["failed"] for each in done["resealed"][1:])
    assert (settings.data / "secret.keys").stat().st_mode & 0o777 == 0o600
    with database.read() as connection:
        assert sealed.uses(connection) == {second: 2}
        assert sealed.first_uses(connection).keys() == {first, second}
    assert secrets(database, settings) == [b"token-of-one", b"token-of-two"]

    assert installation.run("secrets", "prune").stdout == f"removed {first}\n"
    assert fingerprints(settings) == (second,)
    assert secrets(database, settings) == [b"token-of-one", b"token-of-two"]
    sealed.begin(database, settings, 1)
    assert "every key is needed" in installation.run("secrets", "prune").stdout
    listed = installation.run_json("secrets", "list")
    assert [(each["fingerprint"], each["secrets"]) for each in listed] == [(second, 2)]


def test_a_key_that_is_needed_is_not_pruned(
    installation: Installation, database: Database, settings: Settings
):
    add_credential(database, settings)
    (first,) = fingerprints(settings)
    second = add_key(settings)

    assert "every key is needed" in installation.run("secrets", "prune").stdout
    assert fingerprints(settings) == (second, first)


def test_a_ring_that_is_in_use_follows_its_file(database: Database, settings: Settings):
    ring = load_key_ring(settings)
    before = ring.seal(b"secret", "table:row")
    second = add_key(settings)
    after = load_key_ring(settings).seal(b"secret", "table:row")

    assert ring.open(after, "table:row") == b"secret"
    assert ring.open(before, "table:row") == b"secret"
    assert ring.seal(b"secret", "table:row").split(".")[1] == second


def test_the_operators_file_is_not_touched(
    installation: Installation, database: Database, tmp_path: Path
):
    file = tmp_path / "keys"
    old, new = new_key(), new_key()
    file.write_text(f"{old}\n")
    file.chmod(0o600)
    installation.settings["CONNECTORY_SECRET_KEYS_FILE"] = str(file)
    settings = Settings.load(installation.environment)
    add_credential(database, settings)
    file.write_text(f"# ours\n{new}\n{old}\n")

    said = installation.run("secrets", "rotate").stdout
    assert "is yours: encrypted with its first key" in said
    assert "1 of git_credentials" in said
    pruned = installation.run("secrets", "prune").stdout
    assert "remove them on every node" in pruned
    assert file.read_text() == f"# ours\n{new}\n{old}\n"
    file.write_text(f"{new}\n")
    assert secrets(database, settings) == [b"token-of-acme"]


def test_what_cannot_be_opened_stays_and_is_told(
    installation: Installation, database: Database, settings: Settings
):
    add_credential(database, settings, "good")
    add_credential(database, settings, "damaged")
    with database.write() as connection:
        (row,) = [each for each in all_credentials(connection) if "damaged" in each.prefix]
        changed = row.sealed[:-8] + ("AAAAAAAA" if row.sealed[-8:] != "AAAAAAAA" else "BBBBBBBB")
        connection.execute(
            git_credentials.update().where(git_credentials.c.id == row.id).values(sealed=changed)
        )

    said = installation.run("secrets", "rotate", expect=1)

    assert "1 secrets could not be opened" in said.stderr
    assert "1 of git_credentials" in said.stdout
    with database.read() as connection:
        assert {each.sealed for each in all_credentials(connection)} >= {changed}
    assert "every key is needed" in installation.run("secrets", "prune").stdout


def test_secrets_within_documents_are_sealed_anew(
    installation: Installation, database: Database, settings: Settings
):
    """A Deployment has several in JSON; what only looks like one is left alone."""
    ring = load_key_ring(settings)
    alike = "1.0123456789abcdef.AAAA"
    document = {
        "a": ring.seal(b"one", "deployments:d"),
        "list": [{"b": ring.seal(b"two", "deployments:d")}],
        "plain": alike,
    }
    kept = {"document": json.dumps(document)}
    row = {"id": "d", "project": "p", "version": 1, "status": "x"}
    with database.write() as connection:
        connection.execute(
            deployments.insert().values(**row, **kept, created_at=1, last_modified_at=1)
        )
        connection.execute(releases.insert().values(deployment_id="d", number=1, **kept))

    said = installation.run("secrets", "rotate").stdout

    assert said.endswith(": 2 of deployments, 2 of releases\n")
    installation.run("secrets", "prune")
    assert len(fingerprints(settings)) == 1
    for table in (deployments, releases):
        with database.read() as connection:
            after = json.loads(connection.execute(sqlalchemy.select(table.c.document)).scalar_one())
        assert load_key_ring(settings).open(after["a"], "deployments:d") == b"one"
        assert load_key_ring(settings).open(after["list"][0]["b"], "deployments:d") == b"two"
        assert after["plain"] == alike


@pytest.fixture
def backup(installation: Installation, database: Database, settings: Settings) -> Path:
    """Of an installation with a secret."""
    add_credential(database, settings)
    file = settings.data / "file.backup"
    installation.run("backup", str(file))
    return file


def test_a_restore_without_the_keys_is_refused(backup: Path, settings: Settings, tmp_path: Path):
    new = Installation(tmp_path / "new")

    said = new.run("restore", str(backup), expect=1).stderr
    assert said.count("\n") == 1
    assert "put the key ring of this installation there" in said
    assert "nothing was restored" in said

    new.data.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.link(settings.data / "secret.keys", new.data / "secret.keys")
    assert "1 git_credentials" in new.run("restore", str(backup)).stdout


def test_a_restore_can_give_the_secrets_up(backup: Path, tmp_path: Path):
    new = Installation(tmp_path / "new")

    assert "1 git_credentials" in new.run("restore", str(backup), "--without-keys").stdout
    with new.serving():
        pass
