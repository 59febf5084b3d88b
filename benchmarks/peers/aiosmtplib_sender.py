"""Send mails with aiosmtplib over connections that stay open, on uvloop; print mails per second and CPU per mail.

python aiosmtplib_sender.py SMTP_PORT MAILS CONNECTIONS
"""

import asyncio
import json
import resource
import sys
import time

import aiosmtplib
import uvloop

MAIL = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: Hello\r\n\r\n" + b"Some words of a mail.\r\n" * 10


async def send(port: int, mails: int) -> None:
    """Send mails over one connection."""
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=port, local_hostname="client.example", start_tls=False
    )
    await client.connect()
    await client.ehlo()
    for _ in range(mails):
        await client.mail("a@b.example")
        await client.rcpt("c@d.example")
        await client.data(MAIL)
    await client.quit()


async def main(port: int, mails: int, connections: int) -> None:
    """Send all mails, and print the figures."""
    began, cpu_began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(send(port, mails // connections) for _ in range(connections)))
    ended, cpu_ended = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    cpu = cpu_ended.ru_utime + cpu_ended.ru_stime - cpu_began.ru_utime - cpu_began.ru_stime
    print(json.dumps({"mails_per_second": mails / (ended - began), "cpu_ms": cpu * 1000 / mails}))


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
