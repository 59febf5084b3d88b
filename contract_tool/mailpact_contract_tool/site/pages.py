"""Puts the site's pages together, by their paths: what Sphinx makes HTML of.

index.md                 what it is, and a message in one minute
contracts/…              a page for each contract, and one for its vectors
how-to/…                 taken from docs/how-to
errors/…  rules/…        a page for each error code and each rule
commands/…               a page for each command
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailpact.contracts.catalogue import ErrorMeaning
from mailpact_contract_tool.publish.bundle import key
from mailpact_contract_tool.publish.described import Described
from mailpact_contract_tool.site import contract_pages, reference_pages
from mailpact_contract_tool.site.markdown import apart, relinked, toctree
from mailpact_contract_tool.site.reference_pages import Command

_START = """\
# Mailpact's contracts

Mailpact turns messages into mail: a program in any language publishes a small JSON message, and exactly the mail that
its contract promises is sent. Here is what such a program needs to know.

"""
_WRITE = "- **Write the program:** [publish a mail](how-to/publish.md), with whole programs in several languages.\n"
_NEXT = """
## What next

{write}- **Take the files:** [the tarball and its hash](#the-tarball) hold schemas, vectors and types for your build.
- **Know the contract:** [every contract](contracts/index.md), member by member.
- **A message was refused?** [Its error code](errors/index.md) says what to do.
- **Change a contract?** [The rules](rules/index.md) say what breaks whom; [the commands](commands/index.md) check it.

## The tarball

[{archive}](files/{archive}) with its [SHA-256](files/{archive}.sha256). It is the same, byte for byte, wherever it is
made from these contracts. [asyncapi.json](files/asyncapi.json) says the same as an AsyncAPI 3 document.

"""


@dataclass(frozen=True, slots=True)
class Material:
    """All that the site is made from.

    `published` are the published files, `rules` and `how_to` the pages of those folders by their paths without `.md`.
    """

    contracts: Sequence[Described]
    errors: Mapping[str, ErrorMeaning]
    published: Mapping[str, bytes]
    rules: Mapping[str, str]
    how_to: Mapping[str, str]
    commands: Sequence[Command]
    archive: str


def pages(material: Material) -> dict[str, str]:
    """Return all pages, Markdown by its path."""
    places = _places(material)
    return {
        "index.md": _index(material, places),
        **_contracts(material, places),
        **{
            f"how-to/{name}.md": relinked(
                page, at=f"docs/how-to/{name}.md", to=f"how-to/{name}.md", places=places
            )
            for name, page in material.how_to.items()
        },
        **_errors(material),
        **_rules(material, places),
        **_commands(material),
    }


def _places(material: Material) -> dict[str, str]:
    """Say where what the repository's pages link to stands on this site."""
    return {
        **{
            f"contracts/{path}": f"files/contracts/{path}"
            for path in material.published
            if path.endswith(".json")
        },
        "contracts/README.md": "index.md",
        "contracts/errors.json": "errors/index.md",
        "docs/command.md": "commands/index.md",
        "contract_tool/rules": "rules/index.md",
        **{f"contract_tool/rules/{path}.md": _rule_page(path) for path in material.rules},
        **{f"docs/how-to/{name}.md": f"how-to/{name}.md" for name in material.how_to},
        **{
            f"contracts/{contract.name}/{path}": f"contracts/{key(contract.name)}{page}.md"
            for contract in material.contracts
            for path, page in {"README.md": "", "CHANGELOG.md": "", "vectors": "-vectors"}.items()
        },
    }


def _index(material: Material, places: Mapping[str, str]) -> str:
    words = material.published.get("README.md", b"").decode()
    taken = _section(words, "## Publish a message")
    how_to = [f"how-to/{name}" for name in sorted(material.how_to)]
    write = _WRITE if "publish" in material.how_to else ""
    return (
        _START
        + relinked(taken, at="contracts/README.md", to="index.md", places=places)
        + _NEXT.format(archive=material.archive, write=write)
        + toctree(["contracts/index"], hidden=True)
        + (toctree(how_to, caption="How to", hidden=True) if how_to else "")
        + toctree(["errors/index", "rules/index", "commands/index"], caption="Look up", hidden=True)
    )


def _section(page: str, heading: str) -> str:
    """Return one section of a page, from its heading to the next of its level; empty if it is not there."""
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    return f"{heading}\n{rest.partition(chr(10) + '## ')[0]}\n" if found else ""


def _contracts(material: Material, places: Mapping[str, str]) -> dict[str, str]:
    names = [key(contract.name) for contract in material.contracts]
    written = {
        "contracts/index.md": contract_pages.overview(material.contracts) + "\n" + toctree(names, hidden=True)
    }
    for contract, name in zip(material.contracts, names, strict=True):
        page = f"contracts/{name}.md"
        taken = relinked(
            contract.files.get("README.md", b"").decode(),
            at=f"contracts/{contract.name}/README.md",
            to=page,
            places=places,
        )
        written[page] = (
            contract_pages.contract_page(contract, taken=taken)
            + "\n"
            + toctree([f"{name}-vectors"], hidden=True)
        )
        written[f"contracts/{name}-vectors.md"] = contract_pages.vectors_page(contract)
    return written


def _errors(material: Material) -> dict[str, str]:
    overview = reference_pages.errors_overview(material.errors) + "\n" + toctree(material.errors, hidden=True)
    return {
        "errors/index.md": overview,
        **{
            f"errors/{name}.md": reference_pages.error_page(name, error, material.contracts)
            for name, error in material.errors.items()
        },
    }


def _rule_page(path: str) -> str:
    """Return where the page of a rule stands on the site: the names of lint rules and of changes differ."""
    return f"rules/{path.rpartition('/')[2]}.md"


def _rules(material: Material, places: Mapping[str, str]) -> dict[str, str]:
    return {
        "rules/index.md": reference_pages.rules_overview(material.rules),
        **{
            _rule_page(path): apart(
                relinked(page, at=f"contract_tool/rules/{path}.md", to=_rule_page(path), places=places)
                + "\n[All rules](index.md)\n"
            )
            for path, page in material.rules.items()
        },
    }


def _commands(material: Material) -> dict[str, str]:
    names = [command.page for command in material.commands]
    overview = reference_pages.commands_overview(material.commands) + "\n" + toctree(names, hidden=True)
    return {
        "commands/index.md": overview,
        **{
            f"commands/{command.page}.md": reference_pages.command_page(command)
            for command in material.commands
        },
    }
