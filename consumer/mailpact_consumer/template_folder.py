"""Reads templates from folders, once, when the consumer starts, and finds the one that a message asks for.

A folder has one place for each template contract, and three files in it for each locale:

    welcome/1/de.subject   one line
    welcome/1/de.txt       the text part
    welcome/1/de.html      the HTML part
    welcome/1/schema.json  the data's JSON Schema; only for a template whose contract Mailpact does not publish
    frame.html             what several templates share, by `{% extends %}` or `{% import %}`

The operator's folder comes before Mailpact's own: its template replaces ours of the same name, version and locale.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact.contracts.validate import Validator
from mailpact_consumer.email_2 import FilledTemplate
from mailpact_consumer.filling import Sandbox, TemplateFault, check_source, fill

OWN_FOLDER = Path(__file__).with_name("templates")
MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 5000
MAX_SCHEMA_DEPTH = 64
SUFFIXES = (".subject", ".txt", ".html")
LOCALE = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?")  # as in email/2
PLACE = re.compile(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*)/([1-9][0-9]{0,3})")
SHARED = re.compile(r"[a-z0-9-]+\.(?:html|txt)")


class TemplateFolderError(Exception):
    """A folder of templates cannot be used; the message names the file and the fault in one line."""


@dataclass(frozen=True, slots=True)
class TemplateContract:
    """The rule for a template's data, and examples of such data."""

    validator: Validator
    examples: Sequence[JsonObject]


class InstalledTemplates:
    """The templates of all folders. Filling a template reads no file."""

    def __init__(self, sources: Mapping[str, str], contracts: Mapping[str, TemplateContract]) -> None:
        self._sandbox = Sandbox(sources)
        self._contracts = contracts
        self._digests = {
            name.removesuffix(".subject"): _digest(sources, name.removesuffix(".subject"))
            for name in sources
            if name.endswith(".subject")
        }

    @property
    def names(self) -> Sequence[str]:
        """Return all templates as NAME/VERSION/LOCALE, sorted."""
        return sorted(self._digests)

    def contract(self, name: str, version: int) -> TemplateContract | None:
        """Return the contract of a template's data, or None if no such template is installed."""
        return self._contracts.get(f"{name}/{version}")

    def find(self, name: str, version: int, locale: str) -> str | None:
        """Return the template of the locale, or of the locale without its last parts (RFC 4647 3.4, lookup)."""
        while locale:
            template = f"{name}/{version}/{locale}"
            if template in self._digests:
                return template
            locale = locale.rpartition("-")[0]
        return None

    def _locales(self, name: str, version: int) -> set[str]:
        prefix = f"{name}/{version}/"
        return {template.removeprefix(prefix) for template in self._digests if template.startswith(prefix)}

    def fill(self, name: str, version: int, locale: str, data: JsonObject) -> FilledTemplate | Refusal:
        """Return the filled template, or the reason why there is none; a pointer is that of the whole message."""
        template = self.find(name, version, locale)
        if template is None:
            detail = "no template of this name and version is installed for the locale"
            if locales := sorted(self._locales(name, version)):
                detail += f"; its locales are: {', '.join(locales)}"
            return Refusal(ErrorCode.TEMPLATE_UNKNOWN, pointer="/template", detail=detail)
        refusal = self._contracts[f"{name}/{version}"].validator.check(data)
        if refusal is not None:
            pointer = f"/template/data{refusal.pointer}"
            return Refusal(refusal.code, pointer=pointer, keyword=refusal.keyword, detail=refusal.detail)
        try:
            return FilledTemplate(fill(self._sandbox, template, data), self._digests[template])
        except TemplateFault as fault:
            return Refusal(ErrorCode.TEMPLATE_UNKNOWN, pointer="/template", detail=str(fault))

    def check(self) -> None:
        """Compile every template, and fill it with its contract's examples; raises TemplateFolderError."""
        try:
            for name in self._sandbox.sources:
                check_source(self._sandbox, name)
            for template in self._digests:
                for example in self._contracts[template.rpartition("/")[0]].examples:
                    fill(self._sandbox, template, example)
        except TemplateFault as fault:
            cause = f": {fault.__cause__}" if fault.__cause__ is not None else ""
            raise TemplateFolderError(f"{fault}{cause}") from fault


