"""Several consumers share one queue and one inbox, and crash, stall and lose answers at any step: the promises hold.

The machine uses the real inbox on SQLite and the real `decide` and `Liveness`. The work queue, the retry queue, the
dead letters and the mail server are simulated here, one step of a try at a time: a crash can fall between any two
steps.
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
from mailpact_consumer.decide import TERMINAL, Drop, Send, State, decide
from mailpact_consumer.inbox import Claim, ClaimRequest, Inbox, Seen, Sent, Subject, Transition
from mailpact_consumer.inbox_sql import Key
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.schema import inbox, owners

SUBJECT = Subject(Key("5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11", "a" * 64), "b" * 64)
WHICH = st.integers(min_value=0, max_value=1)
STEPS = st.integers(min_value=1, max_value=6)
ANSWERS = ("accepted", "accepted", "later", "never", "lost mail", "lost nothing")
MOST_UNANSWERED = 3


@dataclass
class Copy:
    """One copy of the message at the broker; a replayed letter carries the token of its failure."""

    failed_token: str | None = None


@dataclass
class Process:
    """One consumer process with at most one delivery; `step` is the last step that its try has reached."""

    inbox: Inbox
    liveness: Liveness
    copy: Copy | None = None
    step: str = "idle"
    send: Send | None = None
    claim: Claim | None = None
    is_refused: bool = False
    tokens: set[str] = field(default_factory=set)
    trusted_since: float | None = None
    is_stalled: bool = False


def without_waiting_for_the_disk(database: Database) -> None:
    """Switch off the database's waits for the disk: the test has no power failures."""
    event.listen(database._engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))


