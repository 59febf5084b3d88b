"""Checks that programs of every published version of a contract understand each other.

For each published version, two questions are asked. Do the readers of today accept the messages of that version's
writers? Do that version's readers accept the messages of today's writers? This is a weaker demand than equal schemas. A
new optional member in the closed schema of the writers is a minor version, because readers ignore unknown members. A
reader may also demand a type of the new member, because no old writer ever sent the member. The same two questions are
asked about the exchange, the routing key, the content type, the AMQP properties, the limits and the queues.

An unproven change fails the check, unless a waiver names the change, a reason and the last day of the waiver. A change
that a document proves to be breaking cannot be waived.
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
    """One version of a contract; a contract that is a part of another contract's messages has no binding."""

    version: str
    schema: JsonObject
    writer_schema: JsonObject
    binding: JsonObject | None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract of one major version: its current files and its published versions."""

    name: str
    current: Release
    published: tuple[Release, ...]


@dataclass(frozen=True, slots=True)
class Waiver:
    """Lets one unproven change pass until the end of a day, for a stated reason."""

    contract: str
    rule: str
    pointer: str
    reason: str
    expires: date


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to one question; `changes` are those that are not compatible; their pointers name the file."""

    contract: str
    question: str
    changes: tuple[Change, ...]
    waived: tuple[Waiver, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the verdict before waivers are applied."""
        return worst(change.backward for change in self.changes)

    @property
    def passes(self) -> bool:
        """Return whether all changes are compatible, or unproven and waived."""
        names = {(waiver.rule, waiver.pointer) for waiver in self.waived}
        return all(
            change.backward == Verdict.UNPROVEN and (change.rule, change.pointer) in names
            for change in self.changes
        )


def check(
    contracts: Iterable[Contract], topology: JsonObject | None, waivers: Iterable[Waiver], today: date
) -> list[Checked]:
    """Ask every question about every contract; raises SchemaError, which names the contract and the file."""
    valid = [waiver for waiver in waivers if waiver.expires >= today]
    checked = [one for contract in contracts for one in _questions(contract, topology)]
    return [replace(one, waived=tuple(waiver for waiver in valid if _covers(waiver, one))) for one in checked]


def expired(waivers: Iterable[Waiver], today: date) -> list[Waiver]:
    """Return the waivers whose last day is over; a person must renew or remove each of them."""
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
    """Return the changes that keep the writers' messages from the readers; only the verdict `backward` counts."""
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
