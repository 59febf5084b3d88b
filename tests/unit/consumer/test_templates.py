"""Templates are found by locale and filled in a sandbox; Mailpact's own templates are complete mails."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact_consumer.email_2 import FilledTemplate
from mailpact_consumer.filling import Sandbox, TemplateFault, check_source, fill
from mailpact_consumer.template_folder import InstalledTemplates, TemplateFolderError, load_templates
from tests.unit.consumer.mails import body_of, load

CATALOGUE = catalogue.load()
OURS = load_templates(CATALOGUE)
HOSTILE = "{{ 7 * 7 }}{% include 'frame.html' %}<script>alert(1)</script>\"'&"


def filled(templates: InstalledTemplates, name: str, locale: str, /, **data: Any) -> FilledTemplate:
    result = templates.fill(name, 1, locale, data)
    assert isinstance(result, FilledTemplate), result
    return result


def one(source: str, suffix: str = "html", /, **data: Any) -> str:
    """Fill one template's source."""
    sources = {"t.subject": "s", "t.txt": "t", "t.html": "h", f"t.{suffix}": source}
    sandbox = Sandbox(sources)
    check_source(sandbox, f"t.{suffix}")
    content = fill(sandbox, "t", data)
    return (content.html or "") if suffix == "html" else (content.text or "")


