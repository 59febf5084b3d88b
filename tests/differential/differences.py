"""The known differences between versions of RabbitMQ, read from `differences.json`.

Where versions differ the development broker does as RabbitMQ 4.0, unless there is a reason against it. An entry states
the versions, the reason, and what each broker does.
"""

import json
from pathlib import Path
from typing import Any

from tests.differential.client import Observation

WRITTEN: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "differences.json").read_text()
)


def known(kind: str, version: str) -> list[dict[str, Any]]:
    """Return the differences of this version: of single `behaviours`, or of the `headers` of every message."""
    return [each for each in WRITTEN[kind] if any(version.startswith(f"{of}.") for of in each["versions"])]


def assert_alike(behaviour: str, theirs: Observation, ours: Observation, version: str) -> None:
    """Check that both brokers do the same; where a difference is written down, check that both do what is written."""
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
    """Remove the headers that only some versions write into every message."""
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
