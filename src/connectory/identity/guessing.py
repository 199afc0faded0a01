"""Wrong secrets are slowed down, for each pair of client and address on its own.

A right secret is never delayed or refused, so nobody can lock another out: an attacker who sits on
another address, or even on the same one, only slows itself. Each wrong answer of a pair waits
longer than the one before, and one after the other; where too many wait already, more are turned
away at once. (docs/decisions/0006-wrong-secrets-wait-in-line.md)
"""

import asyncio
from collections import OrderedDict

from connectory.contract.errors import TooManyRequests
from connectory.kernel.clock import SECOND, Clock

FREE_ATTEMPTS = 3
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
#: After this time without a wrong secret, a pair starts anew.
FORGIVEN_AFTER = 15 * 60 * SECOND
MOST_WAITING = 20
MOST_PAIRS = 10_000


class _Pair:
    __slots__ = ("failed_at", "failures", "turn", "waiting")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = 0
        self.waiting = 0
        self.turn = asyncio.Lock()


class WrongSecrets:
    """Remembers the failures of pairs of client and address, in a bounded table."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    async def failed(self, client_id: str, address: str) -> None:
        """Note a wrong secret and wait for as long as its answer is to be held back.

        Raises:
            TooManyRequests: too many of this pair wait already; it is to come back later.
        """
        key = (client_id, address)
        pair = self._pairs.setdefault(key, _Pair())
        self._pairs.move_to_end(key)
        now = self._clock()
        if now - pair.failed_at > FORGIVEN_AFTER:
            pair.failures = 0
        pair.failures += 1
        pair.failed_at = now
        self._forget()
        over = pair.failures - FREE_ATTEMPTS
        if over <= 0:
            return
        if pair.waiting >= MOST_WAITING:
            raise TooManyRequests(
                "Too many wrong secrets for this client from this address; wait",
                int(LONGEST_DELAY),
            )
        pair.waiting += 1
        try:
            async with pair.turn:
                await asyncio.sleep(min(FIRST_DELAY * 2 ** min(over - 1, 10), LONGEST_DELAY))
        finally:
            pair.waiting -= 1

    def succeeded(self, client_id: str, address: str) -> None:
        """Forget the failures of a pair that knows the secret after all."""
        pair = self._pairs.get((client_id, address))
        if pair is not None:
            pair.failures = 0

    def _forget(self) -> None:
        while len(self._pairs) > MOST_PAIRS:
            self._pairs.popitem(last=False)
