"""Compares two schemas of one contract: what one accepts, does the other accept it as well.

`backward` asks whether the new reader accepts all that the old one did, `forward` the opposite. `compatible` is said
only with a proof, `breaking` only with a document that shows it; the rest is `unproven`.
"""

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Change, Comparison, NoWitness, Verdict

__all__ = ["NO_WITNESS", "Change", "Comparison", "NoWitness", "Verdict", "compare"]


def compare(old: JsonObject, new: JsonObject) -> Comparison:
    """Return what became of the documents that `old` accepts, and of those that only `new` does.

    Raises SchemaError for a schema that is none of draft 2020-12, points out of itself, or is too big or too deep.
    """
    # Imported here: whoever only speaks of verdicts, as the command does before it runs, need not load the search.
    from mailpact_contract_tool.compare.schemas import compare as compared

    return compared(old, new)
