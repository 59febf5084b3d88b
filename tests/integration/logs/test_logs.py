"""`mailpact logs` and `mailpact logs collect`, on both brokers."""

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import aiormq
import pytest
from pamqp import commands

from tests.integration.logs.conftest import Broker, Run, line, started, until

pytestmark = pytest.mark.timeout(180)  # the machine may be busy, and commands start


def events(text: str) -> list[str]:
    """Return the events from lines of JSON."""
    return [json.loads(each)["event"] for each in text.splitlines()]


async def test_records_of_all_services_are_shown_in_order_and_stay(broker: Broker, run: Run) -> None:
    await broker.ship("shop", line("1", at="09:00:01"), line("3", at="09:00:03", service="shop"))
    await broker.ship("mailer", line("2", at="09:00:02", level="error"), line("0"))

    first, second = await run("logs", "--json"), await run("logs", "--json")
    errors, of_shop = (
        await run("logs", "--json", "--level", "warning"),
        await run("logs", "--service", "shop"),
    )

    assert (first.returncode, first.stderr, events(first.stdout)) == (0, "", ["0", "1", "2", "3"])
    assert second.stdout == first.stdout
    assert [json.loads(each)["service"] for each in first.stdout.splitlines()] == [
        "mailer", "shop", "mailer", "shop"
    ]  # fmt: skip
    assert events(errors.stdout) == ["2"]
    assert of_shop.stdout.splitlines() == [
        "2026-11-24T09:00:01Z        info     shop      1",
        "2026-11-24T09:00:03Z        info     shop      3",
    ]


EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\x9b31m"


async def test_records_about_one_message_are_found_among_strangers_rubbish(broker: Broker, run: Run) -> None:
    hostile = line(EVIL, service=EVIL, exception=EVIL, **{EVIL: {EVIL: EVIL}})[1].encode()
    async with aiormq.connect(broker.url) as connection:
        channel = await connection.channel()
        for body in (
            b"rubbish",
            b"\xff",
            b'{"level": "info"}',
            b'"%s"' % (b"x" * 1_000_000),
            hostile,
            line("found", message_id="0d9f")[1].encode(),
        ):
            await channel.basic_publish(
                body,
                exchange="logs",
                routing_key="x",
                properties=commands.Basic.Properties(app_id="stranger"),
            )

    found, everything = await run("logs", "--message-id", "0D9F", "--json"), await run("logs")

    assert events(found.stdout) == ["found"]
    assert everything.stdout.count("is no record of log/1  code=") == 4
    assert " code=too_large bytes=1000002\n" in everything.stdout
    assert "".join(everything.stdout.splitlines()).isprintable()
    assert (found.returncode, everything.returncode, everything.stderr) == (0, 0, "")


async def test_hostile_messages_are_collected_as_plain_lines_of_json(broker: Broker, tmp_path: Path) -> None:
    async with aiormq.connect(broker.url) as connection:
        channel = await connection.channel()
        for body in (b"\xff", b"x" * 1_000_000, line(EVIL)[1].encode(), line("last")[1].encode()):
            await channel.basic_publish(body, exchange="logs", routing_key="x")
    file = tmp_path / "records" / "logs.jsonl"

    async with started("logs", "collect", "--out", "records", cwd=tmp_path, MAILPACT_AMQP_URL=broker.url):
        await until(lambda: file.exists() and file.read_bytes().count(b"\n") == 4)

    text = file.read_text()
    assert "".join(text.split("\n")).isprintable()
    assert events(text)[2:] == [EVIL, "last"]


@pytest.mark.parametrize("words", [("logs",), ("logs", "collect", "--out", "records")])
async def test_a_broker_without_the_queue_is_an_error_that_says_what_to_do(
    amqp_url: str, run: Run, words: tuple[str, ...]
) -> None:
    assert amqp_url

    done = await run(*words)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "mailpact: the broker has no queue logs.all, so it keeps no log records; run mailpact topology apply"
    )


@pytest.mark.parametrize("words", [("logs",), ("logs", "--follow")])
async def test_a_broker_that_is_away_ends_the_command(run: Run, words: tuple[str, ...]) -> None:
    done = await run(*words, "--amqp-url", "amqp://127.0.0.1:1")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("mailpact: cannot connect to the broker")


