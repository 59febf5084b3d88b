"""Hashing a password is slow on purpose, so the number of hashes at a time is limited."""

import asyncio
import os
import sys
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters

from mailpact_producer import passwords
from mailpact_producer.errors import TooBusy
from mailpact_producer.passwords import PasswordHashing, usable_cpus


async def test_hash_is_argon2id_with_the_parameters_promised() -> None:
    hashing = PasswordHashing(1)

    encoded = await hashing.hash("correct horse")

    await hashing.close()
    parameters = extract_parameters(encoded)
    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost) == ("ID", 19_456, 2)
    assert PasswordHasher().verify(encoded, "correct horse")


async def test_more_than_can_wait_is_refused_at_once_and_the_rest_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "WAITING_FOR_EACH_THREAD", 4)
    hashing = PasswordHashing(1)
    room = 1 + 4

    hashes = await asyncio.gather(
        *(hashing.hash("correct horse") for _ in range(room + 3)), return_exceptions=True
    )

    await hashing.close()
    assert sum(isinstance(each, TooBusy) for each in hashes) == 3
    assert len({each for each in hashes if isinstance(each, str)}) == room


async def test_password_matches_its_own_hash_only() -> None:
    hashing = PasswordHashing(1)
    encoded = await hashing.hash("correct horse")

    matches = [await hashing.matches(encoded, typed) for typed in ("correct horse", "Correct horse", "")]
    broken = await hashing.matches("not a hash", "correct horse")

    await hashing.close()
    assert (matches, broken) == ([True, False, False], False)
    assert not hashing.is_outdated(encoded)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
async def test_threads_that_hash_step_back_behind_the_event_loop() -> None:
    hashing = PasswordHashing(1)
    await hashing.hash("correct horse")
    (thread,) = [each for each in threading.enumerate() if each.name.startswith("passwords")]

    niceness = os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)

    await hashing.close()
    assert niceness > os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_there_is_a_thread_for_each_cpu_of_the_process() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
