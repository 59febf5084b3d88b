"""The cache of unpacked packages holds only complete sets."""

from pathlib import Path

import pytest

from tests.servers import packages
from tests.servers.packages import PackageSet

SET = PackageSet("some", ("one", "two"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return packages.cache_folder()


def test_interrupted_download_is_no_set(cache: Path) -> None:
    (cache / "some/root").mkdir(parents=True)

    assert packages.in_cache(SET) is None


def test_cache_that_was_moved_is_no_set(cache: Path) -> None:
    (cache / "some/root").mkdir(parents=True)
    (cache / "some/complete").write_text("/somewhere/else/some\none\ntwo")

    assert packages.in_cache(SET) is None


def test_complete_set_is_taken_without_apt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "some/root").mkdir(parents=True)
    (cache / "some/complete").write_text(f"{cache}/some\none\ntwo")
    monkeypatch.setenv("PATH", "")

    assert packages.fetch(SET) == cache / "some/root"


def test_cache_that_cannot_be_written_is_said(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")

    with pytest.raises(packages.NotAvailable):
        packages.fetch(SET)
