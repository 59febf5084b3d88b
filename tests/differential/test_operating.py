"""The development broker and RabbitMQ behave alike under an operator, in one run."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.differential.behaviours.operating import OPERATED, OperatedBehaviour
from tests.differential.client import Client, Observation
from tests.differential.differences import assert_alike
from tests.differential.operators import DevbrokerOperator, Operator, RabbitmqOperator
from tests.servers.rabbitmq import Rabbitmq

BEHAVIOUR_SECONDS = 40


async def observe(behaviour: OperatedBehaviour, operator: Operator) -> Observation:
    client = Client(operator.url)
    try:
        async with asyncio.timeout(BEHAVIOUR_SECONDS):
            return await behaviour(client, operator)
    finally:
        await client.close()


@pytest.fixture
async def devbroker_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    operator = DevbrokerOperator(tmp_path / "journal.db", monkeypatch)
    await operator.start()
    yield operator
    await operator.leave()


@pytest.fixture
async def rabbitmq_operator(rabbitmq_url: str, rabbitmq_node: Rabbitmq) -> AsyncIterator[Operator]:
    operator = RabbitmqOperator(rabbitmq_node, rabbitmq_url)
    yield operator
    await operator.leave()


@pytest.mark.parametrize("behaviour", OPERATED, ids=lambda each: each.__name__)
async def test_both_brokers_bear_the_same(
    behaviour: OperatedBehaviour,
    devbroker_operator: Operator,
    rabbitmq_operator: Operator,
    rabbitmq_node: Rabbitmq,
) -> None:
    theirs, ours = await asyncio.gather(
        observe(behaviour, rabbitmq_operator), observe(behaviour, devbroker_operator)
    )

    assert_alike(behaviour.__name__, theirs, ours, rabbitmq_node.version)
