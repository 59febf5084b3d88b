"""email/2 through the broker: all vectors, several recipients, schedules, and messages over the limits."""

import asyncio
import json
import re
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiormq
import pytest

from mailpact_consumer.database_clock import DatabaseClock
from mailpact_consumer.mailbox import Identities
from mailpact_consumer.schedule import Schedule
from tests.unit.consumer.mails import body_of, expected_by, load, shown_by, vectors

SHOP = Identities.of(["shop@mail.example"])
MESSAGE_ID = re.compile(rb"^Message-ID: <([0-9a-f-]{36})\.[0-9a-f]{8}@mail\.example>", re.MULTILINE)
THREE_SECONDS = Schedule.parse("3s")
OTHER_LOCALES = ("es", "zh-Hant")


def at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the consumer's clock to this time, because the vectors contain fixed times."""
    monkeypatch.setattr(DatabaseClock, "utc_now", lambda _: moment)


def more_locales(folder: Path) -> Path:
    """Write the template `welcome` in the languages of the vectors that Mailpact has no template for."""
    place = folder / "welcome/1"
    place.mkdir(parents=True)
    for locale in OTHER_LOCALES:
        for suffix in ("subject", "txt", "html"):
            (place / f"{locale}.{suffix}").write_text(f"{{{{ site_name }}}} {locale}")
    return folder


async def publish(stage: Any, bodies: dict[str, tuple[bytes, dict[str, Any]]]) -> None:
    """Publish messages, by their ids, over one connection."""
    connection = await aiormq.connect(stage.amqp_url)
    channel = await connection.channel()
    for message_id, (body, given) in bodies.items():
        properties = {"content_type": "application/json", **given, "message_id": message_id}
        properties["message_type"] = properties.pop("type", None)
        await channel.basic_publish(
            body,
            exchange="email",
            properties=aiormq.spec.Basic.Properties(**properties),
            mandatory=True,
        )
    await connection.close()