class Consumers(RuleBasedStateMachine):
    """One message and two consumers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.database = open_database(DatabaseUrl(f"sqlite:///{Path(self.folder.name) / 'inbox.db'}"))
        without_waiting_for_the_disk(self.database)
        self.numbers = count()
        self.now = 100.0
        self.queue = [Copy()]
        self.retries: list[Copy] = []
        self.letters: list[str] = []
        self.mails = self.possible_mails = 0
        self.is_recorded_sent = False
        self.run(Inbox(self.database, "nobody").prepare())
        self.processes = [self.started(), self.started()]

    @initialize(steps=st.integers(min_value=0, max_value=5), answer=st.sampled_from(ANSWERS))
    def begin_after_a_crash(self, steps: int, answer: str) -> None:
        self.go_on(0, steps, answer, "")
        if steps:
            self.crash(0)
            self.pass_time()

    @rule(
        which=WHICH,
        steps=STEPS,
        answer=st.sampled_from(ANSWERS),
        refusal=st.sampled_from([""] * 8 + ["now", "for good", "at the dot"]),
    )
    def go_on(self, which: int, steps: int, answer: str, refusal: str) -> None:
        for _ in range(steps):
            self.go_one_step(self.processes[which], answer, refusal)

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.give_back(self.processes[which])
        self.processes[which] = self.started()

    @rule(which=WHICH)
    def lose_connection(self, which: int) -> None:
        """Let the broker give the message to others while this process still works on it."""
        process = self.processes[which]
        if process.copy is not None and process.step != "idle":
            self.queue.append(process.copy)
            process.copy = None

    @rule()
    def publish_it_again(self) -> None:
        if len(self.queue) + len(self.retries) < 4:
            self.queue.append(Copy())

    @rule()
    def replay_a_letter(self) -> None:
        if self.letters:
            self.queue.append(Copy(self.letters.pop(0)))

    @rule()
    def wait_in_the_retry_queue(self) -> None:
        self.queue += self.retries
        self.retries = []

    @rule()
    def pass_time(self) -> None:
        """Let 12 seconds pass, in which running processes renew their rows; rows are made older instead of waiting."""
        for _ in range(2):
            self.now += 6
            aged = update(owners).values(renewed_at=owners.c.renewed_at - 6 * clock.SECOND)
            self.run(self.database.transact(lambda connection, aged=aged: connection.execute(aged)))
            for process in self.processes:
                if not process.is_stalled:
                    self.run(process.liveness.renew())

    @rule(which=WHICH, steps=STEPS, answer=st.sampled_from(ANSWERS))
    def stall(self, which: int, steps: int, answer: str) -> None:
        """Stall one process for 12 seconds, as a frozen machine would; the other process goes on meanwhile."""
        stalled = self.processes[which]
        stalled.is_stalled = True
        self.pass_time()
        self.lose_connection(which)
        self.go_on(1 - which, steps, answer, "")
        stalled.is_stalled = False
        self.run(stalled.liveness.renew())

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
    def the_message_is_a_mail_or_a_letter_or_still_on_its_way(self) -> None:
        in_hand = any(process.copy is not None for process in self.processes)

        assert self.mails or self.letters or self.queue or self.retries or in_hand

    def teardown(self) -> None:
        try:
            self.settle_at_last()
        finally:
            self.run(self.database.close())
            self.runner.close()
            self.folder.cleanup()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def started(self) -> Process:
        owner = f"owner-{next(self.numbers)}"
        liveness = Liveness(self.database, owner, monotonic=lambda: self.now)
        self.run(liveness.announce())
        return Process(Inbox(self.database, owner), liveness)

    def go_one_step(self, process: Process, answer: str, refusal: str) -> None:  # noqa: C901  # a table of steps
        match process.step:
            case "idle" if self.queue:
                process.copy, process.step = self.queue.pop(0), "delivered"
            case "delivered":
                self.look(process)
            case "seen" if refusal == "for good":
                self.write_letter(process)
            case "seen" if refusal == "now":
                self.defer(process)
            case "seen":
                self.take(process)
            case "claimed":
                self.begin_data(process)
            case "data" if refusal == "at the dot":
                self.possible_mails -= 1
                self.write_letter(process)
            case "data":
                self.end_data(process, answer)
            case "accepted":
                self.run(process.inbox.record_sent(Sent(SUBJECT, "t", 1, 250, "ok", "event\n")))
                self.is_recorded_sent = True
                process.step = "settled"
            case "buried":
                self.end(process)
            case "to put off":
                if process.copy is not None:
                    self.retries.append(Copy())  # a retry copy is no dead letter any more
                process.step = "settled"
            case "settled":
                self.finish(process)

    def look(self, process: Process) -> None:
        assert process.copy is not None or process.step == "delivered"
        rows = self.run(process.inbox.rows(SUBJECT.key.message_id))
        decision = decide(
            rows[0] if rows else None,
            owner=process.liveness.owner,
            tokens=process.tokens,
            may_have_been_sent=False,
            failed_token=process.copy.failed_token if process.copy else None,
        )
        match decision:
            case Drop():
                process.step = "settled"
            case Send():
                process.send, process.step = decision, "seen"
                process.claim = None
            case _:
                process.step = "to put off"

    def take(self, process: Process) -> None:
        assert process.send is not None
        process.trusted_since = process.liveness.trusted_since()
        token = f"token-{next(self.numbers)}"
        process.tokens.add(token)
        process.claim = self.run(process.inbox.claim(ClaimRequest(SUBJECT, process.send, token)))
        process.step = "claimed" if process.claim else "delivered"

    def begin_data(self, process: Process) -> None:
        if process.trusted_since is None or process.liveness.trusted_since() != process.trusted_since:
            self.defer(process)
            return
        assert self.possible_mails <= int(self.column("uncertain")), "this copy was not counted before"
        process.tokens.clear()
        process.step = "data"
        self.possible_mails += 1

    def end_data(self, process: Process, answer: str) -> None:
        self.mails += answer in ("accepted", "lost mail", "never")
        match answer:
            case "accepted":
                process.step = "accepted"
            case "later":
                self.possible_mails -= 1
                self.defer(process)
            case _:
                self.leave_unanswered(process)

    def seen(self, process: Process) -> Seen | None:
        if process.claim is not None:
            return Seen(State.SENDING, process.claim.token)
        row = process.send.seen if process.send else None
        return Seen(row.state, row.token) if row else None

    def leave_unanswered(self, process: Process) -> None:
        assert process.claim is not None
        unanswered = process.claim.unanswered + 1
        if unanswered >= MOST_UNANSWERED:
            self.write_letter(process)
        else:
            self.defer(process, unanswered=unanswered, is_uncertain=True)

    def defer(self, process: Process, *, unanswered: int = 0, is_uncertain: bool = False) -> None:
        transition = Transition(
            SUBJECT,
            self.seen(process),
            State.DEFERRED,
            f"token-{next(self.numbers)}",
            attempts=1,
            unanswered=unanswered,
            # A claim counts an earlier try that may have been a mail; without a claim this transition has to.
            is_uncertain=is_uncertain or (process.claim is None and self.is_taken_over(process)),
            wait_seconds=0.0,
        )
        process.step = "to put off" if self.run(process.inbox.move(transition)) else "delivered"

    def is_taken_over(self, process: Process) -> bool:
        return process.send is not None and process.send.is_uncertain

    def write_letter(self, process: Process) -> None:
        process.is_refused = True
        self.letters.append(f"token-{next(self.numbers)}")
        process.step = "buried"

    def end(self, process: Process) -> None:
        transition = Transition(
            SUBJECT,
            self.seen(process),
            State.FAILED,
            self.letters[-1] if self.letters else f"token-{next(self.numbers)}",
            attempts=1,
            is_uncertain=True,
        )
        process.step = "settled" if self.run(process.inbox.move(transition)) else "delivered"

    def finish(self, process: Process) -> None:
        """Acknowledge the delivery; a delivery that was lost meanwhile belongs to another process."""
        process.copy, process.step = None, "idle"
        process.tokens.clear()

    def give_back(self, process: Process) -> None:
        if process.copy is not None:
            self.queue.insert(0, process.copy)

    def settle_at_last(self) -> None:
        """Stop all processes and give all copies to a new one: the message ends as a mail or as a dead letter."""
        for process in self.processes:
            self.give_back(process)
        self.processes = [self.started()]
        self.pass_time()
        for _ in range(100):
            self.wait_in_the_retry_queue()
            self.go_one_step(self.processes[0], "accepted", "")

        assert self.queue == self.retries == []
        assert self.mails or self.letters
        assert self.column("state") in TERMINAL

    def column(self, name: str) -> Any:
        query = select(inbox.c[name])
        return self.run(self.database.transact(lambda connection: connection.execute(query).scalar()))


TestConsumers = Consumers.TestCase
TestConsumers.settings = settings(max_examples=50, stateful_step_count=12, deadline=None)
