"""Hashing is slow on purpose, so it is bounded."""

import asyncio

from argon2 import PasswordHasher, extract_parameters

from mailpact_producer.errors import TooBusy
from mailpact_producer.passwords import MAX_WAITING, THREADS, PasswordHashing


async def test_hash_is_argon2id_with_the_parameters_promised() -> None:
    hashing = PasswordHashing()

    encoded = await hashing.hash("correct horse")

    await hashing.close()
    parameters = extract_parameters(encoded)
    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost) == ("ID", 19_456, 2)
    assert PasswordHasher().verify(encoded, "correct horse")


async def test_more_than_can_wait_is_refused_at_once_and_the_rest_is_hashed() -> None:
    hashing = PasswordHashing()
    room = THREADS + MAX_WAITING

    hashes = await asyncio.gather(
        *(hashing.hash("correct horse") for _ in range(room + 3)), return_exceptions=True
    )

    await hashing.close()
    assert sum(isinstance(each, TooBusy) for each in hashes) == 3
    assert len({each for each in hashes if isinstance(each, str)}) == room
