"""Checks the environment before a command runs: a variable with a misspelt name would silently have no effect."""

from typer.core import TyperGroup

from mailpact.settings import misspelt_variable, read_url_files, set_variables
from mailpact_cli.commands import variables


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
    ):  # importing this command is enough if it reads all of them
        known = variables(group.commands[arguments[0]])
    if not {name.removesuffix("_FILE") for name in present} <= known:
        known = variables(group)
    read_url_files(known)
    unknown = sorted(set_variables() - known)
    for name in unknown:
        misspelt_variable(name, known)
    if unknown:
        import structlog

        from mailpact.telemetry import configure_logging

        configure_logging(verbose=False)
        structlog.get_logger().warning(
            "environment variables are ignored: no option has these names", names=unknown
        )
