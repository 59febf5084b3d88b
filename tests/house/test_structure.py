"""The house keeps its shape: sizes, names, and a kernel that is shared by those it is for."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "producer": ROOT / "producer" / "mailpact_producer",
    "consumer": ROOT / "consumer" / "mailpact_consumer",
    "capture": ROOT / "capture" / "mailpact_capture",
    "devbroker": ROOT / "devbroker" / "mailpact_devbroker",
    "contract_tests": ROOT / "contract_tests" / "mailpact_kit",
}
KERNEL = ROOT / "mailpact"
SOURCES = sorted(path for folder in (KERNEL, *ROOMS.values()) for path in folder.rglob("*.py"))
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
LARGEST_DEVBROKER = 1_975  # lines of code; what is still wanted of it then is to be had from RabbitMQ
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}


def function_lengths(path: Path) -> dict[str, int]:
    """Give the lines of each function, its docstring not counted."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            docstring = node.body[0]
            lines = (node.end_lineno or 0) - node.lineno + 1
            if body is not node.body:
                lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
            lengths[node.name] = lines
    return lengths


def test_no_function_is_too_long_to_be_read_at_once() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{name}": lines
        for path in SOURCES
        for name, lines in function_lengths(path).items()
        if lines > LONGEST_FUNCTION
    }

    assert long == {}


def test_no_file_has_become_the_place_where_everything_goes() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }

    assert long == {}


def lines_of_code(path: Path) -> int:
    """Count the lines that are not blank, comment or docstring."""
    source, docstrings = path.read_text(), set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    layout = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def test_the_development_broker_stays_small() -> None:
    lines = {path.name: lines_of_code(path) for path in ROOMS["devbroker"].rglob("*.py")}

    assert sum(lines.values()) <= LARGEST_DEVBROKER, lines


def test_names_of_files_say_what_is_in_them() -> None:
    assert [path for path in SOURCES if path.stem in SAY_NOTHING or path.parent.name in SAY_NOTHING] == []


def kernel_children() -> list[str]:
    """Give the parts of the kernel that must be shared to be in it."""
    children = {
        path.stem if path.is_file() else path.name for path in KERNEL.iterdir() if path.name[0] != "_"
    }
    return sorted(children - {"cli", "contracts", "py"})


@pytest.mark.parametrize("child", kernel_children())
def test_each_part_of_the_kernel_is_used_by_at_least_two_rooms(child: str) -> None:
    uses = re.compile(rf"^(?:from|import) mailpact\.{child}\b", re.MULTILINE)

    users = [
        room
        for room, folder in ROOMS.items()
        if any(uses.search(path.read_text()) for path in folder.rglob("*.py"))
    ]

    assert len(users) >= 2, users


def test_lock_files_name_no_host() -> None:
    locks = sorted((ROOT / "requirements").glob("*.lock"))

    assert len(locks) == 2
    assert [lock.name for lock in locks if "://" in lock.read_text()] == []


def test_exemptions_carry_their_reason() -> None:
    exemption = re.compile(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z-, ]+\])(?P<reason>.*)$", re.MULTILINE)

    silent = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in SOURCES
        for found in exemption.finditer(path.read_text())
        if not found["reason"].strip()
    ]

    assert silent == []
