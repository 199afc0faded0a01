"""Chance that can be repeated: the moments of all kills come from a seed that a failure shows."""

import random

import pytest


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of this test; `pytest -p randomly -p "randomly_seed=…"` repeats them.

    pytest-randomly prints the seed of a run in its heading.
    """
    seed = f"{request.config.getoption('randomly_seed')} {request.node.name}"
    print(f"seed: {seed}")
    return random.Random(seed)
