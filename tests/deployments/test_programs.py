"""What is asked of the runtime for an application of a release."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from connectory.building.model import Artifact
from connectory.contract.scalars import ApplicationType
from connectory.database.secrets import KeyRing
from connectory.deployments.environment import Commerce
from connectory.deployments.hosting import Hosting
from connectory.deployments.programs import Programs
from connectory.runtime.model import Program
from tests.deployments.examples import deployment, job, release, service


class Kept:
    """A builder that has built all that it is asked for."""

    def use(self, artifact: str) -> Artifact:
        return Artifact(id=artifact, folder=Path("/nowhere"))


def program_of(application: Any) -> Program:
    nobody: Any = None
    builder: Any = Kept()
    programs = Programs(
        builder,
        Hosting(nobody, nobody),
        Commerce(api_url="", auth_url=""),
        lambda: KeyRing((b"k" * 32,)),
        mask=lambda _id, _secrets: None,
    )
    return programs.program(deployment(), release(), application)


def test_a_run_of_a_job_goes_on_after_a_redeploy_as_long_as_it_may() -> None:
    assert program_of(job()).drain_seconds == 30 * 60
    # One that no path leads to, as `Hosting` has nothing behind it here.
    other = replace(service(), type=ApplicationType.EVENT)
    assert program_of(other).drain_seconds is None
