"""Scripted faults: the client gets the replies of the script, exactly as often as the script says."""

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture.faults import parse_script
from mailpact_capture.service import Settings
from tests.command import MAILPACT, environment

FAULTS = "/api/mailpact/v1/faults"
MAIL = (
    b"EHLO me\r\n",
    b"MAIL FROM:<a@x.org>\r\n",
    b"RCPT TO:<b@x.org>\r\n",
    b"DATA\r\n",
    b"Subject: s\r\n\r\nx\r\n.\r\n",
)


async def script(server: Any, *rules: dict[str, Any], path: str = FAULTS) -> None:
    status, answer = await server.change("PUT", path, {"rules": list(rules)})
    assert status == 200, answer


def codes(answers: list[bytes]) -> list[str]:
    return [answer[:3].decode() for answer in answers]


async def test_first_two_tries_for_a_recipient_are_put_off_and_nobody_else(server: Any) -> None:
    await script(
        server, {"stage": "rcpt", "recipient": "Ada@x.org", "nth": [1, 2], "code": 451, "text": "4.2.1 busy"}
    )

    answers = await server.say(
        *MAIL[:2],
        *[b"RCPT TO:<ada@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n"] * 3,
    )

    assert codes(answers[3:]) == ["451", "250", "451", "250", "250", "250"]
    assert answers[3] == b"451 4.2.1 busy\r\n"
    _, said = await server.change("GET", FAULTS)
    assert (said["rules"][0]["matched"], said["rules"][0]["applied"]) == (3, 2)


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("connect", ["455"]),
        ("ehlo", ["220", "455", "503", "503", "503"]),
        ("mail", ["220", "250", "455", "503", "503"]),
        ("rcpt", ["220", "250", "250", "455", "503"]),
        ("data", ["220", "250", "250", "250", "455"]),
        ("dot", ["220", "250", "250", "250", "354", "455"]),
        ("stored", ["220", "250", "250", "250", "354", "455"]),
    ],
)
async def test_each_stage_can_refuse(server: Any, stage: str, expected: list[str]) -> None:
    await script(server, {"stage": stage, "code": 455})

    answers = await server.say(*MAIL[: len(expected) - 1])

    assert codes(answers) == expected
    assert (await server.json("/api/v1/messages"))["total"] == (stage == "stored")


async def test_login_can_fail(server: Any) -> None:
    await script(server, {"stage": "auth", "nth": 1, "code": 454, "text": "4.7.0 try later"})

    answers = await server.say(MAIL[0], *[b"AUTH PLAIN AGEAYg==\r\n"] * 2)

    assert codes(answers[2:]) == ["454", "235"]


@pytest.mark.parametrize(("stage", "stored"), [("dot", 0), ("stored", 1)])
async def test_answer_to_the_final_dot_is_lost(server: Any, stage: str, stored: int) -> None:
    await script(server, {"stage": stage, "recipient": "*@x.org", "disconnect": True})

    answers = await server.say(*MAIL)

    assert answers[-1] == b""
    assert (await server.json("/api/v1/messages"))["total"] == stored
    sessions = (await server.json("/api/mailpact/v1/smtp-sessions"))["sessions"]
    assert sessions[0]["Reason"] == f"a scripted fault broke the connection off at the stage {stage}"


async def test_disconnect_after_a_reply_lets_the_client_read_it(server: Any) -> None:
    await script(server, {"stage": "mail", "code": 421, "text": "4.3.2 bye", "disconnect": True})

    answers = await server.say(*MAIL[:2], b"NOOP\r\n")

    assert answers[2:] == [b"421 4.3.2 bye\r\n", b""]


async def test_delay_holds_up_one_client_alone(server: Any) -> None:
    await script(server, {"stage": "rcpt", "recipient": "slow@x.org", "delay": 1.5})
    began = time.monotonic()

    slow = asyncio.create_task(server.say(*MAIL[:2], b"RCPT TO:<slow@x.org>\r\n"))
    await server.say(*MAIL)
    assert not slow.done()

    assert codes(await slow)[-1] == "250"
    assert time.monotonic() - began >= 1.5


async def test_chance_is_the_same_in_every_run(server: Any) -> None:
    runs = []
    for _ in range(2):
        body = {"seed": 7, "rules": [{"stage": "rcpt", "probability": 50, "code": 450}]}
        assert (await server.change("PUT", FAULTS, body))[0] == 200
        runs.append(codes(await server.say(*MAIL[:2], *[MAIL[2]] * 40)))

    assert runs[0] == runs[1]
    assert 5 < runs[0].count("450") < 35


