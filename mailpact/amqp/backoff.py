"""How long to wait before trying again."""

from collections.abc import Callable

Uniform = Callable[[float, float], float]
"""A source of randomness with the shape of `random.uniform`."""


def backoff_seconds(failures: int, uniform: Uniform, *, floor: float = 0.1, ceiling: float = 15.0) -> float:
    """Return a wait with full jitter, doubling with every failure in a row, from `floor` up to `ceiling` seconds.

    Full jitter, so that the clients of a broker that comes back do not all return in the same moment.
    """
    limit = min(ceiling, floor * 2 ** min(failures, 16))
    return max(floor, uniform(0.0, limit))
