"""Logs readers in and out.

An unknown address costs the same work as a wrong password. After some failures each further attempt waits, longer and
longer, for the account as seen from one network and for the network as a whole. No account is ever locked.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer import audit
from mailpact_producer.accounts import address_key
from mailpact_producer.audit import Act, Who
from mailpact_producer.errors import TooManyAttempts
from mailpact_producer.limits import limit_key
from mailpact_producer.passwords import PasswordHashing
from mailpact_producer.store import audit_log, login_delays, sessions, users
from mailpact_producer.store.users import User
from mailpact_producer.tokens import at_rest

FREE_FAILURES_OF_ACCOUNT: Final = 3
FREE_FAILURES_OF_NETWORK: Final = 30


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A reader who is logged in. `secret` is for the browser's cookie; without it the address is not confirmed yet."""

    user: User
    secret: str | None


class Login:
    """Begins and ends sessions. `nobody` is the hash of a random password, which is checked for an unknown address."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHashing,
        key: bytes,
        *,
        nobody: str,
        new_secret: Callable[[], str],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._key = key
        self._nobody = nobody
        self._new_secret = new_secret

    async def log_in(self, email: str, password: str, network: str) -> LoggedIn | None:
        """Begin a session; None if address or password is wrong.

        Raises TooManyAttempts, TooBusy, DatabaseUnavailable.
        """
        names = self._delays(email, network)
        await self._wait_for_turn(names)
        user = await self._database.transact(lambda connection: users.find(connection, email))
        is_right = await self._passwords.matches(user.password_hash if user else self._nobody, password)
        who = audit.current.get()
        if user is None or not is_right:
            # This is also done for an unknown address, so that both cases cost the same work.
            on = "" if user is None else audit.reader(user.id)
            await self._note(who, Act.LOGIN_FAILED, on)
            return None
        new_hash = None
        if self._passwords.is_outdated(user.password_hash):
            new_hash = await self._passwords.hash(password)
        secret = self._new_secret() if user.is_confirmed else None
        act = Act.LOGIN_FAILED if secret is None else Act.LOGGED_IN
        whose = replace(who, account=user.id)

        def begin(connection: Connection) -> None:
            _begin(connection, user, names, new_hash, secret)
            audit_log.add(connection, whose, act, audit.reader(user.id))

        await self._database.transact(begin)
        return LoggedIn(user, secret)

    async def log_out(self, secret: str) -> None:
        """End a session; to end it twice does no harm."""
        who = audit.current.get()

        def end(connection: Connection) -> None:
            if sessions.end(connection, at_rest(secret)) and who.account is not None:
                audit_log.add(connection, who, Act.LOGGED_OUT, audit.reader(who.account))

        await self._database.transact(end)

    async def reader(self, secret: str) -> User | None:
        """Return the reader of a session; None if the session has ended."""
        return await self._database.transact(lambda connection: sessions.reader(connection, at_rest(secret)))

    async def _note(self, who: Who, act: Act, on: str) -> None:
        await self._database.transact(lambda connection: audit_log.add(connection, who, act, on))

    def _delays(self, email: str, network: str) -> tuple[str, str]:
        account = f"{address_key(email)}\0{network}"
        return limit_key(self._key, "login of account", account), limit_key(self._key, "login", network)

    async def _wait_for_turn(self, names: tuple[str, str]) -> None:
        of_account, of_network = names

        def take_turns(connection: Connection) -> float:
            # Always in this order, to avoid deadlocks (see the limits of mail).
            network = login_delays.take_turn(connection, of_network, free_failures=FREE_FAILURES_OF_NETWORK)
            account = login_delays.take_turn(connection, of_account, free_failures=FREE_FAILURES_OF_ACCOUNT)
            return max(network, account)

        wait = await self._database.transact(take_turns)
        if wait > login_delays.LONGEST_SECONDS:
            raise TooManyAttempts(math.ceil(wait))
        await asyncio.sleep(wait)


def _begin(
    connection: Connection, user: User, names: tuple[str, str], new_hash: str | None, secret: str | None
) -> None:
    for name in names:
        login_delays.forget(connection, name)
    if new_hash is not None:
        users.set_password(connection, user.id, new_hash)
    if secret is not None:
        sessions.begin(connection, at_rest(secret), user.id)
