"""Checks that programs of every published version understand each other.

For each version that was published: what its writers send, the readers of today must take; and what the writers of
today send, its readers must take. That is less than schemas being equal in both directions, and what matters: a new
optional member in the closed schema of writers is a minor version, since readers are open and ignore what they do not
know, and since no old writer ever sent it, a new reader may ask a type of it. The same holds for what travels around
the body (exchange, routing key, content type, AMQP properties, limits) and for the queues of the topology.

What is unproven fails, unless a waiver names it with a reason and a day on which it ends. A document that shows a
break cannot be waived.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.check.topology import unreachable
from mailpact_contract_tool.check.wire import sent_and_taken
from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Change, Comparison, Verdict, worst


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a contract; a part of a message, such as a template's data, has no binding."""

    version: str
    schema: JsonObject
    writer_schema: JsonObject
    binding: JsonObject | None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract of one major version: as it is, and as it was published."""

    name: str
    current: Release
    published: tuple[Release, ...]


@dataclass(frozen=True, slots=True)
class Waiver:
    """Lets one unproven change pass, for a reason, to the end of a day."""

    contract: str
    rule: str
    pointer: str
    reason: str
    expires: date


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to one question; `changes` are those that are not compatible, with pointers that name the file."""

    contract: str
    question: str
    changes: tuple[Change, ...]
    waived: tuple[Waiver, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict before waivers."""
        return worst(change.backward for change in self.changes)

    @property
    def passes(self) -> bool:
        """Compatible, or every change is unproven and waived."""
        names = {(waiver.rule, waiver.pointer) for waiver in self.waived}
        return all(
            change.backward == Verdict.UNPROVEN and (change.rule, change.pointer) in names
            for change in self.changes
        )


def check(
    contracts: Iterable[Contract], topology: JsonObject | None, waivers: Iterable[Waiver], today: date
) -> list[Checked]:
    """Ask every question about every contract; raises SchemaError, which names contract and file."""
    valid = [waiver for waiver in waivers if waiver.expires >= today]
    checked = [one for contract in contracts for one in _questions(contract, topology)]
    return [replace(one, waived=tuple(waiver for waiver in valid if _covers(waiver, one))) for one in checked]


def expired(waivers: Iterable[Waiver], today: date) -> list[Waiver]:
    """Return the waivers whose day is over: each has to be renewed or taken away."""
    return [waiver for waiver in waivers if waiver.expires < today]


def _covers(waiver: Waiver, checked: Checked) -> bool:
    return waiver.contract == checked.contract and any(
        (waiver.rule, waiver.pointer) == (change.rule, change.pointer) for change in checked.changes
    )


def _questions(contract: Contract, topology: JsonObject | None) -> Iterator[Checked]:
    now = contract.current
    for then in contract.published or (now,):
        for question, writers, readers in (
            (f"writers of {then.version} to readers of today", then, now),
            (f"writers of today to readers of {then.version}", now, then),
        ):
            yield Checked(contract.name, question, tuple(understood(contract.name, writers, readers)))
        if topology is not None and then.binding is not None:
            found = [in_file(change, "topology.json") for change in unreachable(then.binding, topology)]
            yield Checked(contract.name, f"writers of {then.version} to queues of today", tuple(found))


def understood(name: str, writers: Release, readers: Release) -> list[Change]:
    """Return what keeps messages of one release's writers from another's readers; only `backward` counts."""
    found = [
        in_file(change, "schema.json")
        for change in _compared(name, writers, readers).changes
        if change.backward != Verdict.COMPATIBLE
    ]
    if writers.binding is not None and readers.binding is not None:
        found += [
            in_file(change, "binding.json") for change in sent_and_taken(writers.binding, readers.binding)
        ]
    return found


def _compared(name: str, writers: Release, readers: Release) -> Comparison:
    try:
        return compare(writers.writer_schema, readers.schema)
    except SchemaError as error:
        file = f"{name} {writers.version}, writer.schema.json"
        if error.side == "new":
            file = f"{name} {readers.version}, schema.json"
        raise SchemaError(error.pointer, error.fault, side=error.side, file=file) from error


def in_file(change: Change, file: str) -> Change:
    """Return the change with a pointer that names its file."""
    return replace(change, pointer=f"{file}#{change.pointer}")
