"""Prints the result of a command, and ends the command with the right exit code."""

import json
from collections.abc import Callable

import typer
from rich.console import Console

from mailpact_cli.errors import WRONG


def report(result: object, show: Callable[[Console], None], *, as_json: bool, passes: bool = True) -> None:
    """Print the result as one JSON object, or let `show` print it for people.

    Raises typer.Exit with exit code 1 if `passes` is false.
    """
    if as_json:
        print(json.dumps(result))  # noqa: T201  # the result
    else:
        show(Console(soft_wrap=True, highlight=False, markup=False, emoji=False))
    if not passes:
        raise typer.Exit(WRONG)
