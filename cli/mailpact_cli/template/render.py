"""`mailpact template render`: fills one template and checks the result, without sending anything."""

import json
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact.settings import SettingsError
from mailpact_cli import options
from mailpact_cli.body_file import read_body
from mailpact_cli.errors import WRONG
from mailpact_cli.serving import say

if TYPE_CHECKING:
    from mailpact_consumer.mail import Content
    from mailpact_consumer.template_folder import InstalledTemplates

DEFAULT_LOCALE = "en"


def render_template(
    name: Annotated[
        str, typer.Argument(metavar="NAME[/VERSION]", help="The template, such as welcome or welcome/1.")
    ],
    data: Annotated[
        Path | None,
        options.argument(
            "--data",
            "FILE",
            "A JSON file with the data; - means standard input. By default, the example of the template's contract.",
        ),
    ] = None,
    locale: Annotated[
        str, options.argument("--locale", "LOCALE", "The language of the template.")
    ] = DEFAULT_LOCALE,
    templates: Annotated[
        Path | None, options.path("--templates", "A folder with your own templates.")
    ] = None,
    open_html: Annotated[bool, options.switch("--open", "Open the HTML part in the browser.")] = False,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Fill a template, print the mail, and check data, links, size and text part. Exit code 1 if something is wrong."""
    from mailpact_consumer.template_check import faults
    from mailpact_consumer.template_folder import load_templates

    installed = load_templates(catalogue.load(), templates)
    place, version = _version(name)
    content = _filled(installed, place, version, locale, data)
    found = faults(content)
    if as_json:
        print(json.dumps({**_result(content), "faults": found}, ensure_ascii=False))  # noqa: T201  # the result
    else:
        print(f"Subject: {content.subject}\n\n{content.text}", end="")  # noqa: T201  # the result
    if open_html:
        _open(content)
    for fault in found:
        say(fault)
    if found:
        raise typer.Exit(WRONG)


def _filled(
    installed: "InstalledTemplates", name: str, version: int, locale: str, file: Path | None
) -> "Content":
    contract = installed.contract(name, version)
    if contract is None:
        known = sorted({template.rpartition("/")[0] for template in installed.names})
        raise SettingsError(f"there is no template {name}/{version}; installed are: {', '.join(known)}")
    if file is None and not contract.examples:
        raise SettingsError(f"the schema of {name}/{version} has no example; give the data with --data FILE")
    result = installed.fill(name, version, locale, contract.examples[0] if file is None else _data(file))
    if isinstance(result, Refusal):
        say(f"{result.code} at {result.pointer or 'the whole body'}: {result.detail}")
        raise typer.Exit(WRONG)
    return result.content


def _data(file: Path) -> JsonObject:
    limits = catalogue.load().contract("email/2").wire.limits
    body = read_body(file, limits.max_body_bytes + 1)
    value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    if isinstance(value, Refusal):
        say(f"{file}: {value.code}: {value.detail}")
        raise typer.Exit(WRONG)
    if not isinstance(value, dict):
        say(f"{file}: the data are no JSON object")
        raise typer.Exit(WRONG)
    return value


def _version(name: str) -> tuple[str, int]:
    place, slash, version = name.partition("/")
    if not slash:
        return place, 1
    if not (version.isascii() and version.isdigit()):
        raise SettingsError(
            f"{name!r} is not the name of a template; write NAME or NAME/VERSION, such as welcome/1"
        )
    return place, int(version)


def _result(content: "Content") -> dict[str, str | None]:
    return {"subject": content.subject, "text": content.text, "html": content.html}


def _open(content: "Content") -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8", delete=False) as file:
        file.write(content.html or "")
    if not webbrowser.open(Path(file.name).as_uri()):
        say(f"no browser could be started; the HTML part is in {file.name}")
