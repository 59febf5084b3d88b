"""Failed sessions are kept with their dialogue; successful sessions are not kept."""

import asyncio
from typing import Any

import pytest

from mailpact_capture import wire

SESSIONS = "/api/mailpact/v1/smtp-sessions"


async def kept(server: Any, path: str = SESSIONS) -> list[dict[str, Any]]:
    """Wait until there are sessions, and return them."""
    async with asyncio.timeout(30):
        while not (found := (await server.json(path))["sessions"]):
            await asyncio.sleep(0.01)
    return list(found)


async def test_refused_recipient_is_kept_with_the_whole_dialogue(server: Any) -> None:
    await server.say(
        b"EHLO me.example\r\n", b"AUTH PLAIN AGFkYQBzM2NyZXQ=\r\n", b"MAIL FROM:<a@x.org>\r\n",
        b"RCPT TO:<b\0@x.org>\r\n",
        b"RCPT TO:<c@x.org>\r\n", b"DATA\r\n", b"Subject: private\r\n\r\nprivate\r\n.\r\n", b"QUIT\r\n",
    )  # fmt: skip

    (session,) = await kept(server)
    dialogue = "\n".join(session["Dialogue"])
    assert session["Reason"].startswith("553 5.1.3 ")
    assert r"in answer to RCPT TO:<b\x00@x.org>" in session["Reason"]
    assert (session["Helo"], session["Username"], session["From"]) == ("me.example", "ada", "a@x.org")
    assert session["To"] == ["c@x.org"]
    assert "C: AUTH ***\nS: 235 2.7.0" in dialogue
    assert "AGFkYQBzM2NyZXQ" not in dialogue
    assert "S: 354 " in dialogue
    assert "(29 bytes of mail)" in dialogue
    assert "private" not in dialogue
    assert (await server.json("/api/v1/info"))["RuntimeStats"]["SMTPRejected"] == 1


@pytest.mark.parametrize(
    "lines",
    [
        (b"AUTH LOGIN\r\n", b"!\r\n", b"s3cret\r\n"),
        (b"AUTH CRAM-MD5\r\n", b"s3cret\r\n", b"s3cret again\r\n"),
        (b"AUTH\tPLAIN\ts3cret\r\n",),
        (b"AUTHPLAIN s3cret\r\n", b"s3cret\r\n"),
        (b"DATA\r\n", b"Subject: s3cret\r\n", b"s3cret\r\n", b".\r\n"),
    ],
)
async def test_what_was_sent_without_waiting_for_the_answer_is_not_kept(
    server: Any, lines: tuple[bytes, ...]
) -> None:
    await server.say(b"EHLO me\r\n", *lines, b"NOOP\r\n", b"UNKNOWN s\r\n")

    (session,) = await kept(server)
    assert "s3cret" not in f"{session}"
    assert session["Dialogue"][-2:] == ["C: UNKNOWN s", "S: 500 5.5.1 Unknown command"]


async def test_unknown_command_behind_a_mail_or_a_login_is_shown(server: Any) -> None:
    await server.say(
        b"EHLO me\r\n", b"AUTH PLAIN AGFkYQBzM2NyZXQ=\r\n", b"ONE\r\n", b"MAIL FROM:<a@x.org>\r\n",
        b"RCPT TO:<b@x.org>\r\n", b"DATA\r\n", b"x\r\n.\r\n", b"TWO\r\n",
    )  # fmt: skip

    (session,) = await kept(server)
    assert {"C: ONE", "C: TWO"} <= set(session["Dialogue"])


async def test_session_that_went_well_is_not_kept(server: Any) -> None:
    await server.send(b"Subject: fine\r\n\r\nx\r\n")
    await server.say()
    await server.say(b"EHLO me\r\n", b"QUIT\r\n")
    await server.say(b"NONSENSE\r\n")

    sessions = await kept(server)
    assert [session["Dialogue"][1] for session in sessions] == ["C: NONSENSE"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((b"MAIL FROM:<a@x.org>\r\n",), "before its mail was taken"),
        ((b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n", b"DATA\r\n"), "in the middle of its mail"),
    ],
)
async def test_client_that_breaks_off_is_kept(server: Any, lines: tuple[bytes, ...], reason: str) -> None:
    await server.say(b"EHLO me\r\n", *lines)

    (session,) = await kept(server)
    assert reason in session["Reason"]


async def test_client_that_says_nothing_is_told_and_kept(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COMMAND_SECONDS", 0.2)

    answers = await server.say(b"EHLO me\r\n", b"")

    assert answers[-1].startswith(b"421 4.4.2")
    (session,) = await kept(server)
    assert "said nothing" in session["Reason"]


async def test_number_of_sessions_and_their_lines_are_bounded(server: Any) -> None:
    for number in range(210):
        await server.say(b"HELO %d\r\n" % number, b"RCPT TO:<b@x.org>\r\n")
    await server.say(b"EHLO long\r\n", *[b"NOOP\r\n"] * 300, b"RCPT TO:<" + b"x" * 1500 + b"@x.org>\r\n")

    async with asyncio.timeout(30):
        while (sessions := await kept(server))[0]["Helo"] != "long":
            await asyncio.sleep(0.01)
    assert len(sessions) == 200
    assert len(sessions[0]["Dialogue"]) == 101
    assert max(map(len, sessions[0]["Dialogue"])) < 320


async def test_namespace_has_its_own_sessions_and_forgets_only_those(server: Any) -> None:
    for name in ("one", "two"):
        recipient = f"RCPT TO:<a+ns-{name}@x.org>\r\n".encode()
        await server.say(b"EHLO me\r\n", b"MAIL FROM:<a@x.org>\r\n", recipient, b"NONSENSE\r\n")
    await kept(server, "/ns/two" + SESSIONS)

    own = await kept(server, "/ns/one" + SESSIONS)
    assert (await server.change("DELETE", "/ns/one" + SESSIONS))[0] == 204

    assert [session["To"] for session in own] == [["a+ns-one@x.org"]]
    assert [session["To"] for session in await kept(server)] == [["a+ns-two@x.org"]]


async def test_page_shows_them_with_everything_escaped(server: Any) -> None:
    await server.say(b"EHLO me\r\n", b"MAIL FROM:<a@x.org>\r\n", b"<script>alert(1)</script>\r\n")
    await kept(server)

    _, listed, _ = await server.get("/")
    status, page, headers = await server.get("/refused")

    assert b'href="/refused"' in listed
    assert status == 200
    assert b"500 5.5.1 Unknown command" in page
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert b"<script>alert" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
