"""Writes the pages to look things up in: error codes, rules, commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailpact.contracts.catalogue import ErrorMeaning
from mailpact_contract_tool.publish.bundle import key
from mailpact_contract_tool.publish.described import Described
from mailpact_contract_tool.site.markdown import code, escaped, table
from mailpact_contract_tool.site.vectors import vectors


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
        """The name of its page."""
        return self.words.replace(" ", "-")


def errors_overview(errors: Mapping[str, ErrorMeaning]) -> str:
    """Write the page that lists the error codes."""
    rows = [(f"[{escaped(name)}]({name}.md)", escaped(error.meaning)) for name, error in errors.items()]
    return (
        "# Error codes\n\n"
        "Why a message became no mail. A dead letter says it in its headers: `x-error-code`, and where the schema "
        "refused, `x-error-pointer` and `x-error-keyword`. When several apply, the first of this list is reported.\n\n"
        + table(("code", "meaning"), rows)
    )


def error_page(name: str, error: ErrorMeaning, contracts: Sequence[Described]) -> str:
    """Write an error code's page, with the vectors that are refused with it."""
    parts = [
        f"# {escaped(name)}\n\n{escaped(error.meaning)}\n",
        f"## What the publisher should do\n\n{escaped(error.publisher)}\n",
    ]
    rows = [
        (
            code(f"{vector.folder}/{vector.name}"),
            escaped(vector.remark),
            f"[{escaped(contract.name)}](../contracts/{key(contract.name)}.md)",
        )
        for contract in contracts
        for vector in vectors(contract)
        if vector.code == name
    ]
    if rows:
        parts.append("## Vectors\n\n" + table(("vector", "what it shows", "contract"), rows))
    return "\n".join(parts)


def rules_overview(rules: Mapping[str, str]) -> str:
    """Write the page that lists the rules; `rules` holds their pages by "lint/NAME" and "changes/NAME"."""
    named = {path.rpartition("/")[2]: page for path, page in rules.items()}
    rows = [
        (f"[{escaped(name)}]({name}.md)", _first_sentence(page), escaped(_category(page)))
        for name, page in sorted(named.items())
    ]
    return (
        "# Rules\n\n"
        "What `mailpact contracts lint`, `diff` and `check` find, each with an example that breaks it and one that "
        "does not. A rule's name never changes.\n\n" + table(("rule", "what it says", "category"), rows)
    )


def _category(page: str) -> str:
    return next((line.partition(":")[2] for line in page.splitlines() if line.startswith("Category:")), "")


def _first_sentence(page: str) -> str:
    """Return the sentence that a rule's page begins with, after its title and category: Markdown, fit for a cell."""
    paragraphs = [" ".join(part.split()) for part in page.split("\n\n")]
    said = next(
        (part for part in paragraphs if part and not part.startswith(("#", "Category:", "File:"))), ""
    )
    return said.partition(". ")[0].removesuffix(".").replace("|", "\\|") + "."


def commands_overview(commands: Sequence[Command]) -> str:
    """Write the page that lists the commands."""
    rows = [(f"[{escaped(command.words)}]({command.page}.md)", escaped(command.help)) for command in commands]
    codes = (
        ("0", "done; also after Ctrl-C or SIGTERM"),
        ("1", "the thing that was checked is wrong"),
        ("2", "usage: an invalid option, variable or folder"),
        ("3", "a service cannot be reached, or a port that was asked for is in use"),
    )
    return (
        "# Commands\n\n"
        "Every option is an environment variable too; an option wins over a variable. Results go to standard output, "
        "logs and errors to standard error.\n\n"
        + table(("command", "does"), rows)
        + "\n## Exit codes\n\n"
        + table(("code", "means"), codes)
    )


def command_page(command: Command) -> str:
    """Write a command's page."""
    rows = [
        (
            code(option.words),
            escaped(option.meaning),
            escaped(option.default),
            code(option.variable) if option.variable else "",
        )
        for option in command.options
    ]
    return f"# {escaped(command.words)}\n\n{escaped(command.help)}\n\n" + table(
        ("option", "meaning", "default", "variable"), rows
    )
