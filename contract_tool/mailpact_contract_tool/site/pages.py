"""Makes the site's pages, by their paths. Sphinx renders them as HTML.

index.md                 an introduction, and a first message
contracts/…              a page for each contract, and one for its vectors
how-to/…                 taken from docs/how-to
errors/…  rules/…        a page for each error code and each rule
commands/…               a page for each command

The templates write the pages. Each text that a template shows is escaped, except a text that is Markdown already.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from mailpact_contract_tool.publish.bundle import key
from mailpact_contract_tool.publish.described import Described
from mailpact_contract_tool.site.markdown import (
    Markdown,
    apart,
    block,
    body,
    code,
    escaped,
    lowered,
    relinked,
    toctree,
)
from mailpact_contract_tool.site.members import members
from mailpact_contract_tool.site.vectors import vectors

_FILTERS = {
    "as_is": Markdown,
    "block": block,
    "body": body,
    "code": code,
    "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    "key": key,
    "lowered": lowered,
    "toctree": toctree,
}


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument of a command; `default` is empty if it has none."""

    words: str
    variable: str
    meaning: str
    default: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command by the words that call it, such as "mailpact contracts list"."""

    words: str
    help: str
    options: tuple[Option, ...]

    @property
    def page(self) -> str:
        """Return the name of its page."""
        return self.words.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the site is made from.

    `published` holds the published files. `rules` and `how_to` hold the pages of those folders by their paths without
    `.md`, and `templates` holds the templates by their names.
    """

    contracts: Sequence[Described]
    errors: Mapping[str, Mapping[str, str]]
    published: Mapping[str, bytes]
    rules: Mapping[str, str]
    how_to: Mapping[str, str]
    templates: Mapping[str, str]
    commands: Sequence[Command]
    archive: str


def pages(material: Material) -> dict[str, str]:
    """Return all pages, Markdown by its path; raises PublishedFileError for a vector that is no JSON object."""
    site, archive = _Site(material), material.archive
    start = _section(material.published.get("README.md", b"").decode(), "## Publish a message")
    start = site.taken(start, "contracts/README.md", "index.md")
    how_to = [f"how-to/{name}" for name in sorted(material.how_to)]
    return {
        "index.md": site.page("index", taken=start, how_to=how_to, archive=archive),
        "contracts/index.md": site.page("contracts", contracts=material.contracts),
        **dict(site.contracts()),
        **{
            f"how-to/{name}.md": site.taken(page, f"docs/how-to/{name}.md", f"how-to/{name}.md")
            for name, page in material.how_to.items()
        },
        "errors/index.md": site.page("errors", errors=material.errors),
        **dict(site.errors()),
        "rules/index.md": site.page("rules", rules=sorted(map(_rule, material.rules.items()))),
        **{
            _rule_page(path): apart(
                site.taken(page, f"contract_tool/rules/{path}.md", _rule_page(path))
                + "\n[All rules](index.md)\n"
            )
            for path, page in material.rules.items()
        },
        "commands/index.md": site.page("commands", commands=material.commands),
        **{f"commands/{one.page}.md": site.page("command", command=one) for one in material.commands},
    }


class _Site:
    """Writes pages from the material, by templates or from pages of the repository."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._places = _places(material)
        self._templates = Environment(  # noqa: S701  # the pages are Markdown, which `finalize` escapes
            loader=DictLoader(material.templates),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: value if isinstance(value, Markdown) else escaped(str(value)),
        )
        self._templates.filters |= _FILTERS

    def page(self, template: str, **values: Any) -> str:
        """Fill a template."""
        return self._templates.get_template(template).render(values)

    def taken(self, page: str, at: str, to: str) -> Markdown:
        """Return the repository's page at the path `at`, with links that are correct at the path `to` of the site."""
        return relinked(page, at=at, to=to, places=self._places)

    def contracts(self) -> Iterator[tuple[str, str]]:
        """Yield the page of each contract, and the page of its vectors."""
        for contract in self._material.contracts:
            page, readme = f"contracts/{key(contract.name)}", contract.files.get("README.md", b"").decode()
            values = {
                "contract": contract,
                "vectors": [*vectors(contract)],
                "members": members(contract.schemas["writer"]),
                "taken": self.taken(readme, f"contracts/{contract.name}/README.md", f"{page}.md"),
                "changelog": contract.files.get("CHANGELOG.md", b"").decode(),
            }
            yield f"{page}.md", self.page("contract", **values)
            yield f"{page}-vectors.md", self.page("vectors", **values)

    def errors(self) -> Iterator[tuple[str, str]]:
        """Yield the page of each error code, with the vectors that are refused with this code."""
        shown = [(contract, one) for contract in self._material.contracts for one in vectors(contract)]
        for name, error in self._material.errors.items():
            found = [(contract, one) for contract, one in shown if one.code == name]
            yield f"errors/{name}.md", self.page("error", name=name, error=error, vectors=found)


def _places(material: Material) -> dict[str, str]:
    """Return the page of the site for each path of the repository that a page links to."""
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


def _section(page: str, heading: str) -> str:
    """Return one section of a page, from its heading to the next heading of its level; "" if there is none."""
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    return f"{heading}\n{rest.partition(chr(10) + '## ')[0]}\n" if found else ""


def _rule_page(path: str) -> str:
    """Return the page of a rule on the site; the names of lint rules and of changes differ."""
    return f"rules/{path.rpartition('/')[2]}.md"


def _rule(path_and_page: tuple[str, str]) -> tuple[str, str, str]:
    """Return the name of a rule, the first sentence of its page as Markdown, and its category."""
    path, page = path_and_page
    category = next(
        (line.partition(":")[2] for line in page.splitlines() if line.startswith("Category:")), ""
    )
    paragraphs = [" ".join(part.split()) for part in page.split("\n\n")]
    said = next(
        (part for part in paragraphs if part and not part.startswith(("#", "Category:", "File:"))), ""
    )
    sentence = said.partition(". ")[0].removesuffix(".").replace("|", "\\|") + "."
    return path.rpartition("/")[2], sentence, category
