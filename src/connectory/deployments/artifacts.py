"""What releases were built into, on this node: built here where another node deployed them.

An artifact has the same address wherever the same is built with the same tools, so most are found
by the name that the release has. Where a node has another Node version, its own name is kept here.
(docs/decisions/0031-nodes-share-applications.md)
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from connectory.building.model import Builder, BuildFailed, Plan
from connectory.deployments.model import Application, Deployment, Release
from connectory.deployments.programs import Programs
from connectory.runtime.model import StartFailed
from connectory.sources.model import Fetched
from connectory.sources.service import Sources


class Artifacts:
    """What the releases that serve were built into here; may be used in any thread."""

    def __init__(
        self,
        builder: Builder,
        sources: Sources,
        programs: Programs,
        *,
        refusal: Callable[[str], str],
    ) -> None:
        """Make it; `refusal` says why the code of a repository is not to be run here, or ""."""
        self._builder = builder
        self._sources = sources
        self._programs = programs
        self._refusal = refusal
        self._lock = threading.Lock()
        #: By Deployment: a release, and what was built of it that has another name here.
        self._own: dict[str, tuple[int, Mapping[str, str]]] = {}

    def here(self, release: Release) -> Release | None:
        """A release with what it was built into on this node; None where something is lacking."""
        found = replace(release, artifacts=self._names(release))
        return None if self._lacking(found) else found

    def build(
        self, deployment: Deployment, release: Release, cancelled: Callable[[], bool]
    ) -> Release:
        """Build what is lacking of a release, from its commit; the release as `here` gives it.

        Nothing is told in the Deployment's report or log: it was built before.

        Raises:
            BuildFailed: it cannot be built here.
            SourceError: its commit cannot be had.
        """
        repository = release.connector.repository
        why_not = self._refusal(repository.url)
        if not why_not and release.commit is None:
            why_not = "nothing says of which commit it was built: redeploy it"
        if why_not:
            raise BuildFailed(why_not)
        names = dict(self._names(release))
        fetched = Fetched(repository, release.commit or "")
        owner = deployment.source_owner or deployment.project
        with self._sources.tree(fetched, owner) as tree:
            for application in self._lacking(replace(release, artifacts=names)):
                plan = Plan(
                    tree=tree,
                    source=fetched.commit,
                    origin=repository.url,
                    application=application.name,
                    type=application.type,
                    environment=self._environment(deployment, release, application),
                )
                artifact = self._builder.build(
                    plan, told=lambda _: None, output=lambda *_: None, cancelled=cancelled
                )
                names[application.name] = artifact.id
        own = {name: id_ for name, id_ in names.items() if release.artifacts.get(name) != id_}
        if own:
            with self._lock:
                self._own[release.deployment_id] = release.number, own
        return replace(release, artifacts=names)

    def folder(self, release: Release, application: Application) -> Path:
        """The files of a static application of a release, as `here` gave it.

        Raises:
            StartFailed: they have gone.
        """
        artifact = self._builder.use(release.artifacts.get(application.name, ""))
        if artifact is None:
            raise StartFailed(f"what {application.name} was built into is gone")
        return artifact.folder

    def forget(self, deployment_id: str) -> None:
        """Keep nothing for a Deployment that is gone."""
        with self._lock:
            self._own.pop(deployment_id, None)

    def in_use(self) -> set[str]:
        """The artifacts in use that no release names."""
        with self._lock:
            return {id_ for _, own in self._own.values() for id_ in own.values()}

    def _names(self, release: Release) -> Mapping[str, str]:
        with self._lock:
            number, own = self._own.get(release.deployment_id, (release.number, {}))
        return {**release.artifacts, **own} if number == release.number else release.artifacts

    def _lacking(self, release: Release) -> list[Application]:
        return [
            each
            for each in release.applications
            if self._builder.use(release.artifacts.get(each.name, "")) is None
        ]

    def _environment(
        self, deployment: Deployment, release: Release, application: Application
    ) -> dict[str, str]:
        """What the build saw on the node that deployed: the address that the Deployment tells."""
        serving = replace(deployment, shared=release.shared)
        found = self._programs.build_environment(serving, application)
        told = next((each.url for each in deployment.applications if each.id == application.id), "")
        if told and "APPLICATION_URL" in found:
            endpoint = release.endpoints.get(application.name, "").lstrip("/")
            found["APPLICATION_URL"] = told.removesuffix(f"/{endpoint}" if endpoint else "")
        return found
