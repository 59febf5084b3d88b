"""Why the kit cannot verify a program; each carries the exit code that says so.

KitError
├── UsageProblem         2: the command line, a case file or a list of known failures is wrong
├── InfrastructureDown   3: the broker or the mail server around the program does not work
└── SubjectNotReady      4: the program exited, or never became ready
"""

from typing import ClassVar


class KitError(Exception):
    """Nothing can be said about the program."""

    exit_code: ClassVar[int]


class UsageProblem(KitError):
    """What the kit was given cannot be meant; the message says what would be right."""

    exit_code = 2


class InfrastructureDown(KitError):
    """What the kit puts around the program does not work; not the program's fault."""

    exit_code = 3


class SubjectNotReady(KitError):
    """The program could not be started, exited, or never became ready; the message ends with what it wrote."""

    exit_code = 4
