"""Hashes passwords with argon2id, in separate threads and with a limit of waiting requests.

A hash takes 19 MiB and about 19 ms of a core. If the database's threads did this work, many registrations at once
would block all transactions. Without a limit the last of many requests would wait for minutes. There are as many
threads as CPUs, and on Linux the operating system prefers the event loop to them: pages are read quickly while
passwords are hashed.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mailpact.database.transactions import in_thread
from mailpact_producer.errors import TooBusy

T = TypeVar("T")

WAITING_FOR_EACH_THREAD: Final = 128  # about two and a half seconds
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1  # OWASP's minimum for argon2id
NICENESS: Final = 10


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PasswordHashing:
    """The threads that hash passwords; `close` stops them."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords", initializer=_step_back)
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._most = threads * (1 + WAITING_FOR_EACH_THREAD)
        self._unfinished = 0

    async def hash(self, password: str) -> str:
        """Return the encoded hash with its salt and parameters. Raises TooBusy at once if too many wait already."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, encoded: str, password: str) -> bool:
        """Return whether the password is the one that was hashed. Raises TooBusy at once if too many wait already."""
        return await self._run(self._verify, encoded, password)

    def is_outdated(self, encoded: str) -> bool:
        """Return whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    async def close(self) -> None:
        """Wait for the hashes that are being made; drop the requests that wait."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._unfinished >= self._most:
            raise TooBusy(f"{self._most} passwords wait to be hashed already")
        self._unfinished += 1
        try:
            return await in_thread(self._threads, partial(work, *arguments))
        finally:
            self._unfinished -= 1


def _step_back() -> None:
    # On Linux alone a thread has a priority of its own; elsewhere this would slow the whole process down.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
