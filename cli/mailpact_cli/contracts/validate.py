"""`mailpact contracts validate`: checks a body against a contract, and never shows the content of the body."""

from pathlib import Path
from typing import Annotated

import typer

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact_cli import options
from mailpact_cli.body_file import read_body
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import (
    advice,
    find_contract,
    folder_option,
    limits_of,
    read_contracts,
    validator,
)


def validate(
    name: Annotated[
        str, typer.Argument(metavar="CONTRACT", help="The name of the contract, such as email/1.")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file with the message body; - means standard input.")
    ],
    writer: Annotated[
        bool,
        options.flag("--writer", "Check against the schema for writers; by default, the schema for readers."),
    ] = False,
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Check a body against a contract: exit code 0 if the body obeys the contract, 1 if not."""
    catalogue = read_contracts(contracts)
    contract = find_contract(catalogue, name)
    refusal = _refusal(catalogue, contract, file, writer=writer)
    result = _result(name, refusal, writer=writer)
    text = _sentence(name, file, refusal, catalogue, writer=writer)
    report(result, lambda console: console.print(text), as_json=as_json, passes=refusal is None)


def _refusal(catalogue: Catalogue, contract: Contract, file: Path, *, writer: bool) -> Refusal | None:
    schema, limits = validator(catalogue, contract, writer=writer), limits_of(catalogue, contract)
    body = read_body(file, limits.max_body_bytes + 1)
    if len(body) > limits.max_body_bytes:
        detail = f"the body has more than the {limits.max_body_bytes} bytes allowed"
        return Refusal(ErrorCode.TOO_LARGE, detail=detail)
    value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    return value if isinstance(value, Refusal) else schema.check(value)


def _result(name: str, refusal: Refusal | None, *, writer: bool) -> dict[str, str | bool | None]:
    said = ("code", "pointer", "keyword", "detail")
    return {
        "contract": name,
        "side": "writer" if writer else "reader",
        "valid": refusal is None,
        **{word: getattr(refusal, word) if refusal else None for word in said},
    }


def _sentence(name: str, file: Path, refusal: Refusal | None, catalogue: Catalogue, *, writer: bool) -> str:
    what = "standard input" if str(file) == "-" else str(file)
    if refusal is None:
        return f"{what} obeys {name}" + (", as writers must" if writer else "")
    place = f" at {refusal.pointer or 'the whole body'}, {refusal.keyword}" if refusal.keyword else ""
    said = f"{what} breaks {name}: {refusal.code}{place}: {refusal.detail}"
    return f"{said}\n{advice(catalogue, refusal.code)}"