class Links(HTMLParser):
    """Collects the URLs that an HTML text loads and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "background", "srcset", "action"):
                self.loaded.append(f"{tag} {value}")
            if name == "href":
                (self.linked if tag == "a" else self.loaded).append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("template", OURS.names)
def test_own_template_fills_with_every_example_and_loads_nothing_from_outside(template: str) -> None:
    name, version, locale = template.split("/")
    contract = OURS.contract(name, int(version))
    assert contract is not None
    (example,) = contract.examples
    for data in (example, {key: value for key, value in example.items() if key != "name"}):
        content = filled(OURS, name, locale, **data).content

        assert content.text is not None
        assert content.html is not None
        (url,) = (value for key, value in data.items() if key.endswith("_url"))
        links = Links(content.html)
        assert set(links.linked) == {url}
        assert links.loaded == []
        assert "url(" not in content.html
        assert "@import" not in content.html
        assert url in content.text.splitlines()
        assert "The Daily Example" in content.subject
        assert len(content.html.encode()) < 20_000
        assert f'<html lang="{locale}"' in content.html
        assert ("Ann" in content.text) == ("name" in data)
        assert "  " not in content.text
        assert "\n\n\n" not in content.text


@pytest.mark.parametrize(
    ("asked", "found"),
    [("de", "de"), ("de-AT", "de"), ("de-Latn-AT", "de"), ("en-GB", "en"), ("fr", None), ("fr-CA", None)],
)
def test_locale_falls_back_by_its_last_parts_only(asked: str, found: str | None) -> None:
    assert OURS.find("welcome", 1, asked) == (found and f"welcome/1/{found}")


def test_every_vector_of_the_templates_contracts_can_be_filled() -> None:
    paths = sorted((CATALOGUE.root / "template").glob("*/1/vectors/valid/*.json"))

    assert len(paths) > 10
    for path in paths:
        data = parse(body_of(load(path)), max_bytes=2**21, max_depth=32)
        for locale in ("en", "de"):
            filled(OURS, path.parts[-5], locale, **data)


def test_values_are_text_never_markup_and_never_source() -> None:
    content = filled(OURS, "welcome", "en", site_name=HOSTILE, site_url="https://a.example/?a=1&b=2").content

    assert content.text is not None
    assert content.html is not None
    assert content.subject == f"Welcome to {HOSTILE}"
    assert HOSTILE in content.text
    assert "<script" not in content.html
    assert "{{ 7 * 7 }}" in content.html
    assert "".join(Links(content.html).words).count(HOSTILE) >= 2
    assert set(Links(content.html).linked) == {"https://a.example/?a=1&b=2"}


def test_data_with_names_of_methods_are_data() -> None:
    assert one("{{ d.items }} {{ d['keys'] }} {{ self is defined }}", d={"items": 1, "keys": 2}).startswith(
        "1 2"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ name.upper() }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ ('%s' % name) }}",
        "{{ name|attr('__class__') }}",
        "{{ [name]|map('upper')|list }}",
        "{{ name|safe }}",
        "{{ name|format }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 10 ** 1000000 }}",
        "{{ name|center(1000000000) }}",
        "{{ range(1000000000) }}",
        "{{ lipsum() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop }}{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% macro m() %}{{ caller }}{% endmacro %}{{ m.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m.name }}",
        "{% include '/etc/passwd' %}",
        "{% include '../t.html' %}",
        "{% import 'os' as os %}",
        "{% autoescape false %}{{ name }}{% endautoescape %}",
        "{{ missing }}",
        "{{ 1 // 0 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in names %}{% for b in names %}{% for c in names %}{{ name }}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x",
        "",
    ],
)
def test_template_that_does_more_than_it_may_is_refused(source: str) -> None:
    with pytest.raises(TemplateFault) as fault:
        one(source, name="Ann-Secret", names=["Ann-Secret"] * 400)
    assert "Ann-Secret" not in str(fault.value)


def test_subject_is_one_line_of_at_most_200_code_points() -> None:
    sandbox = Sandbox({"t.subject": "Hi\n{{ a }}", "t.txt": "t", "t.html": "h"})

    assert fill(sandbox, "t", {"a": "x\r\nBcc: evil@example.org"}).subject == "Hi x  Bcc: evil@example.org"
    assert len(fill(sandbox, "t", {"a": "狐" * 300}).subject) == 200


def folder_with(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


OWN = {
    "invoice/1/en.subject": "Invoice {{ number }}",
    "invoice/1/en.txt": "{{ number }}",
    "invoice/1/en.html": "{% extends 'frame.html' %}{% block card %}{{ number }}{% endblock %}",
    "invoice/1/schema.json": '{"type": "object", "required": ["number", "site_name"], "properties": {"number":'
    ' {"type": "integer"}, "site_name": {"type": "string"}}, "examples": [{"number": 1, "site_name": "Shop"}]}',
}  # fmt: skip


def test_operators_templates_stand_beside_ours_and_use_our_frame(tmp_path: Path) -> None:
    installed = load_templates(CATALOGUE, folder_with(tmp_path, OWN))

    assert filled(installed, "invoice", "en-GB", number=7, site_name="Shop").content.subject == "Invoice 7"
    refusal = installed.fill("invoice", 1, "en", {"number": "7"})
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.pointer, refusal.keyword) == (
        ErrorCode.SCHEMA,
        "/template/data",
        "required",
    )
    filled(installed, "welcome", "de", site_name="Shop", site_url="https://a.example/")


def test_operators_template_replaces_ours_in_its_locale_only(tmp_path: Path) -> None:
    files = {f"welcome/1/en.{suffix}": "Mine" for suffix in ("subject", "txt", "html")}
    installed = load_templates(CATALOGUE, folder_with(tmp_path, files))
    data = {"site_name": "Shop", "site_url": "https://a.example/"}

    assert filled(installed, "welcome", "en", **data).content.subject == "Mine"
    assert filled(installed, "welcome", "de", **data).content.subject == "Willkommen bei Shop"


@pytest.mark.heavy
def test_digest_changes_with_the_template_and_with_what_it_extends_and_with_nothing_else(
    tmp_path: Path,
) -> None:
    data = {"number": 7, "site_name": "Shop"}

    def digests(**changed: str) -> tuple[str, str]:
        files = {**OWN, **{name.replace("__", "/"): text for name, text in changed.items()}}
        installed = load_templates(
            CATALOGUE, folder_with(tmp_path / str(len(changed)) / "".join(changed), files)
        )
        de = OURS.contract("welcome", 1)
        assert de is not None
        return (
            filled(installed, "invoice", "en", **data).digest,
            filled(installed, "welcome", "de", **de.examples[0]).digest,
        )

    before = digests()
    edited = digests(**{"invoice__1__en.txt": "Number {{ number }}"})
    reframed = digests(**{"frame.html": "{% block card %}{% endblock %}"})

    assert edited[0] != before[0]
    assert edited[1] == before[1]
    assert reframed[0] != before[0]
    assert reframed[1] != before[1]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"invoice/1/en.html": "x"}, "there is no invoice/1/en.subject"),
        ({"invoice/en.html": "x"}, "invoice/en.html: a template's file is NAME/VERSION/LOCALE"),
        ({"invoice/1/EN.html": "x"}, "a template's file is"),
        ({"Invoice/1/en.html": "x"}, "a template's file is"),
        ({**OWN, "invoice/1/en.html": "{% if %}"}, "invoice/1/en.html, line 1"),
        ({**OWN, "invoice/1/en.html": "\n\n{{ numbr }}"}, "invoice/1/en.html cannot be filled"),
        ({**OWN, "invoice/1/schema.json": "{"}, "schema.json"),
        ({**OWN, "invoice/1/schema.json": '{"type": 7}'}, "schema.json"),
        ({**OWN, "invoice/1/schema.json": '{"examples": [7]}'}, "an example breaks the schema"),
        ({key: value for key, value in OWN.items() if "schema" not in key}, "there is no schema.json"),
        ({"welcome/1/schema.json": "{}"}, "published contract template/welcome/1"),
    ],
)
def test_folder_that_cannot_be_used_is_said_with_its_file(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(TemplateFolderError, match=re.escape(said)):
        load_templates(CATALOGUE, folder_with(tmp_path, files))


def test_missing_folder_and_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    with pytest.raises(TemplateFolderError, match="no such folder"):
        load_templates(CATALOGUE, tmp_path / "none")
    (tmp_path / "a/1").mkdir(parents=True)
    (tmp_path / "a/1/en.txt").write_bytes(b"\xff")
    with pytest.raises(TemplateFolderError, match="is not UTF-8"):
        load_templates(CATALOGUE, tmp_path)


def test_template_in_the_how_to_page_can_be_filled(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/templates.md").read_text(encoding="utf-8")
    html, schema = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("html", "json"))
    files = {
        "en.subject": "Invoice {{ number }}",
        "en.txt": "{{ invoice_url }}",
        "en.html": html,
        "schema.json": schema,
    }
    installed = load_templates(
        CATALOGUE, folder_with(tmp_path, {f"invoice/1/{name}": text for name, text in files.items()})
    )
    data = {"site_name": "The Shop", "number": 4711, "invoice_url": "https://shop.example/i/4711"}

    content = filled(installed, "invoice", "en", **data).content

    assert content.html is not None
    assert Links(content.html).linked == ["https://shop.example/i/4711"]
