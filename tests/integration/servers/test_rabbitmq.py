"""The operations of the private RabbitMQ node that tests of outages use."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import RunFolder
from tests.servers.where import Servers

# The limit is longer than a start (90 s) and a call (60 s) may take: only their own errors say what the node did.
pytestmark = pytest.mark.timeout(180)
PATIENCE_SECONDS = 20
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[BlockingChannel]:
    """Yield a channel with confirms in the test's own vhost."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    with contextlib.suppress(pika.exceptions.AMQPError):  # some tests break the connection
        connection.close()


def wait_until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def said_in(channel: BlockingChannel, said: list[str]) -> list[str]:
    """Run the connection's callbacks; return what they have recorded so far."""
    channel.connection.process_data_events(time_limit=0.02)
    return said


def waiting(url: str, queue: str) -> int:
    """Return how many messages a queue holds."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_has_an_empty_vhost(channel: BlockingChannel, turn: str) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
        channel.queue_declare("work", passive=True)
    channel.connection.channel().queue_declare("work", durable=True)

    assert refused.value.reply_code == 404


def test_killed_node_keeps_what_it_confirmed_to_a_new_queue(
    rabbitmq_node: Rabbitmq, rabbitmq_url: str, channel: BlockingChannel
) -> None:
    channel.queue_declare("work", durable=True, arguments=QUORUM)
    for number in range(50):
        channel.basic_publish("", "work", str(number).encode())

    rabbitmq_node.kill()
    was_running = rabbitmq_node.is_running
    rabbitmq_node.start()
    wait_until(rabbitmq_node.has_quorum_leaders)

    assert (was_running, waiting(rabbitmq_url, "work")) == (False, 50)


def test_stopped_node_is_mended_for_the_next_test(rabbitmq_node: Rabbitmq) -> None:
    rabbitmq_node.add_vhost("before")
    rabbitmq_node.stop()

    rabbitmq_node.recover()

    rabbitmq_node.delete_vhost(
        "before"
    )  # this call raises when the node does not answer or has lost the vhost


def test_frozen_node_is_mended_for_the_next_test(rabbitmq_node: Rabbitmq, rabbitmq_url: str) -> None:
    rabbitmq_node.freeze()

    rabbitmq_node.recover()

    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        assert connection.is_open


def test_memory_alarm_blocks_publishers_until_it_is_cleared(
    rabbitmq_node: Rabbitmq, channel: BlockingChannel
) -> None:
    said: list[str] = []
    publisher = channel.connection.channel()  # without confirms, because a confirm comes only after the alarm
    channel.connection.add_on_connection_blocked_callback(lambda *_: said.append("blocked"))
    channel.connection.add_on_connection_unblocked_callback(lambda *_: said.append("unblocked"))
    channel.queue_declare("work", durable=True)

    def is_blocked() -> bool:
        publisher.basic_publish(
            "", "work", b"held until the alarm is over"
        )  # RabbitMQ blocks the connection at its next publish, not at the alarm
        return said_in(publisher, said) == ["blocked"]

    rabbitmq_node.raise_memory_alarm()
    wait_until(is_blocked)
    rabbitmq_node.recover()

    wait_until(lambda: said_in(publisher, said) == ["blocked", "unblocked"])


def test_connections_of_one_vhost_are_closed_from_the_server(
    rabbitmq_node: Rabbitmq, rabbitmq_url: str, channel: BlockingChannel
) -> None:
    closed = rabbitmq_node.close_connections(rabbitmq_url.rpartition("/")[2])

    assert closed == 1
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as refused:
        channel.connection.process_data_events(time_limit=PATIENCE_SECONDS)
    assert refused.value.reply_code == 320


def test_policy_limits_a_queue(rabbitmq_node: Rabbitmq, rabbitmq_url: str, channel: BlockingChannel) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    channel.queue_declare("work", durable=True)
    channel.basic_publish("", "work", b"fits")

    definition = '{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}'
    rabbitmq_node.set_policy(vhost, name="short", queues="^work$", definition=definition)

    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", "work", b"one too many")
    rabbitmq_node.delete_policy(vhost, name="short")
    channel.basic_publish("", "work", b"fits again")


def test_application_can_be_stopped_inside_the_node(rabbitmq_node: Rabbitmq, rabbitmq_url: str) -> None:
    rabbitmq_node.stop_application()
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    rabbitmq_node.start_application()

    pika.BlockingConnection(pika.URLParameters(rabbitmq_url)).close()


def test_somebody_elses_server_gives_vhosts_through_its_management_api(servers: Servers) -> None:
    with contextlib.closing(RunFolder()) as run:
        node = Rabbitmq(run, servers.root("rabbitmq"), plugin="management")
        somebodys = ManagedRabbitmq(node.url(""), f"http://127.0.0.1:{node.management_port}")

        somebodys.add_vhost("of a test")
        with pika.BlockingConnection(pika.URLParameters(somebodys.url("of a test"))) as connection:
            is_open = connection.is_open
        somebodys.delete_vhost("of a test")

        assert (somebodys.version, is_open) == (node.version, True)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(pika.URLParameters(somebodys.url("of a test")))


def test_node_listens_on_loopback_alone(rabbitmq_node: Rabbitmq) -> None:
    inodes = {os.readlink(link) for link in Path(f"/proc/{rabbitmq_node.pid}/fd").iterdir()}
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()
    ]

    listening = {
        row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    }

    assert listening == {"0100007F"}
