"""The core of the list with clients in other languages: small programs in `go/` and `node/`."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.differential.behaviours import CORE
from tests.differential.client import Observation
from tests.differential.differences import known, without
from tests.toolchains import BUILD_SECONDS, build, go_build, toolchain

HERE = Path(__file__).parent
RUN_SECONDS = 50


@pytest.fixture(scope="session")
def go_program(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [str(go_build(pytestconfig, HERE / "go", tmp_path_factory.mktemp("go") / "differential"))]


@pytest.fixture(scope="session")
def node_program(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    node, npm = (toolchain(pytestconfig, program, "Node.js") for program in ("node", "npm"))
    folder = shutil.copytree(HERE / "node", tmp_path_factory.mktemp("node") / "differential")
    build([npm, "ci", "--no-audit", "--no-fund", "--silent"], folder)
    return [node, str(folder / "main.mjs")]


async def observations(program: list[str], url: str) -> dict[str, Observation]:
    running = await asyncio.create_subprocess_exec(
        *program, url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            printed, complaint = await running.communicate()
    except TimeoutError:
        running.kill()
        raise
    assert (running.returncode, complaint.decode()) == (0, "")
    found: dict[str, Observation] = json.loads(printed)
    return found


async def assert_both_brokers_do_the_same(
    program: list[str], devbroker_url: str, rabbitmq_url: str, version: str
) -> None:
    headers = known("headers", version)
    theirs, ours = [
        without(found, headers)
        for found in await asyncio.gather(
            *(observations(program, url) for url in (rabbitmq_url, devbroker_url))
        )
    ]

    assert isinstance(theirs, dict)
    assert set(theirs) == CORE
    assert ours == theirs


@pytest.mark.timeout(BUILD_SECONDS + 2 * RUN_SECONDS)
async def test_both_brokers_do_the_same_for_amqp091_go(
    go_program: list[str], devbroker_url: str, rabbitmq_url: str, rabbitmq: Any
) -> None:
    await assert_both_brokers_do_the_same(go_program, devbroker_url, rabbitmq_url, rabbitmq.version)


@pytest.mark.timeout(BUILD_SECONDS + 2 * RUN_SECONDS)
async def test_both_brokers_do_the_same_for_amqplib(
    node_program: list[str], devbroker_url: str, rabbitmq_url: str, rabbitmq: Any
) -> None:
    await assert_both_brokers_do_the_same(node_program, devbroker_url, rabbitmq_url, rabbitmq.version)
