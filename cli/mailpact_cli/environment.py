"""Reads the environment; no other module does. Reports misspelt variables, which would silently have no effect."""

import os
import re
import signal
from collections.abc import Collection
from pathlib import Path

from typer.core import TyperGroup

from mailpact.settings import SettingsError
from mailpact.telemetry import Journey, Point
from mailpact_cli.commands import variables
from mailpact_cli.options import ENVIRONMENT_PREFIX

FAULT_POINT_VARIABLE = "MAILPACT_FAULT_POINT"
TEST_VARIABLE_PREFIX = "MAILPACT_TEST_"
URL_VARIABLE_SUFFIX, FILE_VARIABLE_SUFFIX = "_URL", "_FILE"
URL_FILE_BYTES = 4096
MISSPELT_EDITS = 2
_KUBERNETES_VARIABLE = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT(_|$)")


def check_environment(group: TyperGroup, arguments: list[str]) -> None:
    """Read the files that `…_URL_FILE` variables name, and look for names that no command reads.

    Raises SettingsError for a name within two edits of a known one. Other unknown names, such as those that Kubernetes
    sets for a service called `mailpact`, are reported in one warning.
    """
    present = set_variables()
    if not present:
        return
    known: set[str] = set()
    if (
        arguments and arguments[0] in group.commands
    ):  # it is enough to import this command if the command reads all of them
        known = variables(group.commands[arguments[0]])
    if not {name.removesuffix("_FILE") for name in present} <= known:
        known = variables(group)
    read_url_files(known)
    unknown = sorted(set_variables() - known)
    for name in unknown:
        misspelt_variable(name, known)
    if unknown:
        import structlog

        from mailpact_cli.log_output import configure_logging

        configure_logging(verbose=False)
        structlog.get_logger().warning(
            "environment variables are ignored: no option has these names", names=unknown
        )


def new_journey() -> Journey:
    """Return a journey without watchers, but for the one that kills this process at the fault point of a crash test.

    The process ends with SIGKILL when the first message reaches the point: no handler runs and no buffer is written, as
    in a power failure. Raises SettingsError for an unknown point.
    """
    journey = Journey()
    text = os.environ.get(FAULT_POINT_VARIABLE)
    if not text:
        return journey
    try:
        fault_point = Point(text)
    except ValueError:
        known = ", ".join(Point)
        raise SettingsError(
            f"{FAULT_POINT_VARIABLE}={text!r} is not a point; the points are: {known}"
        ) from None

    def die(point: Point, _message_id: str) -> None:
        if point is fault_point:
            os.kill(os.getpid(), signal.SIGKILL)

    journey.watch(die)
    return journey


def read_url_files(known: Collection[str]) -> None:
    """Set each known variable `…_URL` from the file that the variable `…_URL_FILE` names.

    A URL may hold a password. Container platforms show variables to everybody with access to them, but not files.
    Raises SettingsError if the file has no URL, or if both variables are set.
    """
    for name in sorted(name for name in known if name.endswith(URL_VARIABLE_SUFFIX)):
        variable = name + FILE_VARIABLE_SUFFIX
        file = os.environ.pop(variable, None)
        if file is None:
            continue
        if os.environ.get(name):
            raise SettingsError(f"{name} and {variable} are both set; unset one of them")
        os.environ[name] = _only_line(variable, Path(file))


def set_variables() -> set[str]:
    """Return the names of the variables that begin with MAILPACT_, without those of the tests."""
    return {
        name
        for name in os.environ
        if name.startswith(ENVIRONMENT_PREFIX)
        and not name.startswith(TEST_VARIABLE_PREFIX)
        and name != FAULT_POINT_VARIABLE
    }


def misspelt_variable(name: str, known: Collection[str]) -> None:
    """Raise SettingsError if an unknown name is within two edits of a known one, and Kubernetes did not set it.

    Kubernetes sets `…_SERVICE_HOST`, `…_PORT` and others in every container for each service in its namespace.
    """
    if _KUBERNETES_VARIABLE.search(name):
        return
    files = (f"{each}{FILE_VARIABLE_SUFFIX}" for each in known if each.endswith(URL_VARIABLE_SUFFIX))
    for meant in sorted({*known, *files}):
        if _edits(name, meant) <= MISSPELT_EDITS:
            raise SettingsError(f"the environment variable {name} is unknown; {meant} is close to that name")


def _edits(left: str, right: str) -> int:
    """Return the edit distance of two texts: the number of inserted, removed or replaced characters."""
    row = list(range(len(right) + 1))
    for number, character in enumerate(left, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(right, 1):
            least = min(row[place] + 1, row[place - 1] + 1, before + (character != other))
            before, row[place] = row[place], least
    return row[-1]


def _only_line(variable: str, file: Path) -> str:
    named = f"{variable} names {str(file)!r}"
    try:
        if not file.is_file():  # reading from a pipe or a device might never end
            raise SettingsError(f"{named}, which is no file")
        with file.open("rb") as opened:
            text = opened.read(URL_FILE_BYTES + 1).decode().removesuffix("\n")
    except OSError as error:
        raise SettingsError(f"{named}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not 0 < len(text) <= URL_FILE_BYTES:
        raise SettingsError(f"{named}, which is not one line with a URL")
    return text
