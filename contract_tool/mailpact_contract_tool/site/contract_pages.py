"""Writes a contract's pages: what it is, member by member, how it travels, and its vectors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mailpact_contract_tool.publish.bundle import key
from mailpact_contract_tool.publish.described import Described
from mailpact_contract_tool.site.markdown import block, body, code, escaped, lowered, table
from mailpact_contract_tool.site.members import Member, members
from mailpact_contract_tool.site.vectors import Vector, vectors


def overview(contracts: Sequence[Described]) -> str:
    """Write the page that lists the contracts."""
    rows = [
        (
            f"[{escaped(contract.name)}]({key(contract.name)}.md)",
            escaped(str(contract.schemas["reader"].get("description", ""))),
            escaped(contract.version),
            escaped(contract.status),
            code(_binding(contract)["exchange"]) if contract.binding else "",
        )
        for contract in contracts
    ]
    return "# Contracts\n\n" + table(("contract", "what it is", "version", "status", "exchange"), rows)


def contract_page(contract: Described, *, taken: str) -> str:
    """Write a contract's page; `taken` is its README, its links already led to this site."""
    parts = [
        f"# {escaped(contract.name)}\n",
        escaped(str(contract.schemas["writer"].get("description", ""))) + "\n",
        table(("", ""), _facts(contract)),
        *_members(members(contract.schemas["writer"])),
        *_example(contract),
        *(_travel(_binding(contract)) if contract.binding else ()),
        _files(contract),
        "## In words\n\n" + lowered(body(taken)) if taken else "",
        "## Changes\n\n" + lowered(body(_text(contract, "CHANGELOG.md"))),
    ]
    return "\n".join(part for part in parts if part)


def vectors_page(contract: Described) -> str:
    """Write the page that lists a contract's vectors."""
    sections = (
        ("valid", "Taken", "What readers take."),
        ("invalid", "Refused", "What breaks the contract. Run your validator against all of these."),
        ("refused", "Taken by the schema, refused by the consumer", "What a schema alone cannot tell."),
    )
    found = list(vectors(contract))
    return f"# Vectors of {escaped(contract.name)}\n\n" + "\n".join(
        f"## {title}\n\n{words}\n\n{_vectors([vector for vector in found if vector.folder == folder])}"
        for folder, title, words in sections
        if any(vector.folder == folder for vector in found)
    )


def _vectors(found: Sequence[Vector]) -> str:
    refused = any(vector.code for vector in found)
    rows = [
        (
            code(vector.name),
            escaped(vector.remark),
            code(vector.rule),
            *([_refusal(vector)] if refused else []),
        )
        for vector in found
    ]
    return table(("vector", "what it shows", "rule", *(["refused with"] if refused else [])), rows)


def _refusal(vector: Vector) -> str:
    where = (
        ""
        if vector.pointer is None
        else f" at {code(vector.pointer) if vector.pointer else 'the whole body'}"
    )
    why = f" by {code(vector.keyword)}" if vector.keyword else ""
    return f"[{escaped(vector.code)}](../errors/{vector.code}.md){where}{why}"


def _facts(contract: Described) -> Iterator[tuple[str, str]]:
    yield "version", escaped(f"{contract.version}, {contract.status}")
    if contract.binding is None:
        yield "travels", "inside a message of another contract"
    else:
        binding = _binding(contract)
        writers = binding["writers"]
        yield "exchange", code(binding["exchange"])
        yield "routing key", code(writers["routing_key"]) if writers["routing_key"] else "empty"
        yield "type", code(binding["type"])
        yield (
            "body",
            f"at most {binding['limits']['max_body_bytes']:,} bytes of {code(writers['content_type'])}",
        )
        yield "nesting", f"at most {binding['limits']['max_depth']} objects and arrays"
        yield "headers", f"at most {binding['limits']['max_headers_bytes']:,} bytes"
    count = sum(path.startswith("vectors/") for path in contract.files)
    yield "vectors", f"[{count}]({key(contract.name)}-vectors.md)"


def _members(rows: Sequence[Member]) -> Iterator[str]:
    yield "## Members\n\nWhat writers send, and nothing else. Readers take all that is below and ignore what is not.\n"
    yield table(
        ("member", "meaning", "type", "limits"),
        [
            (
                code(row.path),
                escaped(row.description),
                escaped(row.type) + (", **required**" if row.required else ""),
                escaped(row.limits),
            )
            for row in rows
        ],
    )
    patterns = {row.path: row.pattern for row in rows if row.pattern}
    if patterns:
        # A pattern is one long word, which no table has room for.
        yield "### Patterns\n"
        yield block("\n".join(f"{path}\n    {pattern}" for path, pattern in patterns.items()))


def _example(contract: Described) -> Iterator[str]:
    examples: Any = contract.schemas["writer"].get("examples", [])
    if examples:
        yield "## Example\n"
        yield from (block(json.dumps(example, indent=2, ensure_ascii=False), "json") for example in examples)


def _travel(binding: dict[str, Any]) -> Iterator[str]:
    yield "## AMQP properties\n"
    yield table(
        ("property", "meaning", "writers", "value"),
        [
            (
                code(row["name"]),
                escaped(row.get("meaning", "")),
                escaped(row["writers"]),
                code(str(row["value"])) if "value" in row else "",
            )
            for row in binding["properties"]
        ],
    )
    mandatory = (
        "and as `mandatory`, so that none is lost in silence"
        if _is_mandatory(binding)
        else "not as `mandatory`"
    )
    yield f"Publish with confirms, {mandatory}.\n"
    yield "### What readers take besides\n"
    yield table(
        ("", ""),
        [(escaped(word.replace("_", " ")), _value(value)) for word, value in binding["readers"].items()],
    )


def _is_mandatory(binding: dict[str, Any]) -> bool:
    return bool(binding["writers"].get("mandatory", True))


def _value(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(code(str(each)) if each else "empty" for each in value)
        case _:
            return code(str(value))


def _files(contract: Described) -> str:
    name = key(contract.name)
    return (
        "## Files\n\n"
        f"- [{name}.writer.json](../files/schemas/{name}.writer.json): validate with it before you publish\n"
        f"- [{name}.reader.json](../files/schemas/{name}.reader.json): validate with it what you read\n"
        f"- [{name}.d.ts](../files/types/{name}.d.ts): TypeScript types\n"
    )


def _text(contract: Described, path: str) -> str:
    return contract.files.get(path, b"").decode()


def _binding(contract: Described) -> dict[str, Any]:
    binding: Any = contract.binding
    return dict(binding)
