"""What each error means to the person at the command line: one line and an exit code.

CommandError
├── ServiceUnreachable   3: nobody answers where the command was told to look
├── PortTaken            3: a port that was asked for is in use
└── NotShown             1: the demo's mail did not come
"""

import typer
from typer.exceptions import TyperException

from mailpact.settings import SettingsError

WRONG, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


class CommandError(Exception):
    """A command cannot do what it was asked to."""


class PortTaken(CommandError):
    """A port that was asked for cannot be listened on."""


class ServiceUnreachable(CommandError):
    """Nobody answers at an address that a one-shot command needs."""


class NotShown(CommandError):
    """The demo did not come to its end."""


def exit_line(error: BaseException) -> tuple[str, int] | None:
    """Return the line and exit code for an error that people are to expect, None for a bug of ours."""
    # Imported here, where one of them has been raised: together they cost a command that just works 0.2 seconds.
    from mailpact.amqp.errors import AccessRefused, BrokerUnreachable, TopologyMismatch
    from mailpact.contracts.errors import CatalogueError, UnknownContractError
    from mailpact.database.migrate import SchemaUnknown
    from mailpact.database.transactions import DatabaseUnavailable
    from mailpact_capture.errors import StoreFileError
    from mailpact_consumer.dead_queue import DeadQueueMissing, ReplayStopped
    from mailpact_consumer.errors import OlderConsumersAlive
    from mailpact_consumer.template_folder import TemplateFolderError
    from mailpact_contract_tool.check.reading import UnreadableDocument
    from mailpact_contract_tool.publish.writing import OutputFolderError
    from mailpact_contract_tool.site.build import SiteError
    from mailpact_devbroker.errors import JournalError

    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return exit_line(error.exceptions[0])
    match error:
        case SettingsError() | StoreFileError() | JournalError() | OutputFolderError() | SiteError():
            return str(error), USAGE
        case (
            TemplateFolderError() | UnknownContractError() | UnreadableDocument()
        ):  # a name or a file that a person gave
            return str(error), USAGE
        case TyperException():
            return error.format_message(), error.exit_code
        case typer.Abort():
            return "interrupted", INTERRUPTED
        case BrokerUnreachable():
            return f"cannot connect to the broker: {error}", UNREACHABLE
        case AccessRefused():
            return f"the broker refuses access: {error}", UNREACHABLE
        case PortTaken() | ServiceUnreachable() | DatabaseUnavailable() | ReplayStopped():
            return str(error), UNREACHABLE
        case (
            TopologyMismatch()
            | SchemaUnknown()
            | CatalogueError()
            | NotShown()
            | DeadQueueMissing()
            | OlderConsumersAlive()
        ):
            return str(error), WRONG
        case _:
            return None