def publishable(paths: list[Path]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    loaded = {str(uuid4()): load(path) for path in paths}
    return loaded, {
        key: (
            body_of(vector),
            {"content_type": vector.get("content_type", "application/json"), **vector.get("properties", {})},
        )
        for key, vector in loaded.items()
    }


def mails_by_id(stage: Any) -> dict[str, list[tuple[str, bytes]]]:
    found = defaultdict(list)
    for recipient, raw in stage.mail_server.mails:
        match = MESSAGE_ID.search(raw)
        assert match is not None
        found[match[1].decode()].append((recipient, raw))
    return found


async def ready(stage: Any, consumer: Any) -> None:
    async with asyncio.timeout(20):
        await consumer.consuming.wait()


@pytest.mark.timeout(180)
async def test_every_valid_vector_becomes_exactly_its_mails(stage, eventually, tmp_path, monkeypatch) -> None:
    at(datetime(2026, 11, 24, 10, 0, 1, tzinfo=UTC), monkeypatch)
    loaded, bodies = publishable(vectors("valid"))
    due = sum(len(vector["mail"]["recipients"]) for vector in loaded.values())

    async with stage.consumer(identities=SHOP, templates=more_locales(tmp_path / "t")) as consumer:
        await ready(stage, consumer)
        await publish(stage, bodies)
        await eventually("every mail is there", lambda: len(stage.mail_server.mails) >= due)

    found = mails_by_id(stage)
    assert len(stage.mail_server.mails) == due
    for key, vector in loaded.items():
        mails = found[key]
        assert sorted(recipient for recipient, _ in mails) == sorted(vector["mail"]["recipients"])
        assert len({raw[raw.index(b"\r\nFrom: ") :] for _, raw in mails}) == 1
        shown, expected = (
            shown_by(mails[0][1]),
            {"from": {"address": "cms@mail.example"}, **expected_by(vector)},
        )
        template = expected.pop("template", None)
        if template is not None:
            locale = template["locale"].removesuffix("-419").removesuffix("-TW")
            site = "The Daily Example"
            assert shown["subject"] == (
                f"{site} {locale}" if locale in OTHER_LOCALES else f"Welcome to {site}"
            )
            assert shown["structure"] == {"multipart/alternative": ["text/plain", "text/html"]}
            continue
        for each in (shown, expected):
            each.get("attachments", []).sort(key=lambda file: str(file["filename"]))
        assert shown == expected


@pytest.mark.timeout(180)
async def test_every_invalid_and_refused_vector_becomes_its_letter_and_no_mail(stage, monkeypatch) -> None:
    at(datetime(2026, 11, 24, 9, 0, tzinfo=UTC), monkeypatch)
    loaded, bodies = publishable([*vectors("invalid"), *vectors("refused")])
    async with stage.consumer(identities=SHOP) as consumer:
        await ready(stage, consumer)
        await publish(stage, bodies)
        letters = [await stage.take_letter() for _ in loaded]

    assert stage.mail_server.mails == []
    by_id = {letter.header.properties.message_id: letter.header.properties.headers for letter in letters}
    for key, vector in loaded.items():
        error, headers = vector["error"], by_id[key]
        if not vector["properties"].get("type"):
            assert headers["x-error-code"] == "schema"  # a message of email/1
            continue
        assert headers["x-error-code"] == error["code"], vector["description"]
        assert headers.get("x-error-pointer", "") == error.get("pointer", ""), vector["description"]


def asking(**members: Any) -> bytes:
    return json.dumps({"to": [{"address": "a@b.example"}], "subject": "s", "text": "t", **members}).encode()


async def test_refused_recipient_keeps_nobody_else_from_the_mail(stage, eventually) -> None:
    body = asking(cc=[{"address": "b@b.example"}], bcc=[{"address": "c@b.example"}])
    key = str(uuid4())
    stage.mail_server.rcpt_replies = ["550 no such user"]

    async with stage.consumer() as consumer:
        await ready(stage, consumer)
        await publish(stage, {key: (body, {"type": "email.v2"})})
        letter = await stage.take_letter()
        await eventually("two mails are there", lambda: len(stage.mail_server.mails) == 2)

    headers = letter.header.properties.headers
    assert headers["x-error-code"] == "smtp_permanent"
    got = {recipient for recipient, _ in stage.mail_server.mails}
    assert got | {headers["x-recipient"]} == {"a@b.example", "b@b.example", "c@b.example"}
    assert all(b"c@b.example" not in raw for _, raw in stage.mail_server.mails)


async def test_mail_is_not_sent_before_its_time_and_has_its_date(stage, eventually) -> None:
    due = datetime.fromtimestamp(int(time.time()) + 4, UTC)
    body = asking(not_before=due.strftime("%Y-%m-%dT%H:%M:%SZ"))

    async with stage.consumer() as consumer:
        await ready(stage, consumer)
        await publish(stage, {str(uuid4()): (body, {"type": "email.v2"})})
        await eventually("the mail is there", lambda: stage.mail_server.mails)
        arrived = time.time()

    assert arrived >= due.timestamp()
    ((_, raw),) = stage.mail_server.mails
    assert due.strftime("Date: %a, %d %b %Y %H:%M:%S +0000").encode() in raw


def stamp(moment: float) -> str:
    """Return a moment in the form that the contract requires."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("hours", [-2, 2])
async def test_consumer_whose_clock_is_wrong_goes_by_the_databases(
    hours, stage, eventually, monkeypatch
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)

    async with stage.consumer() as consumer:
        await ready(stage, consumer)
        due = int(now()) + 4
        periods = [
            {"not_before": stamp(due)},
            {"expires_at": stamp(now() + 3600)},
            {"expires_at": stamp(now() - 3600)},
        ]
        bodies = {
            str(uuid4()): (asking(subject=str(n), **period), {"type": "email.v2"})
            for n, period in enumerate(periods)
        }
        await publish(stage, bodies)
        letter = await stage.take_letter()
        await eventually("two mails are there", lambda: len(stage.mail_server.mails) == 2)
        arrived = now()

    assert letter.header.properties.headers["x-error-code"] == "expired"
    assert json.loads(letter.body)["subject"] == "2"
    assert due <= arrived < due + 600
    assert any(b"Subject: 0\r\n" in content for _, content in stage.mail_server.mails)


async def test_message_that_expires_before_the_server_takes_it_becomes_a_letter(stage, eventually) -> None:
    stage.mail_server.rcpt_replies = ["450 later"] * 100
    soon = datetime.fromtimestamp(time.time() + 3, UTC)

    async with stage.consumer() as consumer:
        await ready(stage, consumer)
        body = asking(expires_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
        await publish(stage, {str(uuid4()): (body, {"type": "email.v2"})})
        letter = await stage.take_letter()
        await eventually("the row says so", lambda: _row_is(stage, "expired"))

    assert letter.header.properties.headers["x-error-code"] == "expired"
    assert stage.mail_server.mails == []


async def _row_is(stage: Any, state: str) -> bool:
    return (await stage.rows("state")) == [(state,)]


async def test_template_that_is_gone_when_the_message_comes_back_ends_each_recipient(
    stage, eventually, tmp_path
) -> None:
    stage.mail_server.rcpt_replies = ["450 later"] * 2
    to = [{"address": "a@b.example"}, {"address": "b@b.example"}]
    body = json.dumps({**json.loads(welcome_in_spanish()), "to": to}).encode()

    async with stage.consumer(
        templates=more_locales(tmp_path / "t"), retry_schedule=THREE_SECONDS
    ) as consumer:
        await ready(stage, consumer)
        await publish(stage, {str(uuid4()): (body, {"type": "email.v2"})})
        await eventually("both are put off", lambda: not stage.mail_server.rcpt_replies)
    async with stage.consumer(retry_schedule=THREE_SECONDS):
        letters = [await stage.take_letter() for _ in range(2)]

    headers = [letter.header.properties.headers for letter in letters]
    assert {each["x-error-code"] for each in headers} == {"template_unknown"}
    assert {each["x-recipient"] for each in headers} == {"a@b.example", "b@b.example"}
    assert stage.mail_server.mails == []


@pytest.mark.parametrize(
    "members",
    [
        {"from": {"address": "boss@bank.example"}},
        {"subject": "x\r\nBcc: evil@example.org"},
        {"to": [{"address": "a@b.example>\r\nRCPT TO:<evil@example.org"}]},
        {"to": [{"address": "a@b.example", "name": "x\r\nBcc: evil@example.org"}]},
        {"reply_to": {"address": "a@b.example, evil@example.org"}},
        {"list_unsubscribe": {"url": "https://a.example/>\r\nBcc: evil@example.org"}},
        {"attachments": [{"filename": "a\r\nBcc: x", "content_type": "text/plain", "content": ""}]},
        {"attachments": [{"filename": "../../etc/passwd", "content_type": "text/plain", "content": ""}]},
        {"attachments": [{"filename": "a", "content_type": "text/plain\r\nX: y", "content": ""}]},
        {"attachments": [{"filename": "a", "path": "/etc/passwd", "content_type": "text/plain"}]},
        {"bcc": [{"address": f"r{n}@b.example"} for n in range(51)]},
        {"text": "x" * 2**21},
        {"template": {"name": "../secret", "version": 1, "locale": "en", "data": {}}},
        {"template": {"name": "welcome", "version": 1, "locale": "en/../de", "data": {}}},
    ],
    ids=lambda members: next(iter(members)),
)
async def test_message_that_wants_more_than_it_may_makes_no_mail(members, stage) -> None:
    async with stage.consumer(identities=SHOP) as consumer:
        await ready(stage, consumer)
        await publish(stage, {str(uuid4()): (asking(**members), {"type": "email.v2"})})
        letter = await stage.take_letter()

    assert letter.header.properties.headers["x-error-code"] in {"schema", "too_large", "identity_not_allowed"}
    assert stage.mail_server.mails == []


def welcome_in_spanish() -> bytes:
    data = {"site_name": "Shop", "site_url": "https://a.example/"}
    template = {"name": "welcome", "version": 1, "locale": "es", "data": data}
    return json.dumps({"to": [{"address": "a@b.example"}], "template": template}).encode()


@pytest.mark.parametrize(
    ("first_answer", "is_edited", "reports"),
    [("drop", True, [None, True]), ("drop", False, [None]), ("451 later", True, [])],
    ids=["edited", "not edited", "edited after a clear refusal"],
)
async def test_second_copy_from_an_edited_template_is_reported_as_another_mail(
    first_answer, is_edited, reports, stage, eventually, tmp_path, capsys
) -> None:
    stage.mail_server.data_replies = [first_answer]
    templates = more_locales(tmp_path / "t")
    settings = {
        "templates": templates,
        "retry_schedule": THREE_SECONDS,
        "unanswered_pause_seconds": 3.0,
    }

    async with stage.status_events() as events:
        async with stage.consumer(**settings) as consumer:
            await ready(stage, consumer)
            await publish(stage, {str(uuid4()): (welcome_in_spanish(), {"type": "email.v2"})})
            await eventually("the first try is over", lambda: _row_is(stage, "deferred"))
        if is_edited:
            (templates / "welcome/1/es.txt").write_text("Another text")
        async with stage.consumer(**settings):
            await eventually("the mail is sent", lambda: _row_is(stage, "sent"))
            seen = await events("sent")

    uncertain = [event for event in seen if event["event"] == "uncertain"]
    assert [event.get("template_changed") for event in uncertain] == reports
    assert (await stage.row("uncertain")) == (int(first_answer == "drop"),)
    assert capsys.readouterr().out.count("template_changed=True") == reports.count(True)
    bodies = {raw[raw.index(b"\r\nFrom: ") :] for _, raw in stage.mail_server.mails}
    assert len(bodies) == (2 if True in reports else 1)


async def test_data_cannot_reach_out_of_a_template(stage, eventually) -> None:
    name = "{{ ''.__class__.__mro__ }}{% include '/etc/passwd' %}<img src=https://evil.example/x>"
    data = {"site_name": name[:100], "site_url": "https://a.example/"}
    template = {"name": "welcome", "version": 1, "locale": "en", "data": data}
    body = json.dumps({"to": [{"address": "a@b.example"}], "template": template}).encode()

    async with stage.consumer() as consumer:
        await ready(stage, consumer)
        await publish(stage, {str(uuid4()): (body, {"type": "email.v2"})})
        await eventually("the mail is there", lambda: stage.mail_server.mails)

    ((_, raw),) = stage.mail_server.mails
    shown = shown_by(raw)
    assert name[:100] in shown["text"]
    assert "<img" not in shown["html"]
