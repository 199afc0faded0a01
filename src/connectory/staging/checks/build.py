"""The build check: reserved for the building of images, which is not there yet."""

from typing import Final

from connectory.staging.checks.model import Result, Source, skipped


class BuildCheck:
    """Says that nothing was built, under the title that the hosted platform uses."""

    name: Final = "build"
    title: Final = "Connector image build check"

    def run(self, source: Source) -> Result:
        """Skip: a tree that was not built has not passed."""
        del source
        return skipped(self, "the applications were not built: this server cannot build yet")
