"""Trees that the tests write themselves, and the checks as a server has them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectory import specification
from connectory.staging.checks.model import Result, Source
from connectory.staging.checks.policy import Policy
from connectory.staging.checks.secrets import SecretsCheck

TODAY = date(2027, 3, 1)

CONNECT_YAML = """\
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
    configuration:
      securedConfiguration:
        - key: SHOP_TOKEN
          description: Token of the shop
"""

#: Made here from pieces, so that no scanner takes this file for a leak. Nobody issued them.
AWS_KEY = "AKIA" + "Q4J5XK7DPN2RM6TZ"
GITHUB_TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5"
CLIENT_SECRET = "r8Kx0PqLzT4vTnWb" + "7YmQeJ2sHdGf9Ua1"


@dataclass
class Tree:
    """A folder as a checkout leaves it."""

    root: Path

    def write(self, path: str, content: str | bytes | dict[str, Any] | list[Any] = "") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict | list):
            content = json.dumps(content, indent=2)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    @property
    def source(self) -> Source:
        reading = specification.read((self.root / "connect.yaml").read_bytes())
        assert reading.specification is not None, reading.faults
        return Source(root=self.root, specification=reading.specification)


def today() -> date:
    return TODAY


def connector_tree(root: Path) -> Tree:
    """A connector of one service, without anything that a check finds."""
    made = Tree(root)
    made.write("connect.yaml", CONNECT_YAML)
    manifest = {"name": "service", "version": "1.0.0", "scripts": {"start": "node index.js"}}
    made.write("service/package.json", manifest)
    lock = {"name": "service", "lockfileVersion": 3, "packages": {"": {"name": "service"}}}
    made.write("service/package-lock.json", lock)
    made.write("service/index.js", "console.log('hello');\n")
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A connector of one service, without anything that a check finds."""
    return connector_tree(tmp_path / "tree")


@pytest.fixture
def find_secrets(tree: Tree, rules_cache: Path) -> Callable[..., Result]:
    """Runs the secrets check on the tree."""

    def run(policy: Policy | None = None, **options: Any) -> Result:
        check = SecretsCheck(policy or Policy(), rules_cache, today, **options)
        return check.run(tree.source)

    return run
