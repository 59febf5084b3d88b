"""A `mailpact capture` in a process of its own, on ports that the kernel chooses."""

import re
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.command import MAILPACT, environment

START_SECONDS: Final = 120


class CaptureProcess:
    """A running capture server whose store is in `folder`. Raises RuntimeError with the output if it cannot start."""

    def __init__(self, folder: Path, *options: str) -> None:
        log = folder / "capture.log"
        words = [
            "--smtp",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--store",
            str(folder / "mails.db"),
            *options,
        ]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*MAILPACT, "capture", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while "showing mail on" not in (said := log.read_text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(said)
            time.sleep(0.005)
        smtp, web = re.findall(r"127\.0\.0\.1:(\d+)", said)
        self.smtp_port, self.url = int(smtp), f"http://127.0.0.1:{web}"

    def stop(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait(60)
