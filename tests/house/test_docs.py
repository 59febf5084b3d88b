"""The documentation names each setting, option, metric and error code of the code, and each link leads somewhere."""

import re
from pathlib import Path

import pytest

from mailpact_cli.commands import commands, root
from tests.each import each

ROOT = Path(__file__).parents[2]
COMPONENT_PACKAGES = {
    "mailpact": ROOT / "mailpact",
    "cli": ROOT / "cli" / "mailpact_cli",
    "contract_tool": ROOT / "contract_tool" / "mailpact_contract_tool",
    "producer": ROOT / "producer" / "mailpact_producer",
    "consumer": ROOT / "consumer" / "mailpact_consumer",
    "capture": ROOT / "capture" / "mailpact_capture",
    "devbroker": ROOT / "devbroker" / "mailpact_devbroker",
    "contract_tests": ROOT / "contract_tests" / "mailpact_kit",
}
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *(ROOT / "docs").rglob("*.md")]
    if ".venv" not in path.parts
)
CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
MARKDOWN_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@each("page", PAGES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = CODE_BLOCK.sub("", page.read_text())
    broken = [link for link in MARKDOWN_LINK.findall(prose) if not (page.parent / link).exists()]

    assert broken == []


def test_every_option_and_variable_stands_in_the_page_of_the_command() -> None:
    text = (ROOT / "docs" / "command.md").read_text()

    missing = [
        f"{name} {word}"
        for name, command in commands(root()).items()
        for parameter in command.params
        if parameter.name != "help" and parameter.param_type_name == "option"
        for word in (*parameter.opts, parameter.envvar)
        if word is not None  # an option for a single call has no variable
        if f"`{word}`" not in text and f"`{word} " not in text
    ]

    assert missing == []


def modules(package: Path) -> list[str]:
    """Return the modules that hold code, by their paths below the package."""
    return [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]


@pytest.mark.parametrize("component", COMPONENT_PACKAGES)
def test_the_readme_of_a_component_lists_every_file_and_only_files_that_exist(component: str) -> None:
    text = (ROOT / component / "README.md").read_text()
    listed = set(re.findall(r"^\| `([a-z0-9_/]+\.py)` \|", text, re.MULTILINE))

    assert listed == set(modules(COMPONENT_PACKAGES[component]))


NAMED_TEST = re.compile(r"`(tests/[^`:]+?)(?:::(\w+))?`(?:\s+\(([^)]*)\))?")
PAGES_OF_PROOF = (
    ROOT / "docs" / "guarantees.md",
    ROOT / "tests" / "faults" / "README.md",
    ROOT / "tests" / "integration" / "producer" / "README.md",
)


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return what a page names as proof: files and folders, with the name of a test or some of its words."""
    return [
        (path, words.replace(" ", "_"))
        for path, name, remark in NAMED_TEST.findall(text)
        for words in [name] * bool(name) or re.findall(r'"([^"]+)"', remark.replace("\n", " ")) or [""]
    ]


@pytest.mark.parametrize("page", PAGES_OF_PROOF, ids=lambda page: page.name)
def test_each_test_that_a_page_names_as_proof_exists(page: Path) -> None:
    named = named_tests(page.read_text())
    missing = [
        (path, words)
        for path, words in named
        if not (ROOT / path).exists()
        or (words and not re.search(rf"def \w*{words}", (ROOT / path).read_text()))
    ]

    assert len(named) > 20
    assert missing == []


def test_each_promise_has_its_limits_and_its_test() -> None:
    _, *promises = re.split(r"^## ", (ROOT / "docs" / "guarantees.md").read_text(), flags=re.MULTILINE)

    incomplete = [
        promise.partition("\n")[0]
        for promise in promises
        if not {"*Limits.*", "*Tests.*"} <= set(re.findall(r"^\*\w+\.\*", promise, re.MULTILINE))
        or not named_tests(promise)
    ]

    assert incomplete == []
