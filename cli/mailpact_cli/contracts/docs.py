"""`mailpact contracts docs`: the documentation as a static site."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from mailpact_cli import options
from mailpact_cli.commands import commands
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import folder_option, out_option, read_contracts

if TYPE_CHECKING:
    from mailpact_contract_tool.site.pages import Command, Option


def docs(
    context: typer.Context,
    out: Annotated[Path, out_option()],
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Write the documentation of the contracts as a static site; needs the extra `docs`."""
    from mailpact_contract_tool.publish.edition import CHECKSUMS, checksums, edition, laid_out
    from mailpact_contract_tool.publish.writing import read_published, refuse_what_is_not_ours, write_folder
    from mailpact_contract_tool.site.build import html, refuse_without_sphinx
    from mailpact_contract_tool.site.material import material
    from mailpact_contract_tool.site.pages import pages

    refuse_without_sphinx()
    refuse_what_is_not_ours(out)  # before the site is built, because the build takes seconds
    catalogue = read_contracts(contracts)
    published = read_published(catalogue.root)
    whole = edition(published, catalogue, release=version("mailpact"))
    written = pages(
        material(
            catalogue,
            published,
            commands=commands_described(context.find_root().command),
            archive=whole.archive_name,
        )
    )
    site = html(written, laid_out(whole))
    write_folder(out, {**site, CHECKSUMS: checksums(site)})
    start = out / "index.html"
    result = {"out": str(out), "start": str(start), "pages": sorted(written)}
    report(result, lambda console: console.print(f"{len(written)} pages; start at {start}"), as_json=as_json)


def commands_described(root: object) -> "tuple[Command, ...]":
    """Describe every command below the group `mailpact` as its page shows it."""
    from mailpact_contract_tool.site.pages import Command

    return tuple(
        Command(f"mailpact {words}", command.help or "", tuple(_options(command)))
        for words, command in commands(root).items()
    )


def _options(command: TyperCommand | TyperGroup) -> "Iterator[Option]":
    from mailpact_contract_tool.site.pages import Option

    for parameter in command.params:
        named = parameter.param_type_name == "option"
        words = ", ".join(parameter.opts) if named else (parameter.metavar or str(parameter.name).upper())
        if words == "--help":
            continue
        default = parameter.default
        yield Option(
            words=words,
            variable=parameter.envvar if isinstance(parameter.envvar, str) else "",
            meaning=str(getattr(parameter, "help", None) or ""),
            default="required" if parameter.required else "" if default in (None, False) else str(default),
        )
