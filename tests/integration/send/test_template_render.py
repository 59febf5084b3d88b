"""`mailpact template render`: what it prints, and which errors it finds."""

import json
from pathlib import Path

import pytest

from tests import command


def render(*arguments: str, cwd: Path | None = None):
    return command.run("template", "render", *arguments, cwd=cwd)


def own(folder: Path, html: str) -> Path:
    place = folder / "note/1"
    place.mkdir(parents=True)
    (place / "en.subject").write_text("Note")
    (place / "en.txt").write_text("{{ words }}")
    (place / "en.html").write_text(html)
    (place / "schema.json").write_text(
        json.dumps({"type": "object", "required": ["words"], "properties": {"words": {"type": "string"}}})
    )
    (folder / "data.json").write_text(json.dumps({"words": "Hello"}))
    return folder


def test_template_is_shown_with_its_contracts_example() -> None:
    done = render("welcome", "--locale", "de-AT")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Subject: Willkommen bei The Daily Example\n\nHallo Ann,\n")


def test_json_holds_every_part(tmp_path) -> None:
    own(tmp_path / "t", "<p>{{ words }}</p>")
    done = render("note/1", "--templates", "t", "--data", "t/data.json", "--json", cwd=tmp_path)

    assert done.returncode == 2  # data.json lies in the folder of templates
    (tmp_path / "t/data.json").rename(tmp_path / "data.json")
    done = render("note/1", "--templates", "t", "--data", "data.json", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {
        "subject": "Note",
        "text": "Hello\n",
        "html": "<p>Hello</p>\n",
        "faults": [],
    }


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<a href="/relative">{{ words }}</a>', "HTML line 1: href='/relative' is not an absolute link"),
        ("\n<img src='logo.png'>", "src='logo.png' is not an absolute link"),
        ("<a href='javascript:alert(1)'>x</a>", "not an absolute link"),
        ("<a href='//host/path'>x</a>", "not an absolute link"),
        ("x" * 100_001, "mail programs cut off"),
    ],
)
def test_what_mail_programs_cannot_show_is_said(html, said, tmp_path) -> None:
    own(tmp_path / "t", html)
    (tmp_path / "t/data.json").rename(tmp_path / "data.json")

    done = render("note", "--templates", "t", "--data", "data.json", cwd=tmp_path)

    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["farewell"], 2, "there is no template farewell/1; installed are: "),
        (["welcome/2"], 2, "there is no template welcome/2"),
        (["welcome/x"], 2, "NAME or NAME/VERSION"),
        (["welcome", "--locale", "fr"], 1, "template_unknown at /template"),
        (["welcome", "--data", "none.json"], 2, "none.json cannot be read"),
        (["welcome", "--templates", "none"], 2, "no such folder"),
    ],
)
def test_what_cannot_be_rendered_is_said(arguments, code, said) -> None:
    done = render(*arguments)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_data_that_break_the_contract_are_said_with_their_pointer(tmp_path) -> None:
    (tmp_path / "data.json").write_text('{"site_name": "Shop", "site_url": "javascript:alert(1)"}')

    done = render("welcome", "--data", "data.json", cwd=tmp_path)

    assert done.returncode == 1
    assert "schema at /template/data/site_url" in done.stderr
