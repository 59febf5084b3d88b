"""How long to wait before trying again."""

from collections.abc import Callable

Uniform = Callable[[float, float], float]  # random.uniform, or a test's replacement


def backoff_seconds(failures: int, uniform: Uniform, *, floor: float = 0.1, ceiling: float = 15.0) -> float:
    """Return a wait in seconds, with full jitter, so that the clients of a broker do not all return at the same moment.

    The wait is at least `floor`; its limit doubles with every failure in a row up to `ceiling`.
    """
    limit = min(ceiling, floor * 2 ** min(failures, 16))
    return max(floor, uniform(0.0, limit))
