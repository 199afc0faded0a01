"""How the death of a node is noticed: its leases fall silent.

No instant of one machine is compared with one of another, and no wall clock is asked: what counts
is how long a node has watched a lease without seeing it beat. A clock that jumps changes nothing,
and a pause of the watcher, or of the database between the two, is not the silence of another.
"""

from collections.abc import Iterable, Mapping

from connectory.work.results import Beat


class Silences:
    """How long each lease has been silent, as one node sees it."""

    def __init__(self, most_between: float) -> None:
        """Begin to watch.

        `most_between`: the seconds that count where more have passed between two looks.
        """
        self._most_between = most_between
        self._looked_at = float("-inf")
        self._silences: Mapping[Beat, float] = {}

    def look(self, leases: Iterable[Beat], at: float) -> Mapping[Beat, float]:
        """The seconds for which each lease has been silent; `at` is of `time.monotonic`."""
        passed = min(at - self._looked_at, self._most_between)
        known = self._silences
        self._silences = {
            lease: known[lease] + passed if lease in known else 0.0 for lease in leases
        }
        self._looked_at = at
        return self._silences