async def test_namespaces_have_faults_of_their_own(server: Any) -> None:
    rule = {"stage": "rcpt", "code": 550}
    await script(server, rule, path="/ns/One" + FAULTS)

    answers = await server.say(
        *MAIL[:2], b"RCPT TO:<a+ns-one@x.org>\r\n", b"RCPT TO:<a+ns-two@x.org>\r\n", MAIL[2]
    )
    assert (await server.change("DELETE", "/ns/one" + FAULTS))[0] == 204
    after = await server.say(*MAIL[:2], b"RCPT TO:<a+ns-one@x.org>\r\n")

    assert codes(answers[3:]) == ["550", "250", "250"]
    assert codes(after)[-1] == "250"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rules": [{"stage": "rctp", "code": 451}]}, "stage must be one of"),
        ({"rules": [{"stage": "rcpt"}]}, "a code, a delay or a disconnect"),
        ({"rules": [{"stage": "rcpt", "code": 42}]}, "code"),
        ({"rules": [{"stage": "rcpt", "code": True}]}, "code"),
        ({"rules": [{"stage": "rcpt", "code": 451, "text": "a\r\n250 ok"}]}, "text"),
        ({"rules": [{"stage": "rcpt", "code": 451, "nth": 0}]}, "nth"),
        ({"rules": [{"stage": "rcpt", "delay": -1}]}, "delay"),
        ({"rules": [{"stage": "mail", "code": 451, "recipient": "a@x.org"}]}, "recipient"),
        ({"rules": [{"stage": "rcpt", "code": 451, "recipent": "a@x.org"}]}, "recipent"),
        ({"rules": [{"stage": "rcpt", "code": 451}] * 101}, "100"),
        ({"rules": {}}, "list"),
        ({"faults": []}, "faults"),
        ({}, "no rules"),
        ([], "object"),
    ],
)
async def test_script_that_cannot_be_is_refused_and_changes_nothing(
    server: Any, body: Any, said: str
) -> None:
    await script(server, {"stage": "rcpt", "code": 451})

    status, answer = await server.change("PUT", FAULTS, body)

    assert status == 400
    assert said in answer
    assert codes(await server.say(*MAIL[:3]))[-1] == "451"


async def test_namespace_has_no_stage_without_recipients(server: Any) -> None:
    body = {"rules": [{"stage": "mail", "code": 451}]}

    assert (await server.change("PUT", "/ns/one" + FAULTS, body))[0] == 400


async def test_faults_are_there_from_the_start(serve: Any, tmp_path: Path) -> None:
    faults = parse_script({"rules": [{"stage": "mail", "code": 452}]})
    async with serve(None, Settings(faults=faults)) as server:
        assert codes(await server.say(*MAIL[:2]))[-1] == "452"


async def test_mailpits_chaos_works_as_its_clients_know_it(server: Any) -> None:
    quiet, open_door = {"ErrorCode": 451, "Probability": 0}, {"ErrorCode": 535, "Probability": 0}
    body = {"Sender": {"ErrorCode": 420, "Probability": 100}, "recipient": {"probability": 100}}

    before = await server.change("GET", "/api/v1/chaos")
    changed = await server.change("PUT", "/api/v1/chaos", body)
    refused = codes(await server.say(*MAIL[:2]))
    again = await server.change("PUT", "/api/v1/chaos", {"Authentication": {"Probability": 100}})
    taken = codes(await server.say(MAIL[0], b"AUTH PLAIN AGEAYg==\r\n", *MAIL[1:]))

    assert before == (200, {"Sender": quiet, "Recipient": quiet, "Authentication": open_door})
    assert changed[1]["Sender"] == {"ErrorCode": 420, "Probability": 100}
    assert changed[1]["Recipient"] == {"ErrorCode": 451, "Probability": 100}
    assert refused[-1] == "420"
    assert again[1]["Sender"] == quiet
    assert taken[2:] == ["535", "250", "250", "354", "250"]
    assert (await server.json("/api/v1/webui"))["ChaosEnabled"] is True
    assert (await server.change("PUT", "/api/v1/chaos", {}))[1] == before[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/chaos", None),
        ("/api/v1/chaos", {"Sendr": {"Probability": 0}}),
        ("/api/v1/chaos", {"Sender": {"Percent": 0}}),
        ("/ns/one/api/v1/chaos", {"Recipient": {"Probability": 0}}),
    ],
)
async def test_chaos_that_is_not_understood_changes_nothing(server: Any, path: str, body: Any) -> None:
    on = {"ErrorCode": 420, "Probability": 100}
    await server.change("PUT", "/api/v1/chaos", {"Sender": on})

    assert (await server.change("PUT", path, body))[0] == 400
    assert (await server.change("GET", "/api/v1/chaos"))[1]["Sender"] == on


@pytest.mark.parametrize(
    "trigger", [{"ErrorCode": 399}, {"ErrorCode": 600}, {"Probability": 101}, {"Probability": -1}, [], "x"]
)
async def test_chaos_that_cannot_be_is_refused(server: Any, trigger: Any) -> None:
    assert (await server.change("PUT", "/api/v1/chaos", {"Sender": trigger}))[0] == 400
    assert codes(await server.say(*MAIL[:2]))[-1] == "250"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "bad.json"], "stage must be one of"),
        (["--faults", "missing.json"], "cannot be read"),
        (["--faults", "no.json"], "no.json"),
        (["--auth-file", "bad.json"], "NAME:PASSWORD"),
        (["--auth-file", "missing"], "cannot be read"),
        (["--tls-key", "bad.json"], "--tls-certificate"),
        (["--tls-key", "bad.json", "--tls-certificate", "bad.json"], "are not a certificate"),
    ],
)
def test_file_that_cannot_be_used_is_a_usage_error(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "bad.json").write_text('{"rules":\n[{"stage": "x"}]}')
    (tmp_path / "no.json").write_text("{")
    command = [*MAILPACT, "capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", *options]

    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=50, check=False
    )

    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
