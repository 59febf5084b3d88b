"""The tests run on servers of the chosen Debian release or on none; servers of another release never replace them."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.servers import where
from tests.servers.packages import NotAvailable, cache_folder
from tests.servers.where import Servers


@pytest.fixture
def servers(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Yield servers while none is in the cache and none is installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with closing(Servers()) as servers:
        yield servers


def test_lane_that_cannot_be_had_is_said_by_its_name(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILPACT_TEST_DEBIAN", "sid")

    for name, title in (("rabbitmq", "rabbitmq-server"), ("mariadb", "mysql-server-core")):
        with pytest.raises(
            NotAvailable, match=f"^{title} of Debian sid is not available: .*No such file .*'apt-get'"
        ):
            getattr(servers, name)

    assert len(servers.missing) == 2


def test_given_url_goes_before_any_lane(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPACT_TEST_DEBIAN", "trixie")
    monkeypatch.setenv("MAILPACT_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:1/")
    monkeypatch.setenv("MAILPACT_TEST_AMQP_MANAGEMENT_URL", "http://127.0.0.1:1")

    servers.download(["rabbitmq"])
    assert servers.missing == set()
    with pytest.raises(ConnectionError, match=r"the management API.*http:"):
        _ = servers.rabbitmq
    with pytest.raises(NotAvailable, match="MAILPACT_TEST_AMQP_URL names another"):
        servers.root("rabbitmq")


def test_lanes_keep_their_downloads_apart() -> None:
    lanes = (None, *where.LANES)

    assert len({cache_folder(release) for release in lanes}) == 3


@pytest.mark.parametrize("name", [None, ""], ids=["unset", "empty"])
def test_without_a_name_it_is_the_usual_lane(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILPACT_TEST_DEBIAN", raising=False)
    if name is not None:
        monkeypatch.setenv("MAILPACT_TEST_DEBIAN", name)

    assert where.chosen_lane() is None
