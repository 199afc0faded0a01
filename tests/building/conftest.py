import json
import os
import subprocess

import pytest

from connectory.building.model import BuildFailed, Plan
from connectory.building.registry import Registry, read_registry
from connectory.building.service import Builds
from connectory.building.toolchains import Toolchains
from connectory.building.workshop import Limits
from connectory.contract.scalars import ApplicationType
from tests.building.unconfined import Unconfined
from tests.conftest import ROOT, lacking

#: One for all tests: it remembers what the versions of this machine's programs are.
TOOLCHAINS = Toolchains(os.environ["PATH"], None)
EXAMPLES = ROOT / "examples"
SERVER = "require('node:http').createServer((_, r) => r.end('hello')).listen(process.env.PORT)\n"


def package(**more):
    """The text of a package.json that can be started."""
    return json.dumps({"name": "service", "scripts": {"start": "node index.js"}} | more)


def locked(name, version, integrity=""):
    """The text of a package-lock.json with one package."""
    entry = {"version": version} | ({"integrity": integrity} if integrity else {})
    root = {"name": "service", "dependencies": {name: version}}
    packages = {"": root, f"node_modules/{name}": entry}
    return json.dumps({"name": "service", "lockfileVersion": 3, "packages": packages})


class Bench:
    """A builder with an empty folder, trees to build, and what was told."""

    def __init__(self, folder, containment=None):
        self.folder = folder
        self.containment = containment or Unconfined()
        self.toolchains = TOOLCHAINS
        self.registry = read_registry(None, os.environ)
        self.limits = Limits()
        self.most_bytes = 2**40
        self.steps = []
        self.lines = []

    @property
    def builds(self):
        return Builds(
            self.folder / "builds",
            self.containment,
            self.toolchains,
            lambda: self.registry,
            self.limits,
            most_bytes=self.most_bytes,
            spared_seconds=0,
        )

    def tree(self, name="tree", application="service", /, **files):
        """A repository with an application of some files."""
        tree = self.folder / name
        return self.write(tree, {f"{application}/{path}": text for path, text in files.items()})

    def write(self, tree, files):
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        return tree

    def plan(self, tree, application="service", kind=ApplicationType.SERVICE, **more):
        more.setdefault("source", f"commit of {tree}")
        return Plan(tree=tree, application=application, type=kind, **more)

    def build(self, tree, *arguments, cancelled=lambda: False, **more):
        self.steps.clear()
        self.lines.clear()
        return self.builds.build(
            self.plan(tree, *arguments, **more),
            told=self.steps.append,
            output=lambda application, line: self.lines.append((application, line)),
            cancelled=cancelled,
        )

    def refusal(self, tree, *arguments, **more):
        """The last step of a build that fails, which is the Error that people see."""
        with pytest.raises(BuildFailed) as failed:
            self.build(tree, *arguments, **more)
        last = self.steps[-1]
        assert (last.type, last.message) == ("Error", str(failed.value))
        return f"{last.title}: {last.message}"

    @property
    def titles(self):
        return [step.title for step in self.steps]

    def left_over(self):
        """What a build should not have left."""
        return list((self.folder / "builds").glob("artifacts/*/part-*"))


@pytest.fixture
def bench(tmp_path, node):
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def registry(node):
    """npm's registry, by the configuration of this machine."""
    asked = ["npm", "view", "is-number@7.0.0", "version", "--fetch-retries=0"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    if done.stdout.strip() != "7.0.0":
        lacking("registry", "npm has no registry here")


def unreachable(address):
    """A registry that nobody finds."""
    return Registry(npmrc=f"registry={address}\nfetch-retries=0\nfetch-timeout=2000\n")
