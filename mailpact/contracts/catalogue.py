"""Loads the published contracts, the same files that other teams use.

A wheel has these files beside this module in `published/`, a checkout has them in `contracts/`. Limits, names and error
codes stand only in these files, never in code. The files of one contract are read when a program first needs it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a message may be; `max_depth` counts nested objects and arrays, the outermost is the first."""

    max_body_bytes: int
    max_depth: int
    max_headers_bytes: int


@dataclass(frozen=True, slots=True)
class Property:
    """One AMQP property: `writers` is "required", "expected" or "optional".

    `value` is the only allowed value, and a text must match `pattern`; each is None if the contract does not limit it.
    """

    name: str
    writers: str
    value: str | int | None
    pattern: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Binding:
    """How messages of a contract are sent over AMQP.

    Writers send `routing_key` and `content_type`; the plural names and the `_optional` names say what readers accept. A
    routing key may name members of the body: in "{/event}" the braces stand for the value of `event` in lower case.
    Content types and encodings are in lower case, without parameters. `mandatory`: a message must reach a queue.
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
    """One published contract: readers accept what obeys `schema` (open), writers obey `writer_schema` (closed).

    The data of a template are not a message: they have no binding, and `part_of` names the contract whose messages
    carry the data.
    """

    name: str
    major: int
    version: str
    status: str
    schema: JsonObject
    writer_schema: JsonObject
    binding: Binding | None
    part_of: str | None

    @property
    def wire(self) -> Binding:
        """Return the binding of a contract of whole messages. Raises NotAMessageError for a part of a message."""
        if self.binding is None:
            raise NotAMessageError(
                f"{self.name}/{self.major} does not travel by itself;"
                f" publish a message of {self.part_of} that carries it"
            )
        return self.binding


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to declare, and the programs that declare it."""

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
    """A queue to declare with exactly these arguments, and the programs that declare it."""

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
    """The content of topology.json, in its order. Exchanges are declared first, then queues, then bindings."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[QueueBinding, ...]

    def declared_by(self, who: str) -> "Topology":
        """Return what "producer", "site", "consumer" or "operator" declares, with the bindings between these."""
        exchanges = tuple(row for row in self.exchanges if who in row.declared_by)
        queues = tuple(row for row in self.queues if who in row.declared_by)
        names = {row.name for row in exchanges} | {row.name for row in queues}
        routes = tuple(row for row in self.bindings if {row.exchange, row.queue} <= names)
        return Topology(exchanges, queues, routes)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All published contracts and the topology. `root` is the folder of the published files."""

    topology: Topology
    root: Path
    _readers: Mapping[str, Callable[[], Contract]]

    @property
    def names(self) -> Collection[str]:
        """Return the names of all contracts, such as "email/1", in the order of index.json."""
        return self._readers.keys()

    @property
    def contracts(self) -> dict[str, Contract]:
        """Return all contracts by their names. Raises PublishedFileError if a file is damaged."""
        return {name: self.contract(name) for name in self.names}

    def contract(self, name: str) -> Contract:
        """Return the contract of a name, read at the first call. Raises UnknownContractError, PublishedFileError."""
        if name not in self.names:
            raise UnknownContractError(name, tuple(self.names))
        return self._readers[name]()


@cache
def load() -> Catalogue:
    """Return the contracts that are installed with this package. Raises PublishedFileError if they are damaged."""
    return read(installed_folder())


def installed_folder() -> Path:
    """Return the folder of the contracts that are installed with this package."""
    here = Path(__file__)
    installed = here.with_name("published")
    return installed if installed.is_dir() else here.parents[2] / "contracts"


def read(root: Path) -> Catalogue:
    """Return the published contracts below `root`, those that index.json names. Raises PublishedFileError."""

    def readers(index: dict[str, Any]) -> dict[str, Callable[[], Contract]]:
        return {f"{row['name']}/{row['major']}": contract_reader(root, row) for row in index["contracts"]}

    topology = read_file(root / "topology.json", topology_of)
    return Catalogue(topology, root, read_file(root / "index.json", readers))


def parse_file(body: bytes) -> JsonValue | Refusal:
    """Return the value that a published JSON file holds, or why the file is refused: too large, too deep, not JSON."""
    return parse(body, max_bytes=MAX_FILE_BYTES, max_depth=MAX_FILE_DEPTH)


def read_file(path: Path, build: Callable[[Any], _T]) -> _T:
    """Return what `build` makes of a published JSON file. Raises PublishedFileError."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise PublishedFileError(path, f"cannot be read: {error.strerror}") from error
    document: Any = parse_file(body)
    if isinstance(document, Refusal):
        raise PublishedFileError(path, document.detail)
    try:
        return build(document)
    except (KeyError, TypeError, ValueError) as error:
        raise PublishedFileError(path, f"is not of the published form: {error!r}") from error


def contract_reader(root: Path, row: dict[str, Any]) -> Callable[[], Contract]:
    """Return a function that reads, once, the contract that a row of index.json names.

    Raises KeyError, TypeError or ValueError if the row has another form; the function raises PublishedFileError.
    """
    name, major, version, status = row["name"], row["major"], row["version"], row["status"]
    schema, writer_schema, part_of = root / row["schema"], root / row["writer_schema"], row.get("part_of")
    binding = None if row["binding"] is None else root / row["binding"]

    @cache
    def contract() -> Contract:
        return Contract(
            name=name,
            major=major,
            version=version,
            status=status,
            schema=read_file(schema, _schema),
            writer_schema=read_file(writer_schema, _schema),
            binding=None if binding is None else read_file(binding, binding_of),
            part_of=part_of,
        )

    return contract


def _schema(document: Any) -> JsonObject:
    if not isinstance(document, dict):
        raise TypeError("a schema is an object")
    return document


def binding_of(document: Any) -> Binding:
    """Return what a binding.json states. Raises KeyError or TypeError if the document has another form."""
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
        properties=tuple(
            Property(
                row["name"], row["writers"], row.get("value"), row.get("pattern"), row.get("meaning", "")
            )
            for row in document["properties"]
        ),
    )


def topology_of(document: Any) -> Topology:
    """Return what a topology.json declares. Raises KeyError or TypeError if the document has another form."""
    return Topology(
        exchanges=tuple(
            Exchange(row["name"], row["type"], row["durable"], tuple(row["declared_by"]))
            for row in document["exchanges"]
        ),
        queues=tuple(
            Queue(row["name"], row["durable"], row["arguments"], tuple(row["declared_by"]))
            for row in document["queues"]
        ),
        bindings=tuple(
            QueueBinding(row["exchange"], row["queue"], row["routing_key"]) for row in document["bindings"]
        ),
    )
