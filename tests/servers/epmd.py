"""Erlang's port mapper, as a child of our own on a port of our own.

Without one, a node that starts leaves an `epmd -daemon` on every address of the machine.
"""

import socket
from pathlib import Path

from tests.servers.private_process import PrivateProcess
from tests.servers.run_folder import RunFolder


class Epmd:
    """A port mapper on 127.0.0.1, started on construction."""

    def __init__(self, run: RunFolder, folder: Path, root: Path) -> None:
        self.port = run.reserve_port()
        words = [str(root / "usr/lib/erlang/bin/epmd"), "-port", str(self.port), "-address", "127.0.0.1"]
        self._process = PrivateProcess(run, folder, words, {}, "epmd.log")
        self._process.wait_until("epmd answers", self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
