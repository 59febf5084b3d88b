"""Finds the definitions of a schema that lead back to themselves."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter


def in_circles(ways: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names that lead back to themselves, or lie between two names that do, in their order."""
    left = _endless(ways)
    backwards: dict[str, list[str]] = {name: [] for name in left}
    for name in left:
        for other in ways[name]:
            if other in left:
                backwards[other].append(name)
    return [*_endless(backwards)]


def _endless(ways: Mapping[str, Collection[str]]) -> dict[str, None]:
    """Return the names from which a way leads into a circle, as an ordered set."""
    sorter = TopologicalSorter(ways)
    with suppress(CycleError):  # the sorter still passes out all names that lead into no circle
        sorter.prepare()
    finite: set[str] = set()
    while sorter.is_active():
        finite.update(ready := sorter.get_ready())
        sorter.done(*ready)
    return dict.fromkeys(name for name in ways if name not in finite)
