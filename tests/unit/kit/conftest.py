"""Fixtures: values for the kit's pure functions."""

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
    """Return the bytes that pika and the development broker sent, by sender."""
    document = json.loads(Path(__file__).with_name("recorded.json").read_text())
    return {side: bytes.fromhex(document[side]) for side in ("program", "broker")}