def load_templates(catalogue: Catalogue, folder: Path | None = None) -> InstalledTemplates:
    """Return Mailpact's own templates and the operator's templates from `folder`, which are checked.

    Raises TemplateFolderError. Mailpact's own templates are compiled when they are first needed.
    """
    sources = _sources(OWN_FOLDER)
    schemas: dict[str, JsonObject] = {}
    if folder is not None:
        sources |= _sources(folder)
        schemas = _own_schemas(folder, catalogue)
    contracts = {place: _contract(place, schemas, catalogue) for place in _places(sources)}
    installed = InstalledTemplates(sources, contracts)
    if folder is not None:
        installed.check()
    return installed


def _places(sources: Mapping[str, str]) -> Sequence[str]:
    """Return the places NAME/VERSION; raise TemplateFolderError if a locale lacks one of its files."""
    places = dict.fromkeys(name.rpartition("/")[0] for name in sources if "/" in name)
    for name in sources:
        stem, dot, _ = name.rpartition(".")
        missing = [suffix for suffix in SUFFIXES if "/" in name and f"{stem}{suffix}" not in sources]
        if dot and missing:
            raise TemplateFolderError(f"{name}: there is no {stem}{missing[0]} beside it")
    return list(places)


def _sources(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise TemplateFolderError(f"{folder}: there is no such folder of templates")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "schema.json")
    if len(paths) > MAX_FILES:
        raise TemplateFolderError(f"{folder}: holds more than {MAX_FILES} files")
    found: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):  # files of an editor or of the system
            _check_name(folder, name)
            found[name] = _text(path)
    return found


def _check_name(folder: Path, name: str) -> None:
    place, _, file = name.rpartition("/")
    stem, dot, suffix = file.rpartition(".")
    if SHARED.fullmatch(name) or (
        PLACE.fullmatch(place) and LOCALE.fullmatch(stem) and f"{dot}{suffix}" in SUFFIXES
    ):
        return
    raise TemplateFolderError(
        f"{folder / name}: a template's file is NAME/VERSION/LOCALE.subject, .txt or .html, such as welcome/1/de.html"
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TemplateFolderError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise TemplateFolderError(f"{path}: has more than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise TemplateFolderError(f"{path}: is not UTF-8") from None


def _own_schemas(folder: Path, catalogue: Catalogue) -> dict[str, JsonObject]:
    schemas: dict[str, JsonObject] = {}
    for path in sorted(folder.glob("*/*/schema.json")):
        place = path.parent.relative_to(folder).as_posix()
        if f"template/{place}" in catalogue.names:
            raise TemplateFolderError(
                f"{path}: the data of {place} obey the published contract template/{place}"
            )
        document: Any = parse(_text(path).encode(), max_bytes=MAX_FILE_BYTES, max_depth=MAX_SCHEMA_DEPTH)
        if isinstance(document, Refusal) or not isinstance(document, dict):
            fault = document.detail if isinstance(document, Refusal) else "a schema is an object"
            raise TemplateFolderError(f"{path}: {fault}")
        schemas[place] = document
    return schemas


def _contract(place: str, schemas: Mapping[str, JsonObject], catalogue: Catalogue) -> TemplateContract:
    name = f"template/{place}"
    schema = catalogue.contract(name).schema if name in catalogue.names else schemas.get(place)
    if schema is None:
        raise TemplateFolderError(f"{place}: there is no schema.json, and no published contract {name}")
    examples: Any = schema.get("examples", [])
    try:
        validator = Validator(schema)
    except ValueError as error:
        raise TemplateFolderError(f"{place}/schema.json: {error}") from error
    for example in examples:
        if not isinstance(example, dict) or validator.check(example) is not None:
            raise TemplateFolderError(f"{place}/schema.json: an example breaks the schema")
    return TemplateContract(validator, examples)


def _digest(sources: Mapping[str, str], template: str) -> str:
    """Return a digest of a template's files and of all shared files, which it may extend."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        if "/" not in name or name.rpartition(".")[0] == template:
            digest.update(f"{name}\0{len(sources[name])}\0{sources[name]}".encode())
    return digest.hexdigest()
