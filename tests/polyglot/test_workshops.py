"""The workshops: a missing tool is named, and after an interruption the work is done again from the start."""

from pathlib import Path

import pytest

from tests.polyglot import workshops
from tests.polyglot.workshops import NotAvailable, Python, Workshop


class Cobol(Workshop):
    title, suffix, tools, pins = "Cobol", ".cob", ("no-such-compiler",), ()

    def _fetch(self) -> None:
        raise AssertionError("nothing is fetched for a language that is not there")

    def _command(self, program: Path, name: str) -> list[str]:
        raise AssertionError(name, program)


class Unreachable(Python):
    title = "Unreachable"

    def _fetch(self) -> None:
        raise OSError("no route to the registry")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_missing_tool_is_named_with_what_to_do():
    with pytest.raises(
        NotAvailable, match=r"Cobol .* no no-such-compiler on the PATH. Get it by: installing"
    ):
        Cobol()


def test_libraries_that_cannot_be_fetched_make_the_language_unavailable():
    with pytest.raises(NotAvailable, match="for Unreachable could not be fetched: no route to the registry"):
        Unreachable()


def test_a_folder_that_an_interrupted_run_left_is_begun_anew(monkeypatch, cache):
    monkeypatch.setattr(Python, "_fetch", Unreachable._fetch)
    with pytest.raises(NotAvailable):
        Python()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    assert (Python().folder / "complete").exists()


def test_what_is_complete_is_not_fetched_again(monkeypatch):
    Python()
    monkeypatch.setattr(Python, "_fetch", Unreachable._fetch)

    Python()


def test_a_program_is_made_once_for_each_source():
    python = Python()
    first, again, other = (python.program("Publish", source) for source in ("1", "1", "2"))

    assert first == again
    assert first != other
    assert Path(other[-1]).read_text() == "2"


@pytest.mark.parametrize("kind", [workshops.Node, workshops.Go, workshops.Java, workshops.Rust])
def test_files_that_pin_libraries_name_no_registry(kind):
    pinned = [(workshops.HERE / kind.title.lower() / pin).read_text() for pin in kind.pins]

    named = [line for text in pinned for line in text.splitlines() if "://" in line and '"url": ' not in line]
    assert named == []  # "url" is where a library's authors ask for donations
