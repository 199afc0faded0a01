"""Real repositories, made for a test; and hostile ones, made object by object."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@acme.example",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@acme.example",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True)
class Origin:
    """A bare repository."""

    folder: Path

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", f"--git-dir={self.folder}", *arguments],
            env={"PATH": os.environ["PATH"], **_IDENTITY},
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, *lines: tuple[str, str, str]) -> str:
        """A tree of (mode, object, name), whatever the names are."""
        raw = b"".join(
            f"{mode.lstrip('0')} {name}\0".encode() + bytes.fromhex(each)
            for mode, each, name in sorted(lines, key=lambda line: line[2])
        )
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)

    def commit_tree(self, tree: str, tag: str = "v1") -> str:
        commit = self.git("commit-tree", tree, "-m", f"for {tag}")
        self.git("update-ref", f"refs/tags/{tag}", commit)
        return commit

    def commit(self, files: Mapping[str, bytes | str], tag: str = "v1") -> str:
        """A commit of files; a text is a symbolic link, bytes are a regular file."""
        lines = {}
        for path, content in files.items():
            mode = "120000" if isinstance(content, str) else "100644"
            blob = self.blob(content.encode() if isinstance(content, str) else content)
            lines[path] = f"{mode} {blob}\t{path}\0"
        index = {"GIT_INDEX_FILE": str(self.folder / f"index-{os.urandom(4).hex()}")}
        environment = {"PATH": os.environ["PATH"], **_IDENTITY, **index}
        command = ["git", f"--git-dir={self.folder}"]
        text = "".join(lines.values()).encode()
        subprocess.run(
            [*command, "update-index", "--add", "-z", "--index-info"],
            env=environment,
            input=text,
            check=True,
        )
        tree = subprocess.run(
            [*command, "write-tree"], env=environment, capture_output=True, check=True
        )
        return self.commit_tree(tree.stdout.decode().strip(), tag)


def new_origin(folder: Path) -> Origin:
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--template=", str(folder)],
        check=True,
        env={"PATH": os.environ["PATH"], **_IDENTITY},
    )
    return Origin(folder)
