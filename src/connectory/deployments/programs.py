"""What runs of a release: the programs, with their environments, and their addresses."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from connectory.building.model import Builder
from connectory.containment.model import Bounds
from connectory.contract.deployments import DeploymentType
from connectory.contract.scalars import ApplicationType
from connectory.database.secrets import KeyRing
from connectory.deployments.configuration import Values
from connectory.deployments.environment import (
    CLIENT_SECRET,
    Commerce,
    Environment,
    credentials,
    values_of,
)
from connectory.deployments.hosting import STATIC, Hosting
from connectory.deployments.model import Application, Deployment, Release
from connectory.logs.masking import Masker
from connectory.runtime.model import HealthCheck, Program, StartFailed
from connectory.specification import shape

#: The longest run of a job, by the published documentation: a redeploy waits for its end.
_RUN_SECONDS: Final = 1_800.0
#: What the published documentation gives a job.
JOB_BOUNDS: Final = Bounds(cpus=2.0, memory_bytes=4 * 2**30)


class ScriptValues(Struct, frozen=True, kw_only=True):
    """The values of a script, and what masks the secret ones in what it prints."""

    environment: Mapping[str, str]
    masker: Masker


class Programs:
    """Makes programs of releases; only here are secrets of Deployments decrypted."""

    def __init__(
        self,
        builder: Builder,
        hosting: Hosting,
        commerce: Commerce,
        key_ring: Callable[[], KeyRing],
        *,
        mask: Callable[[str, Iterable[str]], None],
    ) -> None:
        """Make it; `mask` hears the secured values of a Deployment before they are used."""
        self._builder = builder
        self._hosting = hosting
        self._commerce = commerce
        self._key_ring = key_ring
        self._mask = mask

    def build_environment(self, deployment: Deployment, application: Application) -> dict[str, str]:
        """What the build of an application may see: of static ones, values in plain text."""
        if application.type not in STATIC:
            return {}
        found = {each.key: each.value for each in deployment.shared.standard}
        found |= {each.key: each.value for each in application.values.standard}
        url = self._hosting.url(deployment, application)
        return found | ({"APPLICATION_URL": url} if url else {})

    def environment(
        self, deployment: Deployment, release: Release, application: Application
    ) -> Environment:
        """What an application of a release finds; of static ones, what their build does.

        Raises:
            SecretKeysError: a secret cannot be opened.
        """
        if application.type in STATIC:
            shown = Values(standard=(*release.shared.standard, *application.values.standard))
            return Environment(
                values=values_of(shown, self._opener(deployment)), secured=frozenset()
            )
        secured = (*release.shared.secured, *application.values.secured)
        names = {each.key for each in secured} | ({CLIENT_SECRET} if release.client else set())
        return Environment(
            values=self._environment(deployment, release, application), secured=frozenset(names)
        )

    def program(
        self, deployment: Deployment, release: Release, application: Application
    ) -> Program:
        """An application of a release, to be run.

        Raises:
            StartFailed: what it was built into is gone.
        """
        artifact = self._builder.use(release.artifacts.get(application.name, ""))
        if artifact is None:
            raise StartFailed("what it was built into is gone: redeploy it")
        self._mask(deployment.id, self._secrets(deployment, release))
        return Program(
            application_id=application.id,
            release=release.number,
            deployment_id=deployment.id,
            application=application.name,
            artifact=artifact,
            environment=self._environment(deployment, release, application),
            warm=deployment.type is DeploymentType.PRODUCTION,
            health_check=release.health_checks.get(application.name),
            drain_seconds=_RUN_SECONDS if application.type is ApplicationType.JOB else None,
            bounds=JOB_BOUNDS if application.type is ApplicationType.JOB else Bounds(),
        )

    def script(
        self, deployment: Deployment, release: Release, application: Application
    ) -> "ScriptValues":
        """What a script of an application of a release gets."""
        secrets = self._secrets(deployment, release)
        self._mask(deployment.id, secrets)
        environment = self.build_environment(deployment, application)
        environment |= self._environment(deployment, release, application)
        return ScriptValues(environment=environment, masker=Masker(secrets))

    def _secrets(self, deployment: Deployment, release: Release) -> set[str]:
        """The secured values of a release: what must not be seen in its logs."""
        found: set[str] = set()
        for values in (release.shared, *(each.values for each in release.applications)):
            only = Values(secured=values.secured)
            found |= set(values_of(only, self._opener(deployment)).values())
        if release.client is not None:
            found.add(self._opener(deployment)(release.client.secret))
        return found - {""}

    def url(self, deployment: Deployment, release: Release, application: Application) -> str | None:
        """Where an application answers, its endpoint included."""
        base = self._hosting.url(deployment, application)
        if base is None:
            return None
        endpoint = release.endpoints.get(application.name, "")
        return base if not endpoint else f"{base}/{endpoint.lstrip('/')}"

    def _environment(
        self, deployment: Deployment, release: Release, application: Application
    ) -> dict[str, str]:
        unseal = self._opener(deployment)
        found = values_of(release.shared, unseal)
        client = release.client
        if client is not None:
            found |= credentials(client, unseal(client.secret), deployment.project, self._commerce)
        found |= values_of(application.values, unseal)
        url = self.url(deployment, release, application)
        if url is not None and application.type is ApplicationType.SERVICE:
            found["CONNECT_SERVICE_URL"] = url
        return found

    def _opener(self, deployment: Deployment) -> Callable[[str], str]:
        ring = self._key_ring()
        return lambda sealed: ring.open(sealed, deployment.secret_owner).decode()


def health_check_of(written: shape.HealthCheck) -> HealthCheck:
    """As connect.yaml has it; what it leaves out has defaults."""
    names = ("interval_seconds", "timeout_seconds", "unhealthy_threshold")
    given = {name: getattr(written, name) for name in names}
    numbers = {name: value for name, value in given.items() if isinstance(value, int)}
    return HealthCheck(path=written.path, **numbers)
