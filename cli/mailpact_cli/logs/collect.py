"""`mailpact logs collect`: moves the records from the queue to rotating files of JSON lines.

A record leaves the queue only when its line is on the disk, so a crash loses nothing and may write a line twice.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl, SettingsError
from mailpact_cli import options
from mailpact_cli.errors import FileNotWritten
from mailpact_cli.log_output import configure_logging
from mailpact_cli.logs.record import CONTRACT, Reader, as_json
from mailpact_cli.serving import announce, serve_until_stopped

if TYPE_CHECKING:
    from mailpact.amqp.subscriber import Delivery

NAME: Final = "logs"
PREFETCH: Final = 1_000
STOP_SECONDS: Final = 2.0

Out = Annotated[Path, options.path("--out", "The folder for the files; it is created if it is missing.")]
FileBytes = Annotated[
    int, options.number("--file-bytes", "Begin a new file after this many bytes.", least=1_000, most=2**40)
]
KeepFiles = Annotated[
    int,
    options.number("--keep-files", "Keep this many full files; the oldest is deleted.", least=1, most=10_000),
]


def collect_logs(
    out: Out,
    file_bytes: FileBytes = 64 * 2**20,
    keep_files: KeepFiles = 10,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
) -> None:
    """Move the log records of all services from the queue to files of JSON lines, until stopped."""
    configure_logging(verbose=True, service="logs collect")
    options.make_folder(out)
    with _only_one(out):
        files = RotatingFiles(out, file_bytes=file_bytes, keep_files=keep_files)
        try:
            serve_until_stopped(partial(_collect, amqp_url, files))
        finally:
            files.close()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raise SettingsError if another collector has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise SettingsError(f"another collector writes to {folder}; choose another folder") from error
    finally:
        os.close(descriptor)


class RotatingFiles:
    """Appends lines to `logs.jsonl`.

    A full file is renamed to `logs.1.jsonl`, the previous `logs.1.jsonl` to `logs.2.jsonl`, and so on.
    """

    def __init__(self, folder: Path, *, file_bytes: int, keep_files: int) -> None:
        self._folder, self._file_bytes, self._keep_files = folder, file_bytes, keep_files
        self._path = folder / f"{NAME}.jsonl"
        self._file = self._open()

    def append(self, lines: list[str]) -> None:
        """Write the lines and wait until they are on the disk. Raises FileNotWritten."""
        try:
            if self._file.tell() >= self._file_bytes:
                self._rotate()
            rest = memoryview("".join(f"{line}\n" for line in lines).encode())
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FileNotWritten(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the current file."""
        self._file.close()

    def _open(self) -> FileIO:
        try:
            file = FileIO(self._path, "ab+", opener=partial(os.open, mode=0o600))
            file.truncate(_end_of_last_line(file))
            file.seek(0, os.SEEK_END)
            _sync_names(self._folder)
        except OSError as error:
            raise FileNotWritten(f"{self._path} cannot be written: {error.strerror}") from error
        return file

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._keep_files - 1, 0, -1):
            older = self._full(number)
            if older.exists():
                older.replace(self._full(number + 1))
        self._path.replace(self._full(1))
        self._file = self._open()

    def _full(self, number: int) -> Path:
        return self._folder / f"{NAME}.{number}.jsonl"


def _sync_names(folder: Path) -> None:
    """Sync the folder to the disk. Otherwise a new file could be lost in a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of_last_line(file: FileIO) -> int:
    """Return the position after the last complete line. If a crash cut a line, its record is still in the queue."""
    position = file.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - 65_536)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


async def _collect(url: AmqpUrl, files: RotatingFiles, stopping: asyncio.Event) -> None:
    from mailpact.amqp.subscriber import Subscriber
    from mailpact_cli.logs.queue import QUEUE, look_for_queue

    deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
    subscriber = Subscriber(
        url,
        "logs collect",
        queue=QUEUE,
        prefetch=PREFETCH,
        declare=look_for_queue,
        receive=deliveries.put_nowait,
    )
    async with asyncio.TaskGroup() as tasks:
        consuming = tasks.create_task(subscriber.run())
        writing = tasks.create_task(_write(deliveries, files))
        announce(f"collecting log records from {url}")
        await stopping.wait()
        await subscriber.stop_receiving()
        writing.cancel()
        await asyncio.wait({writing})
        consuming.cancel()


async def _write(deliveries: "asyncio.Queue[Delivery]", files: RotatingFiles) -> None:
    reader = Reader(
        catalogue.load().contract(CONTRACT), utc_now=lambda: datetime.fromtimestamp(time.time(), UTC)
    )
    while True:
        batch = [await deliveries.get()]
        while not deliveries.empty():
            batch.append(deliveries.get_nowait())
        lines = [as_json(reader.read(delivery.message)) for delivery in batch]
        # In this thread, because no other task needs the event loop, and so that a stop does not interrupt the write.
        files.append(lines)
        await asyncio.shield(asyncio.gather(*(delivery.ack() for delivery in batch)))