async def test_wrong_use_is_told(run: Run) -> None:
    level, out, spelling = (
        await run("logs", "--level", "bad"),
        await run("logs", "collect"),
        await run("logs", "x"),
    )

    assert [done.returncode for done in (level, out, spelling)] == [2, 2, 2]
    assert "Invalid value for '--level': 'bad' is not one of 'trace', 'debug'," in level.stderr


async def test_following_shows_what_waits_and_what_comes_each_once(broker: Broker, tmp_path: Path) -> None:
    await broker.ship("shop", line("2", at="09:00:02"), line("1", at="09:00:01"))
    words = ("logs", "--follow", "--json")
    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        out = tmp_path / "out"
        await until(lambda: len(events(out.read_text())) == 2)
        await broker.ship(
            "shop", line("3", at="09:00:03"), line("3", at="09:00:03"), line("4", at="09:00:04")
        )
        await until(lambda: len(events(out.read_text())) == 5)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0

    assert events(out.read_text()) == ["1", "2", "3", "3", "4"]
    assert (tmp_path / "err").read_text() == ""
    assert await broker.waiting() == 5


async def test_collected_records_are_in_files_that_rotate_and_not_in_the_queue(
    broker: Broker, tmp_path: Path
) -> None:
    folder = tmp_path / "records"
    words = ("logs", "collect", "--out", "records", "--file-bytes", "1000", "--keep-files", "2")

    def files() -> dict[str, list[str]]:
        return {path.name: events(path.read_text()) for path in sorted(folder.glob("*.jsonl"))}

    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        for number in range(5):
            await broker.ship("shop", line(str(number), more="x" * 1_000))
            await until(lambda number=number: files().get("logs.jsonl") == [str(number)])
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert files() == {"logs.1.jsonl": ["3"], "logs.2.jsonl": ["2"], "logs.jsonl": ["4"]}
    assert (folder / "logs.jsonl").stat().st_mode & 0o777 == 0o600
    assert await broker.waiting() == 0


async def test_a_collector_that_is_killed_loses_no_record(broker: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    words = ("logs", "collect", "--out", "records", "--file-bytes", "5000", "--keep-files", "1000")

    def collected() -> set[str]:
        found: set[str] = set()
        for path in folder.glob("*.jsonl"):
            with suppress(FileNotFoundError):  # the queue has another name now
                text = path.read_text()
                found |= set(events(text[: text.rfind("\n") + 1]))
        return found

    for first in (0, 200):
        async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url):
            for number in range(first, first + 200, 20):
                await broker.ship("shop", *(line(str(number + more)) for more in range(20)))
            await until(lambda first=first: len(collected()) > first)
    async with started(
        *words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url
    ):  # the processes before were killed
        await until(lambda: len(collected()) == 400)


async def test_a_line_that_a_crash_has_cut_is_written_anew(broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "records" / "logs.jsonl"
    file.parent.mkdir()
    file.write_text(line("kept")[1] + "\n" + line("cut")[1][:20])
    await broker.ship("shop", line("cut"))

    async with started("logs", "collect", "--out", "records", cwd=tmp_path, MAILPACT_AMQP_URL=broker.url):
        await until(lambda: file.read_text().count("\n") == 2)

    assert events(file.read_text()) == ["kept", "cut"]


async def test_two_collectors_do_not_share_a_folder(broker: Broker, tmp_path: Path, run: Run) -> None:
    async with started("logs", "collect", "--out", "records", cwd=tmp_path, MAILPACT_AMQP_URL=broker.url):
        await until((tmp_path / "records" / "logs.jsonl").exists)
        second = await run("logs", "collect", "--out", "records")

    assert second.returncode == 2
    assert "another collector writes to" in second.stderr


async def test_a_full_disk_loses_no_record(broker: Broker, tmp_path: Path, run: Run) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "logs.jsonl").symlink_to("/dev/full")
    await broker.ship("shop", line("kept"))

    done = await asyncio.wait_for(run("logs", "collect", "--out", "records"), 60)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mailpact: records/logs.jsonl cannot be written: ")
    await broker.take(1)
