"""Loads the published contracts: the same files that other teams take.

In a wheel they lie beside this module in `published/`, in a checkout in `contracts/` at its top. Nothing is copied into
code: whoever needs a limit, a name or an error code reads it here. A contract's own files are read when it is first
asked for: a consumer needs one contract, not all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mailpact.contracts.errors import (
    ErrorCode,
    NotAMessageError,
    PublishedFileError,
    Refusal,
    UnknownContractError,
)
from mailpact.contracts.parse import JsonObject, JsonValue, parse

MAX_FILE_BYTES = 1024 * 1024
MAX_FILE_DEPTH = 64

_T = TypeVar("_T")


class Status(StrEnum):
    """What its publisher says of a contract: use it, or move to a newer one."""

    DRAFT = "draft"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Limits:
    """How big a message may be; `max_depth` counts nested objects and arrays, the outermost is the first."""

    max_body_bytes: int
    max_depth: int
    max_headers_bytes: int


@dataclass(frozen=True, slots=True)
class Property:
    """One AMQP property: `writers` is "required", "expected" or "optional".

    `value` is the only value that is allowed, and `pattern` what a text has to match; None where nothing is fixed.
    """

    name: str
    writers: str
    value: str | int | None
    pattern: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Binding:
    """How a contract travels over AMQP.

    `routing_key` and `content_type` are what writers send; the plural names and the `_optional` ones say what readers
    take. A routing key may name members of the body: in "{/event}" the value of `event`, in lower case, stands
    for the braces.
    Content types and encodings are in lower case, without parameters. `mandatory` says that a message has to reach a
    queue.
    """

    contract: str
    exchange: str
    type: str
    type_optional: bool
    routing_key: str
    routing_keys: tuple[str, ...]
    content_type: str
    content_types: tuple[str, ...]
    content_type_optional: bool
    content_encodings: tuple[str, ...]
    content_encoding_optional: bool
    mandatory: bool
    limits: Limits
    properties: tuple[Property, ...]

    def refuse(
        self,
        type: str | None,  # noqa: A002  # AMQP's word
        content_type: str | None,
        content_encoding: str | None,
    ) -> Refusal | None:
        """Return why readers refuse a message with these AMQP properties, or None; an empty property is an absent one.

        The media type is compared without case and parameters (RFC 9110, section 8.3.1).
        """
        if (type or "") != self.type and (type or not self.type_optional):
            return Refusal(
                ErrorCode.UNSUPPORTED_VERSION, detail=f"the type property does not name {self.contract}"
            )
        media_type = (content_type or "").partition(";")[0].strip(" \t").lower()
        if media_type not in self.content_types and (media_type or not self.content_type_optional):
            return Refusal(
                ErrorCode.UNSUPPORTED_CONTENT_TYPE,
                detail=f"the content type is none of: {', '.join(self.content_types)}",
            )
        encoding = (content_encoding or "").lower()
        if encoding not in self.content_encodings and (encoding or not self.content_encoding_optional):
            return Refusal(ErrorCode.UNSUPPORTED_CONTENT_ENCODING, detail="the body must not be encoded")
        return None


@dataclass(frozen=True, slots=True)
class Contract:
    """One published contract: `schema` is what readers accept (open), `writer_schema` what writers obey (closed).

    A template's data do not travel by themselves: they have no binding, and `part_of` names the contract whose
    messages carry them.
    """

    name: str
    major: int
    version: str
    status: Status
    schema: JsonObject
    writer_schema: JsonObject
    binding: Binding | None
    part_of: str | None

    @property
    def wire(self) -> Binding:
        """Return the binding of a contract that travels by itself; raises NotAMessageError for a part of one."""
        if self.binding is None:
            raise NotAMessageError(f"{self.name}/{self.major}", self.part_of)
        return self.binding


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to declare; `declared_by` names who does."""

    name: str
    type: str
    durable: bool
    declared_by: tuple[str, ...]

    @property
    def is_public(self) -> bool:
        """Return whether producers publish to the exchange and declare it too."""
        return "producer" in self.declared_by


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to declare with exactly these arguments; `declared_by` names who does."""

    name: str
    durable: bool
    arguments: Mapping[str, str | int | bool]
    declared_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueueBinding:
    """One route from an exchange to a queue."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """What stands in topology.json, in its order; declare exchanges, then queues, then bindings."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[QueueBinding, ...]

    def declared_by(self, who: str) -> "Topology":
        """Return what "producer", "site", "consumer" or "operator" declares: with the bindings between these."""
        exchanges = tuple(row for row in self.exchanges if who in row.declared_by)
        queues = tuple(row for row in self.queues if who in row.declared_by)
        names = {row.name for row in exchanges} | {row.name for row in queues}
        routes = tuple(row for row in self.bindings if {row.exchange, row.queue} <= names)
        return Topology(exchanges, queues, routes)


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """What an error code means, and what the publisher should do about it."""

    meaning: str
    publisher: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """What index.json says of one contract; paths are below its folder."""

    name: str
    major: int
    version: str
    status: Status
    schema: str
    writer_schema: str
    binding: str | None
    part_of: str | None


