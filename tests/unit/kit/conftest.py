"""Values that the kit's pure parts are fed with."""

import json
from pathlib import Path

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Contract


@pytest.fixture
def contract() -> Contract:
    """Return the contract that the cases are about."""
    return catalogue.load().contract("email/1")


@pytest.fixture(scope="session")
def recorded() -> dict[str, bytes]:
    """Return what pika and the development broker said to each other, by who said it."""
    document = json.loads(Path(__file__).with_name("recorded.json").read_text())
    return {side: bytes.fromhex(document[side]) for side in ("program", "broker")}
