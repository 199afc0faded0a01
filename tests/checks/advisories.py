"""Advisories in the OSV format, written by us: of packages that nobody has."""

import json
import zipfile
from pathlib import Path
from typing import Any


def advisory(id_: str, package: str, *events: dict[str, str], **fields: Any) -> dict[str, Any]:
    """An OSV document of one package; its ecosystem is npm unless `ecosystem` says otherwise."""
    ecosystem = fields.pop("ecosystem", "npm")
    versions = fields.pop("versions", [])
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    affected = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": kind, "events": list(events)}] if events else [],
        "versions": versions,
    }
    return {
        "schema_version": "1.6.0",
        "id": id_,
        "modified": "2027-01-01T00:00:00Z",
        "summary": f"What is wrong with {package}",
        "affected": [affected],
        "database_specific": {"severity": "HIGH"},
    } | fields


def introduced(version: str = "0") -> dict[str, str]:
    return {"introduced": version}


def fixed(version: str) -> dict[str, str]:
    return {"fixed": version}


def last_affected(version: str) -> dict[str, str]:
    return {"last_affected": version}


def write_folder(folder: Path, *documents: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for document in documents:
        (folder / f"{document['id']}.json").write_text(json.dumps(document))
    return folder


def write_archive(path: Path, *documents: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for document in documents:
            archive.writestr(f"{document['id']}.json", json.dumps(document))
    return path


def package_lock(*packages: str, **more: Any) -> dict[str, Any]:
    """An npm lock file that takes packages, each spelled `name@version`."""
    entries: dict[str, Any] = {"": {"name": "service", "version": "1.0.0"}}
    for package in packages:
        name, _, version = package.rpartition("@")
        entries[f"node_modules/{name}"] = {"version": version} | more
    return {"name": "service", "lockfileVersion": 3, "requires": True, "packages": entries}
