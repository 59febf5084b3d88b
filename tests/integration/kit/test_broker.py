"""The kit with a broker that runs already, given by its URL."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika

SAMPLE = Path(__file__).parents[3] / "contract_tests" / "samples" / "python" / "consumer.py"
CONSUMER = [sys.executable, str(SAMPLE)]
WRONG = """
import os, pika
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.basic_consume(os.environ["AMQP_QUEUE"], lambda c, m, p, b: c.basic_ack(m.delivery_tag))
channel.start_consuming()
"""


def test_a_broker_serves_one_run_after_the_other(verify: Callable[..., Any], broker_url: str) -> None:
    words = ("consumer", "--broker", broker_url, "--timeout", "3", "--run", "C-MSG-*", "--")

    wrong, right = verify(*words, sys.executable, "-c", WRONG), verify(*words, *CONSUMER)

    assert (wrong.exit_code, right.exit_code) == (1, 0), right.text + right.errors


def test_reports_do_not_carry_the_brokers_password(verify: Callable[..., Any], broker_url: str) -> None:
    done = verify(
        "consumer",
        "--broker",
        broker_url,
        "--run",
        "C-MSG-04",
        "--timeout",
        "3",
        "--",
        sys.executable,
        "-c",
        WRONG,
    )

    assert done.exit_code == 1
    assert ":guest@" not in done.text + done.report


def test_queues_that_are_in_use_are_left_alone(verify: Callable[..., Any], broker_url: str) -> None:
    verify("consumer", "--broker", broker_url, "--run", "C-MSG-01", "--", *CONSUMER)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("email", "", b"somebody's", mandatory=True)

        done = verify("consumer", "--broker", broker_url, "--", *CONSUMER)

        assert channel.queue_declare("email.work", passive=True).method.message_count == 1
    assert done.exit_code == 3
    assert "email.work is in use: 1 messages, 0 consumers" in done.errors
