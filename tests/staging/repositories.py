"""Real git repositories on this machine, reached by a mirror as an operator would set one up."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: A connector that every check passes.
CONNECT_YAML = """\
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
    configuration:
      standardConfiguration:
        - key: ACME_REGION
          description: Where Acme is called
          default: eu
      securedConfiguration:
        - key: ACME_KEY
          description: Key of the account
"""
PACKAGE_JSON = json.dumps({"name": "service", "scripts": {"start": "node index.js"}})
#: A lock of no package at all.
PACKAGE_LOCK = json.dumps(
    {"name": "service", "lockfileVersion": 3, "packages": {"": {"name": "service"}}}
)
GOOD: Mapping[str, str] = {
    "connect.yaml": CONNECT_YAML,
    "service/package.json": PACKAGE_JSON,
    "service/package-lock.json": PACKAGE_LOCK,
    "service/index.js": "require('http').createServer().listen(8080)\n",
}
#: A check policy without scanners and builds, for tests of other things: they are slow.
SCANNERS_OFF = "\n".join(
    f"[{check}]\nrun = false" for check in ("secrets", "vulnerabilities", "build")
)


@dataclass(frozen=True)
class Repositories:
    """Repositories of one owner, in a folder that a mirror puts in the place of a host.

    `folder` is the host's, with a folder for each owner.
    """

    folder: Path
    owner: str

    @property
    def settings(self) -> dict[str, str]:
        """What lets a server reach them."""
        mirrors = {"https://github.com/": f"file://{self.folder}/"}
        return {"CONNECTORY_GIT_MIRRORS": json.dumps(mirrors)}

    def url(self, name: str = "connector") -> str:
        return f"https://github.com/{self.owner}/{name}.git"

    def tag(
        self,
        tag: str,
        files: Mapping[str, str] = GOOD,
        *,
        name: str = "connector",
        move: bool = False,
    ) -> str:
        """Commit files, and nothing else, under a tag; the commit."""
        work = self.folder / self.owner / f"{name}.git"
        if not work.exists():
            work.mkdir(parents=True)
            _git(work, "init", "--quiet", "--initial-branch=main")
        for old in work.iterdir():
            if old.name != ".git":
                subprocess.run(["rm", "-rf", old], check=True)
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        _git(work, "add", "--all")
        _git(work, "commit", "--quiet", "--allow-empty", "--message", tag)
        _git(work, "tag", *(["--force"] if move else []), tag)
        return _git(work, "rev-parse", "HEAD")

    def commit(self, tag: str, *, name: str = "connector") -> str:
        """The commit that a tag names."""
        return _git(self.folder / self.owner / f"{name}.git", "rev-parse", f"{tag}^{{commit}}")


def _git(folder: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@acme.example"}
    who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@acme.example"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
