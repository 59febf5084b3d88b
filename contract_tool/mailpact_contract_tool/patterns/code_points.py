"""Sets of characters, as ranges of code points: both ends are in, and the ranges are in order and apart."""

from collections.abc import Iterable, Sequence

LAST_CODE_POINT = 0x10FFFF


def union(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Put ranges in order, and those that touch or overlap into one."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return all that is in none of the ranges, which are in order and apart."""
    starts = [0, *(high + 1 for _, high in ranges)]
    ends = [*(low - 1 for low, _ in ranges), LAST_CODE_POINT]
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)
