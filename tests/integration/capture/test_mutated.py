"""Mails as no program writes them: each is stored as it came and shown without an error, in bounded memory.

MAILPACT_TEST_MUTATED_MAILS says how many; `make test-faults` sends 30,000.
"""

import http.client
import os
import random
from urllib.parse import urlsplit

import pytest

from mailpact_capture.pytest_plugin import started

MAILS = int(os.environ.get("MAILPACT_TEST_MUTATED_MAILS", "150"))
MOST_GROWTH_BYTES = 150 * 1024 * 1024
SEED = 20261128
VIEWS = (
    "api/v1/message/latest",
    "api/v1/message/latest/headers",
    "mail/latest",
    "mail/latest?view=headers",
    "mail/latest?view=text",
    "view/latest.html",
)
PLAIN = (
    b"From: Ada <a@x.org>\r\nTo: b@x.org, C <c@x.org>\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"
    b"Date: Sat, 28 Nov 2026 08:00:00 +0100\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe https://x.org/?a=1 code 493817\r\n"
)
NESTED = (
    b'From: a@x.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
    b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain\r\n\r\ntext\r\n"
    b'--c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello <img src="cid:p"></p>\r\n--c--\r\n--b\r\n'
    b"Content-Type: image/png; name*0*=utf-8''a%20; name*1=b.png\r\nContent-ID: <p>\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0K\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx\r\n--b--\r\n"
)
ODD = b"Subject: x\r\n folded\r\nX-Fred : y\r\nList-Unsubscribe: <https://x.org/u>\r\n\r\n\x00\xff\r\n"
TEMPLATES = (PLAIN, NESTED, ODD)
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"=?", b"?=", b"--b", b"--b--", b";", b'"', b"<", b">", b":", b"=",
    b"\r\n\r\n",
    b"charset=utf-7", b"charset=\x80", b"Content-Type: multipart/", b"boundary=", b"filename*=", b"''%",
    b"(" * 50, b"\xf0\x9f",
    b"Content-Transfer-Encoding: base64\r\n", b"Date: 99999",
    b"cid:", b"\xe2\x80\xae", b"message/rfc822", b",", b"@",
)  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    """Return a mail with some bytes changed, removed, doubled or inserted."""
    mail = bytearray(chance.choice(TEMPLATES))
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(mail) + 1)
        until = min(len(mail), at + chance.randint(0, 20))
        match chance.randrange(5):
            case 0:
                mail[at:until] = b""
            case 1:
                mail[at:at] = chance.choice(PIECES)
            case 2:
                mail[at:until] = chance.choice(PIECES)
            case 3:
                mail[at:at] = mail[at:until] * chance.randint(1, 30)
            case 4:
                mail[at:until] = chance.randbytes(until - at)
    return bytes(mail)


@pytest.mark.timeout(60 + MAILS)
def test_no_mail_is_lost_or_answered_with_an_error() -> None:
    chance = random.Random(SEED)
    with started() as server:
        connection = http.client.HTTPConnection(str(urlsplit(server.client.url).netloc), timeout=60)

        def asked(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
            connection.request(
                method, path, body, {"Content-Type": "message/rfc822"} if body is not None else {}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()

        def memory() -> int:
            """Return the memory of the server in bytes."""
            _, info = asked("GET", "/api/v1/info")
            return int(info.partition(b'"Memory": ')[2].partition(b",")[0])

        at_first = memory()
        for number in range(MAILS):
            mail = mutated(chance)
            status, _ = asked("POST", "/api/mailpact/v1/import", mail)
            assert status == 200, (number, mail)
            assert asked("GET", "/api/v1/message/latest/raw") == (200, mail), number
            statuses = {view: asked("GET", f"/{view}")[0] for view in VIEWS}
            assert max(statuses.values()) < 500, (number, statuses, mail)
        assert memory() - at_first < MOST_GROWTH_BYTES
        connection.close()
