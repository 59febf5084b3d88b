"""`mailpact contracts diff OLD NEW`: what changed between two schemas or two contracts, and which programs break."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.contracts.parse import JsonValue
from mailpact_cli import options
from mailpact_cli.contracts.result import report

if TYPE_CHECKING:
    from mailpact_contract_tool.compare.verdict import Change, Comparison, NoWitness, Verdict

_LONGEST_WITNESS = 300  # characters that are shown to people; --json shows all
_COLOURS = {"compatible": "green", "breaking": "red", "unproven": "yellow"}
_WIDTH = max(map(len, _COLOURS))


def diff_contracts(
    old: Annotated[
        Path, typer.Argument(help="A schema, the folder of a contract, or the folder of several contracts.")
    ],
    new: Annotated[Path, typer.Argument(help="The newer schema or folder.")],
    raw: Annotated[
        bool,
        options.flag(
            "--raw", "Compare each file of OLD with the same file of NEW, not readers with writers."
        ),
    ] = False,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what changed between two schemas or contracts, and a document for each breaking change.

    Two folders of contracts are compared as `check` compares versions. `backward`: do the new readers accept the
    messages of the old writers? `forward`: do the old readers accept the messages of the new writers?
    """
    comparison = _compared(old, new, raw=raw)
    passes = comparison.full == "compatible"
    report(comparison.to_json(), lambda console: _show(console, comparison), as_json=as_json, passes=passes)


def _compared(old: Path, new: Path, *, raw: bool) -> "Comparison":
    from mailpact_contract_tool.check.folders import compare_folders
    from mailpact_contract_tool.check.reading import UnreadableDocument, compare_documents, read_schema
    from mailpact_contract_tool.folder.files import read_file, read_files

    for path in (old, new):
        if not path.exists():
            raise UnreadableDocument(f"{path}: there is no such file or folder")
    if old.is_dir() != new.is_dir():
        raise UnreadableDocument(f"{old} and {new}: give two files or two folders")
    if old.is_dir():
        return compare_folders(read_files(old), read_files(new), raw=raw)
    files = {str(path): read_file(path) for path in (old, new)}
    before, after = (read_schema(files, str(path)) for path in (old, new))
    return compare_documents(before, after, str(old), str(new))


def _show(console: Console, comparison: "Comparison") -> None:
    show_changes(console, comparison.changes)
    for reason in sorted(comparison.reasons):
        console.print(f"not proved: {reason}")
    for word in ("backward", "forward", "full"):
        verdict: Verdict = getattr(comparison, word)
        console.print(Text.assemble(f"{word:9}", coloured(verdict)))


def coloured(verdict: "Verdict") -> tuple[str, str]:
    """Return a verdict with its colour."""
    return verdict.value, _COLOURS[verdict]


def show_changes(console: Console, changes: "tuple[Change, ...]") -> None:
    """Print a table of the changes, and a line for each document that shows a break."""
    if not changes:
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("rule", min_width=max(len(change.rule) for change in changes))
    table.add_column("pointer", overflow="fold")
    table.add_column("backward", min_width=_WIDTH)
    table.add_column("forward", min_width=_WIDTH)
    for change in changes:
        verdicts = [Text(*coloured(verdict)) for verdict in (change.backward, change.forward)]
        table.add_row(change.rule, Text(change.pointer or "the whole"), *verdicts)
    console.print(table)
    for change in changes:
        for line in _witness_lines(change):
            console.print(line)


def _witness_lines(change: "Change") -> Iterator[Text]:
    from mailpact_contract_tool.compare.verdict import NO_WITNESS

    for witness, accepts, refuses in (
        (change.witness_backward, "old", "new"),
        (change.witness_forward, "new", "old"),
    ):
        if witness is not NO_WITNESS:
            where = f"{change.rule} {change.pointer or 'the whole'}"
            yield Text(f"{where}: {accepts} accepts, {refuses} refuses: {_shortened(witness)}")


def _shortened(witness: "JsonValue | NoWitness") -> str:
    from mailpact_contract_tool.compare.verdict import NO_WITNESS

    text = json.dumps(None if witness is NO_WITNESS else witness, ensure_ascii=False)
    rest = len(text) - _LONGEST_WITNESS
    return text if rest <= 0 else f"{text[:_LONGEST_WITNESS]}... ({rest} more characters)"
