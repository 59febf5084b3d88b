"""Consumers stop, freeze, start again or lose their rights: each message still becomes exactly one mail."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ID = "5d0f7a3e-2f4b-4c7e-9a51-{:012d}"
SCRIPTED = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Server:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if "grey" in address:
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(envelope.rcpt_tos[0], flush=True)
        return "250 OK"
async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Server(), hostname="localhost"), "127.0.0.1", int(sys.argv[1]))
    print("up", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def publish(mailpact: Any, *names: str) -> None:
    for number, name in enumerate(names):
        body = json.dumps({"email": f"{name}@example.org", "message": f"Hello {name}"}).encode()
        mailpact.publish(body, message_id=ID.format(number))


def wait_for_each(mailpact: Any, wait_until: Any, *names: str) -> None:
    for name in names:
        wait_until(f"{name} has mail", lambda name=name: mailpact.mails(f"{name}@example.org"))


@pytest.mark.timeout(180)
def test_three_consumers_share_a_queue_though_one_stops_and_one_freezes_and_comes_back(
    on_both: Any, wait_until: Any
) -> None:
    separator = "&" if "?" in on_both.amqp_url else "?"
    on_both.amqp_url += f"{separator}heartbeat=2"
    going, stopping, freezing = (on_both.consumer() for _ in range(3))
    wait_until("all three consume", lambda: on_both.consumers("email.work") == 3)
    names = [f"reader-{number}" for number in range(60)]

    freezing.process.send_signal(signal.SIGSTOP)
    publish(on_both, *names)
    assert stopping.stop() == 0
    wait_for_each(on_both, wait_until, *names)
    freezing.process.send_signal(signal.SIGCONT)
    wait_until("the frozen one is back", lambda: freezing.log().count("consuming has begun") >= 2)
    publish(on_both, *names)  # the same messages again: any consumer may take them

    wait_until("nothing is left", lambda: on_both.waiting("email.work") == 0)
    assert [freezing.stop(), going.stop()] == [0, 0]
    assert [len(on_both.mails(f"{name}@example.org")) for name in names] == [1] * 60
    assert "may go out twice" not in going.log() + stopping.log() + freezing.log()


def test_log_says_when_a_consumer_is_connected_consumes_and_has_stopped(
    on_both: Any, wait_until: Any
) -> None:
    consumer = on_both.consumer()
    consumer.stop()

    lines = [json.loads(line)["event"] for line in consumer.log().splitlines()]
    said = [line for line in lines if line in STEPS]
    assert said == STEPS


STEPS = ["connected to the broker", "consuming has begun", "the consumer has stopped"]


def test_refusal_of_the_whole_mail_before_a_stop_is_not_reported_as_uncertain_afterwards(
    on_both: Any, scripted_smtp: Any, wait_until: Any
) -> None:
    scripted_smtp.data_replies = ["451 4.3.0 try again"] * 2
    consumer = on_both.start_consumer_at(scripted_smtp.url)
    wait_until("it consumes", lambda: on_both.consumers("email.work") == 1)
    publish(on_both, "ada", "grace")
    wait_until("both were refused", lambda: not scripted_smtp.data_replies)

    assert consumer.stop() == 0
    again = on_both.start_consumer_at(scripted_smtp.url)

    wait_until("both are mails", lambda: len(scripted_smtp.mails) == 2)
    wait_until("nothing is left", lambda: on_both.waiting("email.work") == 0)
    assert again.stop() == 0
    assert "may go out twice" not in consumer.log() + again.log()
    assert len(scripted_smtp.mails) == 2


class MailServerProcess:
    """A mail server that greylists recipients with `grey` in their names, in a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"smtp://127.0.0.1:{port}"
        self._port = port
        self._output = folder / "smtp.out"

    def start(self) -> None:
        with self._output.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SCRIPTED, str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def taken(self) -> list[str]:
        lines = self._output.read_text().splitlines()
        return sorted(line for line in lines if "@" in line)

    def is_up(self) -> bool:
        return "up" in self._output.read_text()


@pytest.fixture
def smtp_process(tmp_path: Path, free_port: int) -> Iterator[MailServerProcess]:
    server = MailServerProcess(tmp_path, free_port)
    server.start()
    yield server
    server.stop()


@pytest.mark.timeout(180)
def test_operator_who_closes_the_connections_again_and_again_holds_up_no_good_mail(
    rabbitmq_node: Any, rabbitmq_url: str, mailpact_at: Any, smtp_process: Any, wait_until: Any
) -> None:
    mailpact = mailpact_at(rabbitmq_url)
    vhost = rabbitmq_url.rpartition("/")[2]
    consumer = mailpact.start_consumer_at(smtp_process.url)
    wait_until("it consumes", lambda: mailpact.consumers("email.work") == 1)
    wait_until("the mail server is up", smtp_process.is_up)
    smtp_process.stop()
    good = [f"good-{number}" for number in range(20)]
    publish(mailpact, "grey", *good)

    for times in range(1, 4):
        rabbitmq_node.close_connections(vhost)
        wait_until(
            "it is connected again",
            lambda times=times: consumer.log().count("connected to the broker") > times,
        )
    smtp_process.start()

    wait_until(
        "every good one is a mail", lambda: smtp_process.taken() == sorted(f"{n}@example.org" for n in good)
    )
    assert consumer.stop() == 0


@pytest.mark.timeout(180)
def test_rights_that_were_taken_and_given_back_on_the_broker_are_used_again(
    rabbitmq_node: Any, rabbitmq_url: str, mailpact_at: Any, wait_until: Any
) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    rabbitmq_node.add_user("shop", "secret", vhost)
    try:
        operator = mailpact_at(rabbitmq_url)
        operator.capture()
        _, _, address = rabbitmq_url.rpartition("@")
        operator.amqp_url = f"amqp://shop:secret@{address}"
        consumer = operator.consumer()
        operator.amqp_url = rabbitmq_url

        rabbitmq_node.give_rights("shop", vhost, names="")
        rabbitmq_node.close_connections(vhost)
        wait_until("the refusal is said", lambda: "the broker refuses access" in consumer.log())
        names = [f"reader-{number}" for number in range(20)]
        publish(operator, *names)
        rabbitmq_node.give_rights("shop", vhost)

        wait_for_each(operator, wait_until, *names)
        assert consumer.stop() == 0
        assert [len(operator.mails(f"{name}@example.org")) for name in names] == [1] * 20
    finally:
        rabbitmq_node.delete_user("shop")
