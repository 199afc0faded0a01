"""A cache bounded by bytes, for encoded Connectors."""

from typing import Generic, TypeVar

from connectory.http.answers import Response

K = TypeVar("K")

#: What an entry costs beside its body: the objects around it.
_OVERHEAD = 550


class ResponseCache(Generic[K]):
    """Keeps the answers that were used lately.

    Two generations: what is used moves to the young one; when that is half the size allowed, the
    old one goes and the young one becomes it. A hit costs one look-up, and no list is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._half = max_bytes // 2
        self._young: dict[K, Response] = {}
        self._old: dict[K, Response] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        #: How often it had what was asked for.
        self.hits = 0
        #: How often that had to be had elsewhere; whoever does so counts.
        self.misses = 0

    def get(self, key: K) -> Response | None:
        """An answer, if it is kept."""
        kept = self._young.get(key)
        if kept is None:
            kept = self._old.get(key)
            if kept is None:
                return None
            self.put(key, kept)
        self.hits += 1
        return kept

    def put(self, key: K, response: Response) -> None:
        """Keep an answer."""
        size = len(response.body) + _OVERHEAD
        if self._young_bytes + size > self._half:
            self._old, self._young = self._young, {}
            self._old_bytes, self._young_bytes = self._young_bytes, 0
        if size <= self._half:
            self._young[key] = response
            self._young_bytes += size

    def has_room(self, size: int) -> bool:
        """Whether a body of a size can be kept without another one having to go."""
        return not self._old or self._young_bytes + size + _OVERHEAD <= self._half

    @property
    def bytes(self) -> int:
        """About how much memory the kept answers take."""
        return self._young_bytes + self._old_bytes
