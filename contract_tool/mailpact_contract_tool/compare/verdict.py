"""What a comparison says: a verdict for each direction, and the changes that led to it, each with its documents.

A pointer is one of RFC 6901 into the new schema, or into the old one where something was removed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from mailpact.contracts.parse import JsonObject, JsonValue


class Verdict(StrEnum):
    """`compatible` is proved, `breaking` is shown by a document, `unproven` is neither."""

    COMPATIBLE = "compatible"
    BREAKING = "breaking"
    UNPROVEN = "unproven"


class NoWitness(Enum):
    """Stands where there is no document to show; a document may itself be null, so None cannot."""

    NO_WITNESS = "no witness"


NO_WITNESS: Final = NoWitness.NO_WITNESS


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, judged in both directions.

    `witness_backward` is a document that the old schema accepts and the new one refuses, `witness_forward` one that the
    new schema accepts and the old one refuses. Two engines have verified each.
    """

    rule: str
    pointer: str
    backward: Verdict
    forward: Verdict
    witness_backward: JsonValue | NoWitness = NO_WITNESS
    witness_forward: JsonValue | NoWitness = NO_WITNESS

    def to_json(self) -> JsonObject:
        """Return the form that `--json` prints; no witness is null."""
        return {
            "rule": self.rule,
            "pointer": self.pointer,
            "backward": self.backward,
            "forward": self.forward,
            "witness_backward": None if self.witness_backward is NO_WITNESS else self.witness_backward,
            "witness_forward": None if self.witness_forward is NO_WITNESS else self.witness_forward,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts as a whole, every change, and why something is unproven; the whole is more than its changes."""

    backward: Verdict
    forward: Verdict
    changes: tuple[Change, ...]
    reasons: frozenset[str] = frozenset()

    @property
    def full(self) -> Verdict:
        """Compatible in both directions."""
        return worst((self.backward, self.forward))

    def to_json(self) -> JsonObject:
        """Return the form that `--json` prints."""
        return {
            "backward": self.backward,
            "forward": self.forward,
            "full": self.full,
            "changes": [change.to_json() for change in self.changes],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of several together: breaking before unproven before compatible."""
    found = set(verdicts)
    for verdict in (Verdict.BREAKING, Verdict.UNPROVEN):
        if verdict in found:
            return verdict
    return Verdict.COMPATIBLE
