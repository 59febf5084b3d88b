"""The commands below a group, by the words that call them: for the docs, and for the check of the environment."""

from collections.abc import Iterator, Mapping

from typer.core import TyperCommand, TyperGroup


def commands(group: object) -> Mapping[str, TyperCommand]:
    """Return every command below a group by the words that call it, such as "contracts list"."""
    return dict(_below(group, ""))


def _below(group: object, words: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(group, TyperGroup):
        for name, command in group.commands.items():
            yield from _below(command, f"{words} {name}")
    elif isinstance(group, TyperCommand):
        yield words.strip(), group
