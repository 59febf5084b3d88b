"""A short run of the benchmark: it measures, and memory does not grow with the number of messages."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[3] / "benchmarks" / "devbroker_soak.py"
MESSAGES = 4_000


@pytest.mark.timeout(120)
async def test_a_short_soak_keeps_the_memory_within_its_bound():
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SOAK), "--json", "--messages", str(MESSAGES)), stdout=asyncio.subprocess.PIPE
    )
    figures = json.loads((await running.communicate())[0])

    assert figures["messages"] == MESSAGES
    assert 0 < figures["warm_mib"] <= figures["end_mib"] + 1 < figures["warm_mib"] + 20
    assert running.returncode == (1 if figures["broken"] else 0)
