"""The cache of unpacked packages holds only complete sets."""

from pathlib import Path

import pytest

from tests.servers import packages
from tests.servers.packages import NotAvailable


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache, from which nothing leads to apt."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    return packages.cache_folder()


def test_interrupted_download_is_no_set(cache: Path) -> None:
    (cache / "one/root").mkdir(parents=True)

    with pytest.raises(NotAvailable, match="'apt-get'"):
        packages.fetch("one two")


@pytest.mark.parametrize(
    "marker", ["/somewhere/else/one one two", "{cache}/one one"], ids=["moved", "smaller"]
)
def test_set_of_another_place_or_of_other_packages_is_not_taken(cache: Path, marker: str) -> None:
    (cache / "one/root").mkdir(parents=True)
    (cache / "one/complete").write_text(marker.format(cache=cache))

    with pytest.raises(NotAvailable, match="'apt-get'"):
        packages.fetch("one two")


def test_complete_set_is_taken_without_apt(cache: Path) -> None:
    (cache / "one/root").mkdir(parents=True)
    (cache / "one/complete").write_text(f"{cache}/one one two")

    assert packages.fetch("one two") == cache / "one/root"


def test_cache_that_cannot_be_written_is_said(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")

    with pytest.raises(NotAvailable):
        packages.fetch("one two")
