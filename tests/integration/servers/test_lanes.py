"""A lane gives the servers of its own release or none; never others in their place."""

import pytest

from tests.servers import packages, where
from tests.servers.run_folder import RunFolder
from tests.servers.where import NotAvailable, Source


@pytest.fixture
def nothing_in_cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(packages, "installed", lambda _: None)
    monkeypatch.setattr(where, "MACHINE", None)  # whoever looks at the machine's own servers fails


def located(variables: dict[str, str]) -> list[Source]:
    with RunFolder() as run:
        return [locate(variables, run, print) for locate in (where.locate_rabbitmq, where.locate_database)]


@pytest.mark.usefixtures("nothing_in_cache")
def test_lane_that_cannot_be_had_is_said_by_its_name() -> None:
    broker, database = located({"MAILPACT_TEST_DEBIAN": "sid"})

    assert isinstance(broker, NotAvailable)
    assert isinstance(database, NotAvailable)
    assert (broker.title, database.title) == ("RabbitMQ of Debian sid", "MySQL of Debian sid")


@pytest.mark.usefixtures("nothing_in_cache")
def test_given_url_goes_before_any_lane() -> None:
    given = {"MAILPACT_TEST_AMQP_URL": "amqp://one", "MAILPACT_TEST_DATABASE_URL": "mysql+pymysql://two"}

    found = located(given | {"MAILPACT_TEST_DEBIAN": "trixie"})

    assert [str(getattr(each, "url", each)) for each in found] == ["amqp://one", "mysql+pymysql://two"]


def test_lanes_keep_their_downloads_apart() -> None:
    sets = [lane.rabbitmq for lane in (where.USUAL, where.NEWER, where.NEWEST)]

    assert len({packages.cache_folder(each.release) for each in sets}) == 3


@pytest.mark.parametrize("nothing", [{}, {"MAILPACT_TEST_DEBIAN": ""}], ids=["unset", "empty"])
def test_without_a_name_it_is_the_usual_lane(nothing: dict[str, str]) -> None:
    assert where.chosen_lane(nothing) is where.USUAL
