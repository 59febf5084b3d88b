"""Several URLs: the client tries the nodes of a cluster in turn, and goes to the next node when one is lost."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiormq.abc import AbstractConnection

from mailpact.amqp.errors import AccessRefused, BrokerLost, BrokerUnreachable
from mailpact.amqp.supervisor import Supervisor, dial, hang_up
from mailpact.settings import AmqpUrl
from tests import command
from tests.timing import at_most

NOBODY = "amqp://u:s3cret@127.0.0.1:1/"


def together(*urls: str | AmqpUrl) -> AmqpUrl:
    return AmqpUrl.parse(",".join(getattr(url, "url", url) for url in urls))


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the URL of a node that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"amqp://u:s3cret@127.0.0.1:{listener.getsockname()[1]}/"


async def test_the_first_node_that_answers_is_used(broker: Any) -> None:
    await hang_up(await dial(together(NOBODY, broker.url, NOBODY), "test"))


async def test_a_node_that_does_not_answer_takes_only_its_share_of_the_time(broker: Any, silent: str) -> None:
    started = asyncio.get_running_loop().time()
    await hang_up(await dial(together(silent, broker.url), "test", 8))

    assert asyncio.get_running_loop().time() - started < at_most(8)


async def test_each_node_that_cannot_be_used_is_named_with_its_reason(silent: str) -> None:
    with pytest.raises(BrokerUnreachable) as caught:
        await dial(together(NOBODY, silent), "test", 1)

    refused, in_vain = str(caught.value).split("; ")
    assert refused.startswith("127.0.0.1:1: Connection refused")
    assert in_vain.endswith(": the broker does not answer in time")
    assert "s3cret" not in str(caught.value)


async def test_a_refused_login_is_said_although_the_other_nodes_are_away(broker: Any) -> None:
    wrong = f"amqp://guest:s3cret@127.0.0.1:{broker.port}{broker.path}"
    with pytest.raises(AccessRefused, match=r"403 ACCESS_REFUSED .*; 127\.0\.0\.1:1: ") as caught:
        await dial(together(wrong, NOBODY), "test")

    assert "s3cret" not in str(caught.value)


async def test_a_service_leaves_a_node_that_is_lost_for_the_next_and_comes_back(
    broker: Any, proxy: Any, while_running: Any, wait_until: Any
) -> None:
    sessions: list[AbstractConnection] = []

    async def session(connection: AbstractConnection) -> NoReturn:
        sessions.append(connection)
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    supervisor = Supervisor(together(proxy.url(), broker.url, NOBODY), "test", uniform=lambda low, _: low)
    async with while_running(supervisor.run(session)):
        await wait_until("the first node is used", lambda: len(sessions) == 1)
        assert proxy.connections == 1
        proxy.cut()
        await wait_until("the second is used", lambda: len(sessions) == 2)
        assert proxy.connections == 1

        await sessions[-1].close()

        await wait_until("the third is away, and the first is used again", lambda: proxy.connections == 2)


async def test_a_node_on_which_nothing_works_is_left_for_the_next(
    broker: Any, proxy: Any, while_running: Any, wait_until: Any
) -> None:
    begun = 0

    async def session(_connection: AbstractConnection) -> NoReturn:
        nonlocal begun
        begun += 1
        raise BrokerLost("the queue has no leader here")

    supervisor = Supervisor(together(proxy.url(), broker.url), "test", uniform=lambda low, _: low)
    async with while_running(supervisor.run(session)):
        await wait_until("both were used twice", lambda: begun >= 4)

    assert proxy.connections <= begun // 2 + 1


async def test_a_command_uses_the_node_that_answers(broker: Any) -> None:
    url = together(NOBODY, broker.url).url
    done = await asyncio.to_thread(command.run, "topology", "apply", "--amqp-url", url)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_says_in_one_line_why_no_node_can_be_used(silent: str) -> None:
    done = command.run("topology", "apply", "--amqp-url", together(NOBODY, silent).url)

    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mailpact: cannot connect to the broker: 127.0.0.1:1: ")
    assert "s3cret" not in line


async def test_the_doctor_looks_at_each_node_and_at_the_queues_once(broker: Any) -> None:
    url = together(NOBODY, broker.url, broker.url).url
    done = await asyncio.to_thread(command.run, "doctor", "--json", "--amqp-url", url)

    findings = json.loads(done.stdout)["findings"]
    verdicts = [finding["verdict"] for finding in findings if finding["about"] == "broker"]
    assert verdicts == ["unreachable", "ok", "ok"]
    assert len([finding for finding in findings if finding["about"] == "legacy queue"]) == 1
    assert "s3cret" not in done.stdout + done.stderr


def test_the_services_log_no_password_of_any_node(tmp_path: Path) -> None:
    words = [*command.MAILPACT, "consumer", "--amqp-url", together(NOBODY, NOBODY).url]
    with subprocess.Popen(
        words, cwd=tmp_path, env=command.environment(), stderr=subprocess.PIPE, text=True
    ) as consumer:
        assert consumer.stderr is not None
        said = []
        for line in consumer.stderr:
            said.append(line)
            if "cannot connect to the broker" in line:
                break
        consumer.terminate()
        said.append(consumer.stderr.read())

    assert "127.0.0.1:1: Connect" in "".join(said)
    assert "s3cret" not in "".join(said)
