"""Measure how fast a valid message is validated: for a contract that asks for mail, 100 times as fast as jsonschema.

Both validators check the same parsed messages, the examples in a contract's schema for readers, against that schema.
They take turns, and the fastest turn of each counts, because other programs slow the rest down. Contracts other than
email/1 and email/2 are shown too: where a schema checks little, the cost of the call itself has more weight.

    python benchmarks/validation.py [--json]

Exit status 1: the bound is broken.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from jsonschema import Draft202012Validator

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Contract
from mailpact.contracts.parse import JsonValue
from mailpact.contracts.validate import Validator

LEAST_RATIO, BOUND_FOR = 100.0, "email"
TURNS, TURN_SECONDS = 15, 0.02
BETWEEN_LOOKS = 50  # messages; a look at the clock after each message would be measured too


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures for one contract, in microseconds per message."""

    contract: str
    mailpact_us: float
    jsonschema_us: float
    ratio: float
    bound: float | None

    @property
    def broken(self) -> bool:
        """Return whether the bound does not hold."""
        return self.bound is not None and self.ratio < self.bound


def one_turn(accept: Callable[[JsonValue], object], messages: Sequence[JsonValue]) -> float:
    """Validate messages for a while; return the microseconds per message."""
    stack = list(messages) * BETWEEN_LOOKS
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < TURN_SECONDS:
        for message in stack:
            accept(message)
        count += len(stack)
    return elapsed / count * 1e6


def measure(name: str, contract: Contract) -> Figures:
    """Let both validators take turns on the examples of one contract."""
    messages = contract.schema["examples"]
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"the schema of {name} has no examples")
    ours, theirs = Validator(contract.schema), Draft202012Validator(contract.schema)
    turns = [(one_turn(ours.check, messages), one_turn(theirs.is_valid, messages)) for _ in range(TURNS)]
    mailpact_us, jsonschema_us = (min(each) for each in zip(*turns, strict=True))
    bound = LEAST_RATIO if contract.name == BOUND_FOR else None
    return Figures(name, mailpact_us, jsonschema_us, jsonschema_us / mailpact_us, bound)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare accepting a valid message with jsonschema.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = [measure(name, contract) for name, contract in catalogue.load().contracts.items()]
    broken = [each.contract for each in figures if each.broken]
    if given.json:
        told = {"contracts": [asdict(each) for each in figures], "broken": broken}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for each in figures:
            sys.stdout.write(
                f"{each.contract:<28} {each.mailpact_us:6.2f} us, jsonschema {each.jsonschema_us:8.1f} us: "
                f"{each.ratio:4.0f} times as fast{f', at least {each.bound:.0f}' if each.bound else ''}\n"
            )
        sys.stderr.writelines(f"broken: {name} is not {LEAST_RATIO:.0f} times as fast\n" for name in broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
