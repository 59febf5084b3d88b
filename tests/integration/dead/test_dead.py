"""`mailpact dead` on both brokers: reading changes nothing, and each change affects only the chosen letters."""

import json
from datetime import UTC, datetime, timedelta

import aiormq

from mailpact.amqp.channels import publish
from mailpact.amqp.messages import Message, Outcome, Routed

A, B, C = (f"5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a{number}" for number in (11, 22, 33))


async def test_list_counts_by_code_and_leaves_every_letter_in_its_place(broker, dead) -> None:
    for message_id, code in ((A, "schema"), (B, "smtp_permanent"), (C, "schema")):
        await broker.letter(message_id, code)

    done = await dead("list", "--json", "--limit", "2")
    again = await dead("list")

    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["total"], found["codes"]) == (3, {"schema": 2, "smtp_permanent": 1})
    assert [letter["message_id"] for letter in found["letters"]] == [A, B]
    assert "secret" not in done.stdout
    assert (again.returncode, "3 letters: schema 2, smtp_permanent 1" in again.stdout) == (0, True)
    assert await broker.ids("email.dead") == [A, B, C]


async def test_list_translates_what_the_broker_wrote(broker, dead) -> None:
    await broker.publish(b"{}", exchange="email", message_id=A, expiration="1")
    async with aiormq.connect(broker.url) as connection:
        channel = await connection.channel()
        while not (await channel.queue_declare("email.dead", passive=True)).message_count:
            pass

    done = await dead("list", "--json")

    (letter,) = json.loads(done.stdout)["letters"]
    assert (letter["message_id"], letter["written_by"], letter["code"]) == (A, "broker", "expired")
    assert "expiration" in letter["detail"]
    assert letter["age_seconds"] < 120


async def test_show_hides_the_body_unless_it_is_asked_for(broker, dead) -> None:
    await broker.letter(A, "schema")
    await broker.letter(B, "schema")

    hidden, shown, missing = (
        await dead("show", A),
        await dead("show", A, "--body", "--json"),
        await dead("show", C),
    )

    assert (hidden.returncode, A in hidden.stdout, "secret" in hidden.stdout) == (0, True, False)
    (letter,) = json.loads(shown.stdout)["letters"]
    assert (letter["body"], letter["headers"]["x-error-code"]) == ('{"secret": 1}', "schema")
    assert missing.returncode == 1
    assert await broker.ids("email.dead") == [A, B]


async def test_control_characters_in_a_letter_do_not_reach_the_terminal(broker, dead) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m"
    await broker.letter(A, evil, **{"x-error-detail": evil, evil: {evil: [evil]}})

    listed, shown = await dead("list"), await dead("show", A)

    for done in (listed, shown):
        assert (done.returncode, "\N{REPLACEMENT CHARACTER}" in done.stdout) == (0, True)
        assert "".join(done.stdout.split("\n")).isprintable()


async def test_replay_moves_what_is_meant_and_nothing_else(broker, dead) -> None:
    await broker.letter(A, "schema")
    await broker.letter(B, "smtp_permanent", **{"x-recipient": "ada@example.org", "x-failed-token": "t"})
    await broker.letter(C, "smtp_permanent")

    done = await dead("replay", "--code", "smtp_permanent", "--json")

    assert json.loads(done.stdout) == {"replayed": 2, "refused_as_too_old": 0}
    assert done.returncode == 0
    first, second = await broker.take("email.work")
    assert (first.header.properties.message_id, second.header.properties.message_id) == (B, C)
    headers = dict(first.header.properties.headers)
    headers.pop("x-delivery-count", None)  # RabbitMQ adds this header at a first delivery, too
    assert headers == {"x-recipient": "ada@example.org", "x-failed-token": "t"}
    assert await broker.ids("email.dead") == [A]


async def test_replay_refuses_old_letters_unless_forced(broker, dead) -> None:
    await broker.letter(A, "schema", datetime.now(UTC) - timedelta(days=31))

    refused = await dead("replay", A)
    forced = await dead("replay", A, "--force")

    assert (refused.returncode, refused.stdout) == (1, "0 replayed\n")
    assert "--force" in refused.stderr
    assert (forced.returncode, forced.stdout) == (0, "1 replayed\n")
    assert await broker.ids("email.work") == [A]


async def test_a_replay_that_leads_nowhere_keeps_the_letter(broker, dead) -> None:
    await broker.letter(A, "schema")
    async with aiormq.connect(broker.url) as connection:
        await (await connection.channel()).queue_delete("email.work")

    done = await dead("replay", A)

    assert done.returncode == 3
    assert "email.requeue has no queue" in done.stderr
    assert await broker.ids("email.dead") == [A]


async def test_a_letter_without_an_id_that_leads_nowhere_is_kept(broker, dead) -> None:
    async with aiormq.connect(broker.url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        letter = Message(b"{}", headers={"x-error-code": "schema"})
        assert await publish(channel, Routed(letter, "email.dlx", mandatory=False), 10) is Outcome.CONFIRMED
        await channel.queue_delete("email.work")

    done = await dead("replay", "--code", "schema", "--force")

    assert done.returncode == 3
    assert "email.requeue has no queue" in done.stderr
    assert await broker.ids("email.dead") == [None]


async def test_drop_removes_what_is_meant_and_nothing_else(broker, dead) -> None:
    await broker.letter(A, "schema", datetime.now(UTC) - timedelta(hours=3))
    await broker.letter(B, "schema")

    done = await dead("drop", "--older-than", "2h", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, {"dropped": 1})
    assert await broker.ids("email.dead") == [B]


async def test_nothing_is_replayed_or_dropped_without_a_word_on_which(broker, dead) -> None:
    await broker.letter(A, "schema")

    for verb in ("replay", "drop"):
        done = await dead(verb)
        assert (done.returncode, done.stdout) == (2, "")
        assert "name the letters" in done.stderr
    assert await broker.ids("email.dead") == [A]


async def test_a_broker_without_our_queues_is_one_line(amqp_url, dead) -> None:
    done = await dead("list")

    assert (done.returncode, done.stdout) == (1, "")
    assert "topology apply" in done.stderr
    assert len(done.stderr.splitlines()) == 1
