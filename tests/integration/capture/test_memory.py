"""The memory that large mails take, as the operating system counts it."""

import asyncio
import re
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture_process import CaptureProcess

MAIL = b"Subject: large\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + (
    b"QUJD" * 19 + b"\r\n"
) * (30_000_000 // 78)
MOST_BYTES = 300_000_000


def peak_bytes(process: "subprocess.Popen[bytes]") -> int:
    """Return the largest memory that a process has used, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
async def test_three_mails_of_30_megabytes_at_once_stay_under_300(tmp_path: Path) -> None:
    server = await asyncio.to_thread(CaptureProcess, tmp_path)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.smtp_port, timeout=120) as client:
            client.sendmail("a@x.org", "b@x.org", MAIL)

    try:
        await asyncio.gather(*(asyncio.to_thread(send) for _ in range(3)))

        assert peak_bytes(server.process) < MOST_BYTES
    finally:
        server.stop()
