"""Several consumers on one inbox, crashing, stalling and losing answers anywhere: what is promised holds all the same.

The machine is made of the real inbox on SQLite and the real `decide` and `Liveness`. Deliveries and the mail server are
played here, one step of a try at a time, so that anything can fall between any two steps.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import event, select, update

from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.decide import Drop, Send, State, decide
from mailpact_consumer.inbox import Inbox, Key
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.schema import inbox, owners

KEY = Key("5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11", "a" * 64)
BODY = "b" * 64
WHICH = st.integers(min_value=0, max_value=1)
STEPS = st.sampled_from([1, 2, 3, 3])  # look, claim, begin DATA
ENDS = ("accepted", "accepted", "refused now", "lost mail", "lost nothing", "crash after mail")


@dataclass
class Process:
    """One consumer process with one delivery of the message; `step` is how far its try came."""

    inbox: Inbox
    liveness: Liveness
    step: str = "idle"
    send: Send | None = None
    token: str = ""
    tokens: set[str] = field(default_factory=set)
    trusted_since: float | None = None
    is_stalled: bool = False


def without_waiting_for_the_disk(database: Database) -> None:
    """Let commits be as fast as they may: no power fails here."""
    event.listen(database._engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))


class Consumers(RuleBasedStateMachine):
    """One message, delivered again and again to two consumers with one inbox."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.database = open_database(DatabaseUrl.of_file(Path(self.folder.name) / "inbox.db"))
        without_waiting_for_the_disk(self.database)
        self.numbers = count()
        self.now = 100.0
        self.mails = self.letters = self.acked = self.possible_mails = 0
        self.run(Inbox(self.database, "nobody").prepare())
        self.processes = [self.started(), self.started()]

    @initialize(steps=st.sampled_from([0, 2, 3]))
    def begin_after_a_crash(self, steps: int) -> None:
        for _ in range(steps):
            self.go_one_step(0, "accepted", is_refused=False)
        if steps:
            self.crash(0)
            self.pass_time()

    @rule(
        which=WHICH, steps=STEPS, end=st.sampled_from(ENDS), is_refused=st.sampled_from([False] * 5 + [True])
    )
    def go_on(self, which: int, steps: int, end: str, is_refused: bool) -> None:
        for _ in range(steps):
            self.go_one_step(which, end, is_refused)

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.processes[which] = self.started()

    @rule()
    def pass_time(self) -> None:
        """Let 12 seconds pass in which those that run renew their rows; every row is aged instead of waiting."""
        for _ in range(2):
            self.now += 6
            aged = update(owners).values(renewed_at=owners.c.renewed_at - 6 * clock.SECOND)
            self.run(self.database.transact(lambda connection, aged=aged: connection.execute(aged)))
            for process in self.processes:
                if not process.is_stalled:
                    self.run(process.liveness.renew())

    @rule(which=WHICH, steps=st.integers(min_value=0, max_value=6), end=st.sampled_from(ENDS))
    def stall(self, which: int, steps: int, end: str) -> None:
        """Stop a process for 12 seconds, as a frozen machine would; the other one goes on meanwhile."""
        self.processes[which].is_stalled = True
        self.pass_time()
        for _ in range(steps):
            self.go_one_step(1 - which, end, is_refused=False)
        self.processes[which].is_stalled = False
        self.run(self.processes[which].liveness.renew())

    @invariant()
    def two_that_trust_themselves_are_never_in_data_at_once(self) -> None:
        sure = [
            process
            for process in self.processes
            if process.step == "data" and process.liveness.trusted_since() == process.trusted_since
        ]

        assert len(sure) <= 1

    @invariant()
    def a_250_that_was_recorded_is_never_forgotten(self) -> None:
        assert not self.is_recorded_sent or self.column("state") == State.SENT

    @invariant()
    def what_was_acked_is_a_mail_or_a_letter(self) -> None:
        assert self.acked == 0 or self.mails + self.letters > 0

    def teardown(self) -> None:
        try:
            self.settle_at_last()
        finally:
            self.run(self.database.close())
            self.runner.close()
            self.folder.cleanup()

    is_recorded_sent = False

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def started(self) -> Process:
        owner = f"owner-{next(self.numbers)}"
        liveness = Liveness(self.database, owner, monotonic=lambda: self.now)
        self.run(liveness.announce())
        return Process(Inbox(self.database, owner), liveness)

    def go_one_step(self, which: int, end: str, is_refused: bool) -> None:
        process = self.processes[which]
        match process.step:
            case "idle":
                self.look(process)
            case "seen" if is_refused:
                self.refuse_for_good(process)
            case "seen":
                self.claim(process)
            case "claimed":
                self.begin_data(process)
            case "data":
                self.end_data(which, end)

    def look(self, process: Process) -> None:
        decision = decide(
            self.run(process.inbox.rows(KEY.message_id)),
            recipient_sha256=KEY.recipient_sha256,
            body_sha256=BODY,
            owner=process.liveness.owner,
            tokens=process.tokens,
            may_have_been_sent=False,
        )
        if isinstance(decision, Drop):
            self.ack(process)
        elif isinstance(decision, Send):
            process.send, process.step = decision, "seen"

    def claim(self, process: Process) -> None:
        assert process.send is not None
        process.trusted_since = process.liveness.trusted_since()
        process.token = f"token-{next(self.numbers)}"
        process.tokens.add(process.token)
        claim = self.run(process.inbox.claim(KEY, process.send, token=process.token, body_sha256=BODY))
        process.step = "claimed" if claim else "idle"

    def begin_data(self, process: Process) -> None:
        if process.trusted_since is None or process.liveness.trusted_since() != process.trusted_since:
            process.step = "idle"
            return
        assert self.possible_mails <= int(self.column("uncertain")), "this copy was not counted before"
        process.tokens.clear()
        process.step = "data"
        self.possible_mails += 1

    def end_data(self, which: int, end: str) -> None:
        process = self.processes[which]
        process.step = "idle"
        self.mails += end in ("accepted", "lost mail", "crash after mail")
        match end:
            case "accepted":
                self.run(process.inbox.finish_sent(KEY, 250))
                self.is_recorded_sent = True
                self.ack(process)
            case "refused now":
                process.tokens.add(process.token)
                self.possible_mails -= 1
            case "crash after mail":
                self.crash(which)

    def refuse_for_good(self, process: Process) -> None:
        assert process.send is not None
        self.letters += 1
        is_recorded = self.run(
            process.inbox.finish_failed(
                KEY,
                550,
                seen_token=process.send.seen.token if process.send.seen else None,
                token=f"token-{next(self.numbers)}",
                body_sha256=BODY,
            )
        )
        process.step = "idle"
        if is_recorded:
            self.ack(process)

    def ack(self, process: Process) -> None:
        """End this delivery; the next of the same message, a copy, follows at once."""
        process.step = "idle"
        process.tokens.clear()
        self.acked += 1

    def settle_at_last(self) -> None:
        """Kill everybody and give the message to a new process: it must be settled, as a mail or as a letter."""
        self.processes = [self.started()]
        self.pass_time()
        before = self.acked
        for _ in range(4):
            if self.acked == before:
                self.go_one_step(0, "accepted", is_refused=False)

        assert self.acked > before
        assert self.mails + self.letters > 0

    def column(self, name: str) -> Any:
        query = select(inbox.c[name])
        return self.run(self.database.transact(lambda connection: connection.execute(query).scalar()))


TestConsumers = Consumers.TestCase
TestConsumers.settings = settings(max_examples=50, stateful_step_count=10, deadline=None)
