"""The written differences between versions of RabbitMQ, read from `differences.json`.

The development broker had to follow one of them; it follows 4.0 where nothing speaks against it. An entry says for
which versions, why, and what each side does.
"""

import json
from pathlib import Path
from typing import Any

from tests.differential.client import Observation

WRITTEN: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "differences.json").read_text()
)


def known(kind: str, version: str) -> list[dict[str, Any]]:
    """Return the differences from this version: of single `behaviours`, or of the `headers` of every message."""
    return [each for each in WRITTEN[kind] if any(version.startswith(f"{of}.") for of in each["versions"])]


def assert_alike(behaviour: str, theirs: Observation, ours: Observation, version: str) -> None:
    """Compare what both brokers do; where a difference is written, it must be exactly that one."""
    headers = known("headers", version)
    theirs, ours = without(theirs, headers), without(ours, headers)
    for difference in known("behaviours", version):
        if difference["behaviour"] == behaviour:
            assert {"rabbitmq": theirs, "devbroker": ours} == {
                side: difference[side] for side in ("rabbitmq", "devbroker")
            }
            return
    assert ours == theirs


def without(observation: Observation, headers: list[dict[str, Any]]) -> Observation:
    """Leave out what a version writes, or does not write, into every message."""
    match observation:
        case dict():
            return {
                name: without(value, headers)
                for name, value in observation.items()
                if not any(name in each["names"] and each.get("value", value) == value for each in headers)
            }
        case list():
            return [without(each, headers) for each in observation]
        case _:
            return observation
