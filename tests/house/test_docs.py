"""Documentation that lags behind the code fails here."""

import re
from pathlib import Path

import pytest

from mailpact_cli.commands import commands, root

ROOT = Path(__file__).parents[2]
ROOM_PACKAGES = {
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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
        if word is not None  # what belongs to one call only has no variable
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


@pytest.mark.parametrize("room", ROOM_PACKAGES)
def test_the_readme_of_a_component_lists_every_file_and_only_files_that_exist(room: str) -> None:
    text = (ROOT / room / "README.md").read_text()
    listed = set(re.findall(r"^\| `([a-z0-9_/]+\.py)` \|", text, re.MULTILINE))

    assert listed == set(modules(ROOM_PACKAGES[room]))
