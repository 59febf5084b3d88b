"""The options that select dead letters, the same for every command of the group."""

import re
from datetime import timedelta
from typing import Any

import typer

from mailpact.settings import SettingsError
from mailpact_cli import options
from mailpact_consumer.dead_letter import Selection

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")


def ids_argument(metavar: str = "[ID]...") -> Any:
    """Declare the message ids."""
    return typer.Argument(
        metavar=metavar, help="Message ids, as `mailpact dead list` shows them.", show_default=False
    )


def code_option() -> Any:
    """Declare `--code`."""
    return options.text("--code", "CODE", "Only letters with this error code.")


def older_than_option() -> Any:
    """Declare `--older-than`."""
    return options.text("--older-than", "AGE", "Only letters that are older, for example 90s, 10m, 2h or 3d.")


def newer_than_option() -> Any:
    """Declare `--newer-than`."""
    return options.text("--newer-than", "AGE", "Only letters that are newer, for example 90s, 10m, 2h or 3d.")


def selection(
    ids: list[str] | None, code: str | None, older_than: str | None, newer_than: str | None
) -> Selection:
    """Return the selection that the options describe; raise SettingsError for an invalid age."""
    return Selection(
        ids=frozenset(given.lower() for given in ids or ()),
        code=code,
        older_than=_age("--older-than", older_than),
        newer_than=_age("--newer-than", newer_than),
    )


def refuse_everything(chosen: Selection, verb: str) -> None:
    """Raise SettingsError if no option selects letters, so that no command affects all letters by mistake."""
    if chosen == Selection():
        raise SettingsError(
            f"name the letters to {verb}: ids, --code, --older-than or --newer-than (--older-than 0s means all)"
        )


def _age(option: str, text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise SettingsError(
            f"{option} {text!r} is not an age; write a number and s, m, h or d, for example 2h"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
