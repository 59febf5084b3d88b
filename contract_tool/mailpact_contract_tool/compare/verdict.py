"""Defines the result of a comparison: a verdict for each direction, and the changes with their witnesses.

A pointer (RFC 6901) points into the new schema, or into the old schema if something was removed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from mailpact.contracts.parse import JsonObject, JsonValue


class Verdict(StrEnum):
    """`compatible` is proved, `breaking` is shown by a witness, and `unproven` is neither."""

    COMPATIBLE = "compatible"
    BREAKING = "breaking"
    UNPROVEN = "unproven"


class NoWitness(Enum):
    """Marks that there is no witness; a witness may be null, so None cannot mark this."""

    NO_WITNESS = "no witness"


NO_WITNESS: Final = NoWitness.NO_WITNESS


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, judged in both directions.

    `witness_backward` is a document that the old schema accepts and the new schema refuses. `witness_forward` is a
    document that the new schema accepts and the old schema refuses. Two engines have confirmed each witness.
    """

    rule: str
    pointer: str
    backward: Verdict
    forward: Verdict
    witness_backward: JsonValue | NoWitness = NO_WITNESS
    witness_forward: JsonValue | NoWitness = NO_WITNESS

    def to_json(self) -> JsonObject:
        """Return the JSON object that `--json` prints; a missing witness is null."""
        return {
            "rule": self.rule,
            "pointer": self.pointer,
            "backward": self.backward,
            "forward": self.forward,
            "witness_backward": None if self.witness_backward is NO_WITNESS else self.witness_backward,
            "witness_forward": None if self.witness_forward is NO_WITNESS else self.witness_forward,
        }


def witnessed(
    rule: str,
    pointer: str,
    backward: JsonValue | NoWitness = NO_WITNESS,
    forward: JsonValue | NoWitness = NO_WITNESS,
) -> Change:
    """Return a change that breaks each direction for which a witness is given."""
    back, forth = (
        Verdict.COMPATIBLE if witness is NO_WITNESS else Verdict.BREAKING for witness in (backward, forward)
    )
    return Change(rule, pointer, back, forth, backward, forward)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts as a whole, every change, and the reasons for unproven verdicts."""

    backward: Verdict
    forward: Verdict
    changes: tuple[Change, ...]
    reasons: frozenset[str] = frozenset()

    @property
    def full(self) -> Verdict:
        """Return the verdict about both directions together."""
        return worst((self.backward, self.forward))

    def to_json(self) -> JsonObject:
        """Return the JSON object that `--json` prints; a missing witness is null."""
        return {
            "backward": self.backward,
            "forward": self.forward,
            "full": self.full,
            "changes": [change.to_json() for change in self.changes],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts: breaking, then unproven, then compatible."""
    found = set(verdicts)
    for verdict in (Verdict.BREAKING, Verdict.UNPROVEN):
        if verdict in found:
            return verdict
    return Verdict.COMPATIBLE
