"""Hashes passwords with argon2id, in threads of its own and with a bound on who waits.

A hash takes 19 MiB and about 19 ms of a core. In the database's threads a wave of registrations would starve every
transaction; without a bound the last of a wave would wait for minutes, and memory would grow with the wave.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher

from mailpact_producer.errors import TooBusy

THREADS: Final = 2
MAX_WAITING: Final = 32
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1  # OWASP's minimum for argon2id


class PasswordHashing:
    """The threads that hash; `close` ends them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._unfinished = 0

    async def hash(self, password: str) -> str:
        """Return the encoded hash with its salt and parameters. Raises TooBusy at once if too many wait already."""
        if self._unfinished >= THREADS + MAX_WAITING:
            raise TooBusy(f"{MAX_WAITING} passwords wait to be hashed already; ask again in a few seconds")
        self._unfinished += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._hasher.hash, password
            )
        finally:
            self._unfinished -= 1

    async def close(self) -> None:
        """Wait for the hashes that are being made; forget those that wait."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
