"""Hashes passwords with argon2id in threads of their own, so that neither the event loop nor the database waits."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.low_level import Type

MEMORY_KIB, PASSES, LANES = 19_456, 2, 1  # OWASP's minimum for argon2id; about 20 ms
THREADS = 2
WAITING = 32


class TooBusy(Exception):
    """More passwords wait to be hashed than can be in reasonable time; ask the reader to come back."""


class Hashing:
    """A few threads that hash, and a bound on how many may wait for them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="argon2")
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID
        )
        self._under_way = 0

    async def hash(self, password: str) -> str:
        """Give the encoded hash, salt and parameters included. Raises TooBusy."""
        if self._under_way >= THREADS + WAITING:
            raise TooBusy
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._hasher.hash, password
            )
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Wait for the hashes under way."""
        await asyncio.to_thread(self._threads.shutdown)
