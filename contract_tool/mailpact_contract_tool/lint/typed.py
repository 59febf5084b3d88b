"""Makes values of documents whose form has been checked."""

from typing import Any

from mailpact.contracts.catalogue import Exchange, Queue, QueueBinding, Topology
from mailpact_contract_tool.lint.binding_rules import Binding, Property
from mailpact_contract_tool.lint.history_rules import Entry


def topology_of(document: Any) -> Topology:
    """Return the topology that topology.json declares; members that its form does not name are let through."""
    return Topology(
        tuple(
            Exchange(row["name"], row["type"], row["durable"], tuple(row["declared_by"]))
            for row in document["exchanges"]
        ),
        tuple(
            Queue(row["name"], row["durable"], row["arguments"], tuple(row["declared_by"]))
            for row in document["queues"]
        ),
        tuple(
            QueueBinding(row["exchange"], row["queue"], row["routing_key"]) for row in document["bindings"]
        ),
    )


def entries_of(document: Any) -> list[Entry]:
    """Return the contracts of index.json."""
    return [
        Entry(
            number=number,
            name=row["name"],
            major=row["major"],
            version=row["version"],
            status=row["status"],
            deprecated=row.get("deprecated"),
            hashes={file["path"]: file["sha256"] for file in row["files"]},
        )
        for number, row in enumerate(document["contracts"])
    ]


def binding_of(document: Any) -> Binding:
    """Return the binding that a binding.json states."""
    writers, readers, limits = document["writers"], document["readers"], document["limits"]
    return Binding(
        contract=document["contract"],
        exchange=document["exchange"],
        type=document["type"],
        is_type_optional=readers["type_optional"],
        writer_key=writers["routing_key"],
        reader_keys=tuple(readers["routing_keys"]),
        writer_content_type=writers["content_type"],
        reader_content_types=tuple(readers["content_types"]),
        is_content_type_optional=readers["content_type_optional"],
        content_encodings=tuple(readers["content_encodings"]),
        is_mandatory=writers.get("mandatory", True),
        max_body_bytes=limits["max_body_bytes"],
        max_depth=limits["max_depth"],
        properties=tuple(
            Property(row["name"], row["writers"] == "required", row.get("value"), row.get("pattern"))
            for row in document["properties"]
        ),
    )
