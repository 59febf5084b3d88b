"""Broken messages: whatever a program publishes becomes a mail or a dead letter, and the queue is empty at the end.

Published vectors are broken in a reproducible way: bytes, values, properties, headers. A failing run names the batch.
`MAILPACT_TEST_FUZZ_MESSAGES` says how many messages; 10,000 take some minutes.
"""

import asyncio
import base64
import json
import os
import random
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiormq
import pytest
from pamqp import commands

from mailpact.telemetry import Point

MESSAGES = int(os.environ.get("MAILPACT_TEST_FUZZ_MESSAGES", "240"))
BATCH = 120
CONTRACTS = Path(__file__).parents[3] / "contracts" / "email"
ENDS = {Point.SENT, Point.BURIED}

Chance = random.Random


def seeds() -> list[bytes]:
    """Return the bodies of the vectors that are not huge and have no later sending time."""
    bodies = []
    for path in sorted(CONTRACTS.rglob("vectors/*/*.json")):
        vector = json.loads(path.read_text())
        match vector:
            case {"body": str(text)}:
                body = text.encode()
            case {"body_base64": str(encoded)}:
                body = base64.b64decode(encoded)
            case _:
                continue
        if len(body) < 4096 and b"not_before" not in body:
            bodies.append(body)
    return bodies


SEEDS = seeds()
TOKENS = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(
        b"NaN",
        b"1e999",
        b"-0",
        b"null",
        b"true",
        b"[" * 40,
        b'"email"',
        b'"to"',
        b"\r\n.\r\n",
        b"\r\nBcc: a@b.example",
    ),
    *("ü@é.example".encode(), b"a@b.example", "\u2028".encode(), "\U0001f600".encode(), b"{{ 7*7 }}"),
]


def flip(chance: Chance, body: bytearray) -> None:
    body[chance.randrange(len(body))] = chance.randrange(256)


def cut(chance: Chance, body: bytearray) -> None:
    at = chance.randrange(len(body))
    del body[at : at + chance.randrange(1, 20)]


def repeat(chance: Chance, body: bytearray) -> None:
    at = chance.randrange(len(body))
    body[at:at] = body[at : at + chance.randrange(1, 30)] * chance.choice([1, 2, 50])


def insert(chance: Chance, body: bytearray) -> None:
    at = chance.randrange(len(body) + 1)
    body[at:at] = chance.choice(TOKENS)


def splice(chance: Chance, body: bytearray) -> None:
    other = chance.choice(SEEDS)
    body[chance.randrange(len(body)) :] = other[chance.randrange(len(other) + 1) :]


MUTATIONS: list[Callable[[Chance, bytearray], None]] = [flip, cut, repeat, insert, splice]
IDS: list[Callable[[Chance], str]] = [
    lambda chance: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    lambda chance: uuid.UUID(int=chance.getrandbits(128), version=4).hex.upper(),
    lambda chance: f"order-{chance.getrandbits(64)}",
    lambda chance: f"{chance.getrandbits(64)} {chr(chance.randrange(32, 0xD7FF))}",
    lambda chance: f"{chance.getrandbits(64)}".ljust(255, "x"),
]
VALUES: list[Callable[[Chance], Any]] = [
    lambda chance: chance.getrandbits(40),
    lambda chance: -1.5,
    lambda chance: "x" * chance.choice([0, 1, 300, 20_000]),
    lambda chance: [1, "two", {"three": [None, True]}],
    lambda chance: datetime(1970, 1, 1, tzinfo=UTC),
    lambda chance: bytearray(b"\xff\xfe"),
    lambda chance: None,
]
NAMES = [
    *(
        "x-retry",
        "x-death",
        "x-delivery-count",
        "x-first-death-queue",
        "x-error-code",
        "x-attempts",
        "x-mailpact-id",
    ),
    *("x-maybe-sent", "traceparent", "CC", "ü", "x" * 120),
]
TYPES = [None, "", "email.v1", "email.v1", "email.v2", "email.v3", "x" * 255]
CONTENT_TYPES = [
    *(None, "", "application/json", "application/json; charset=utf-8", "text/plain", "text/html"),
    *("APPLICATION/JSON", ";;"),
]


def broken(chance: Chance) -> tuple[bytes, commands.Basic.Properties]:
    """Return a message: a vector's body with up to three faults, and properties of any kind."""
    body = bytearray(chance.choice(SEEDS) or b"0")
    for _ in range(chance.randrange(4)):
        chance.choice(MUTATIONS)(chance, body)
        body = body or bytearray(b"0")
    headers = {
        chance.choice(NAMES): chance.choice(VALUES)(chance) for _ in range(chance.choice([0, 0, 1, 3]))
    }
    return bytes(body), commands.Basic.Properties(
        message_id=chance.choice(IDS)(chance),
        message_type=chance.choice(TYPES),
        content_type=chance.choice(CONTENT_TYPES),
        content_encoding=chance.choice([None, None, None, "", "utf-8", "gzip"]),
        timestamp=chance.choice([None, datetime(2026, 11, 28, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]),
        priority=chance.choice([None, 0, 9]),
        headers={name: value for name, value in headers.items() if name not in {"CC", "x-delivery-count"}},
    )


@pytest.mark.timeout(60 + MESSAGES // 5)
async def test_whatever_is_published_becomes_a_mail_or_a_letter(stage: Any, eventually: Any) -> None:
    reached: dict[str, set[Point]] = defaultdict(set)
    acked: list[str] = []

    def note(point: Point, key: str) -> None:
        reached[key].add(point)
        if point is Point.ACKED:
            acked.append(key)

    stage.journey.watch(note)
    async with stage.consumer() as consumer:
        async with asyncio.timeout(20):
            await consumer.consuming.wait()
        async with aiormq.connect(stage.amqp_url) as connection:
            channel = await connection.channel()
            for batch in range(MESSAGES // BATCH):
                chance = random.Random(batch)
                sending = [broken(chance) for _ in range(BATCH)]
                await asyncio.gather(
                    *(
                        channel.basic_publish(body, exchange="email", properties=properties, mandatory=True)
                        for body, properties in sending
                    )
                )
                done = (batch + 1) * BATCH
                await eventually(f"batch {batch} is settled", lambda done=done: len(acked) == done)
        lost = [key for key, points in reached.items() if not points & ENDS]

        assert lost == []
        assert len(acked) == len(set(acked)) == MESSAGES // BATCH * BATCH
        assert {point for points in reached.values() for point in points} >= ENDS
        assert await stage.waiting("email.work") == 0
        letters = sum(Point.BURIED in points for points in reached.values())
        assert await stage.waiting("email.dead") >= letters
