"""Compares two schemas of one contract: what one accepts, does the other accept it as well.

`backward` asks whether the new reader accepts all that the old one did, `forward` the opposite. `compatible` is said
only with a proof, `breaking` only with a document that shows it; the rest is `unproven`.
"""

from mailpact.contracts.compare.schemas import compare
from mailpact.contracts.compare.verdict import NO_WITNESS, Change, Comparison, NoWitness, Verdict

__all__ = ["NO_WITNESS", "Change", "Comparison", "NoWitness", "Verdict", "compare"]
