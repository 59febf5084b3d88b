"""The reasons why the kit cannot verify a program. Each error has an exit code.

KitError
├── UsageProblem         2: the command line, a case file or a list of known failures is wrong
├── InfrastructureDown   3: the broker or the mail server around the program does not work
└── SubjectNotReady      4: the program exited, or never became ready
"""

from typing import ClassVar


class KitError(Exception):
    """The kit cannot verify the program."""

    exit_code: ClassVar[int]


class UsageProblem(KitError):
    """An option, a case file or a list of known failures is wrong; the message says what is expected."""

    exit_code = 2


class InfrastructureDown(KitError):
    """The broker or the mail server of the kit does not work; the program is not at fault."""

    exit_code = 3


class SubjectNotReady(KitError):
    """The program could not be started, exited, or never became ready.

    The message ends with the program's last output.
    """

    exit_code = 4
