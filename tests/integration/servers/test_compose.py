"""The way to servers by `docker compose`, with a `docker` that refuses; that it works takes an engine."""

from pathlib import Path

import pytest

from tests.servers import compose
from tests.servers.compose import Compose, ComposeFailed
from tests.servers.run_folder import RunFolder

DOCKER = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$*" in
*version* | info) exit 0 ;;
*) echo "registry is on strike" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `docker` on the PATH that has an engine and can fetch and start nothing; give the list of its calls."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "docker.calls"


def test_an_image_that_cannot_be_fetched_is_said_in_dockers_words(calls: Path) -> None:
    said: list[str] = []

    with pytest.raises(ComposeFailed, match="registry is on strike"):
        compose.fetch("rabbitmq", said.append)
    assert said == ["fetching the image of rabbitmq"]
    assert "pull --quiet --policy missing rabbitmq" in calls.read_text()


def test_no_docker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "installed", lambda _: None)

    with pytest.raises(ComposeFailed, match="no docker compose works here"):
        compose.fetch("rabbitmq", print)


def test_a_server_that_did_not_start_is_not_waited_for_again(calls: Path) -> None:
    with RunFolder() as run:
        servers = Compose(run)
        for _ in range(2):
            with pytest.raises(ComposeFailed, match="registry is on strike"):
                servers.rabbitmq()

        assert calls.read_text().count(" up ") == 1