class _Contracts(Mapping[str, Contract]):
    """The contracts by their names, in the order of index.json, each read when it is first asked for."""

    __slots__ = ("_entries", "_loaded", "_root")

    def __init__(self, root: Path, entries: Mapping[str, _Entry]) -> None:
        self._root = root
        self._entries = entries
        self._loaded: dict[str, Contract] = {}

    def __getitem__(self, name: str) -> Contract:
        if name not in self._loaded:
            self._loaded[name] = _contract(self._root, self._entries[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All published contracts by their names ("email/1"), the topology, and the error codes in their order.

    `root` is the folder they were read from. Asking `contracts` for one reads its files, the first time, and raises
    PublishedFileError if they are damaged.
    """

    contracts: Mapping[str, Contract]
    topology: Topology
    error_codes: Mapping[ErrorCode, ErrorMeaning]
    root: Path = field(compare=False)

    def contract(self, name: str) -> Contract:
        """Return the contract of that name, such as "email/1"; raises UnknownContractError, PublishedFileError."""
        try:
            return self.contracts[name]
        except KeyError:
            raise UnknownContractError(name, tuple(self.contracts)) from None

    def limits(self, contract: Contract) -> Limits:
        """Return how big a body of the contract may be: for a part, what holds for the whole message."""
        if contract.binding is None and contract.part_of is not None:
            return self.contract(contract.part_of).wire.limits
        return contract.wire.limits


@cache
def load() -> Catalogue:
    """Return the contracts that are installed with this package; raises PublishedFileError if they are damaged."""
    return read(installed_folder())


def installed_folder() -> Path:
    """Return the folder of the contracts that are installed with this package."""
    here = Path(__file__)
    installed = here.with_name("published")
    return installed if installed.is_dir() else here.parents[2] / "contracts"


def read(root: Path) -> Catalogue:
    """Read the published files below `root`, those that index.json names; raises PublishedFileError."""
    return Catalogue(
        contracts=_Contracts(root, read_file(root / "index.json", _entries)),
        topology=read_file(root / "topology.json", topology_of),
        error_codes=read_file(root / "errors.json", _error_codes),
        root=root,
    )


def read_file(path: Path, build: Callable[[Any], _T]) -> _T:
    """Return what `build` makes of a published JSON file; raises PublishedFileError."""
    document = _document(path)
    try:
        return build(document)
    except (KeyError, TypeError, ValueError) as error:
        raise PublishedFileError(path, f"is not of the published form: {error!r}") from error


def _document(path: Path) -> Any:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise PublishedFileError(path, f"cannot be read: {error.strerror}") from error
    document = parse_file(body)
    if isinstance(document, Refusal):
        raise PublishedFileError(path, document.detail)
    return document


def parse_file(body: bytes) -> JsonValue | Refusal:
    """Return the value that a published JSON file holds, or why the file is refused: too large, too deep, not JSON."""
    return parse(body, max_bytes=MAX_FILE_BYTES, max_depth=MAX_FILE_DEPTH)


def _entries(document: dict[str, Any]) -> dict[str, _Entry]:
    return {f"{row['name']}/{row['major']}": _entry(row) for row in document["contracts"]}


def _entry(row: dict[str, Any]) -> _Entry:
    version, status = row["version"], Status(row["status"])
    schemas = row["schema"], row["writer_schema"]
    return _Entry(row["name"], row["major"], version, status, *schemas, row["binding"], row.get("part_of"))


def _contract(root: Path, entry: _Entry) -> Contract:
    return Contract(
        name=entry.name,
        major=entry.major,
        version=entry.version,
        status=entry.status,
        schema=read_file(root / entry.schema, schema_of),
        writer_schema=read_file(root / entry.writer_schema, schema_of),
        binding=None if entry.binding is None else read_file(root / entry.binding, binding_of),
        part_of=entry.part_of,
    )


def schema_of(document: Any) -> JsonObject:
    """Return a schema; raises TypeError if it is no object."""
    if not isinstance(document, dict):
        raise TypeError("a schema is an object")
    return document


def binding_of(document: Any) -> Binding:
    """Return what a binding.json states; raises KeyError or TypeError if it is not of the published form."""
    writers, readers, limits = document["writers"], document["readers"], document["limits"]
    return Binding(
        contract=document["contract"],
        exchange=document["exchange"],
        type=document["type"],
        type_optional=readers["type_optional"],
        routing_key=writers["routing_key"],
        routing_keys=tuple(readers["routing_keys"]),
        content_type=writers["content_type"],
        content_types=tuple(readers["content_types"]),
        content_type_optional=readers["content_type_optional"],
        content_encodings=tuple(readers["content_encodings"]),
        content_encoding_optional=readers.get("content_encoding_optional", True),
        mandatory=writers.get("mandatory", True),
        limits=Limits(limits["max_body_bytes"], limits["max_depth"], limits["max_headers_bytes"]),
        properties=tuple(_property(row) for row in document["properties"]),
    )


def _property(row: dict[str, Any]) -> Property:
    return Property(row["name"], row["writers"], row.get("value"), row.get("pattern"), row.get("meaning", ""))


def topology_of(document: Any) -> Topology:
    """Return what a topology.json declares; raises KeyError or TypeError if it is not of the published form."""
    return Topology(
        exchanges=tuple(_exchange(row) for row in document["exchanges"]),
        queues=tuple(_queue(row) for row in document["queues"]),
        bindings=tuple(
            QueueBinding(row["exchange"], row["queue"], row["routing_key"]) for row in document["bindings"]
        ),
    )


def _exchange(row: dict[str, Any]) -> Exchange:
    return Exchange(row["name"], row["type"], row["durable"], tuple(row["declared_by"]))


def _queue(row: dict[str, Any]) -> Queue:
    return Queue(row["name"], row["durable"], row["arguments"], tuple(row["declared_by"]))


def _error_codes(document: dict[str, Any]) -> dict[ErrorCode, ErrorMeaning]:
    return {
        ErrorCode(row["code"]): ErrorMeaning(row["meaning"], row["publisher"]) for row in document["errors"]
    }
