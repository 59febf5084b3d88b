"""The entry point of the command: every expected error becomes one line and an exit code.

0    done
1    the thing that was checked is wrong, or the output cannot be written
2    a wrong option, argument, variable or file: usage
3    a server cannot be reached or refuses access, or a port is in use
130  interrupted by Ctrl-C; a service that has started stops cleanly instead and exits 0
"""

import sys


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    # All imports are below, so that Ctrl-C is also handled during the imports.
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    from mailpact_cli.errors import exit_line, refuse_closed_output

    try:
        refuse_closed_output()
        _call(arguments)
        sys.stdout.flush()
    except BaseException as error:  # the outermost handler; an unexpected error is raised again
        expected = exit_line(error)
        if expected is None:
            raise
        line, code = expected
        return _fail(line, code)
    return 0


def _call(arguments: list[str]) -> None:
    from mailpact_cli.commands import root, with_help
    from mailpact_cli.environment import check_environment

    group = root()
    check_environment(group, arguments)
    with group.make_context("mailpact", with_help(group, arguments)) as context:
        group.invoke(context)


def _fail(line: str, code: int) -> int:
    if line:  # empty if help was asked for
        print(f"mailpact: {line}", file=sys.stderr)  # noqa: T201  # the one line
    return code
