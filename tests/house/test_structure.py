"""Limits on sizes, rules about names, and a kernel in which each module has at least two users."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.house.count_lines import lines_of_code

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    "cli": ROOT / "cli" / "mailpact_cli",
    "contract_tool": ROOT / "contract_tool" / "mailpact_contract_tool",
    "producer": ROOT / "producer" / "mailpact_producer",
    "consumer": ROOT / "consumer" / "mailpact_consumer",
    "capture": ROOT / "capture" / "mailpact_capture",
    "devbroker": ROOT / "devbroker" / "mailpact_devbroker",
    "contract_tests": ROOT / "contract_tests" / "mailpact_kit",
}
KERNEL = ROOT / "mailpact"
SOURCES = sorted(path for folder in (KERNEL, *COMPONENTS.values()) for path in folder.rglob("*.py"))
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
LARGEST_KERNEL = 3_000  # lines
LARGEST_DEVBROKER = 2_400  # lines of code; whoever needs more uses RabbitMQ
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file, parsed once."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's syntax tree but those of expressions, in which nothing is defined or imported."""
    found: list[ast.AST] = []
    ahead: list[ast.AST] = [tree(path)]
    while ahead:
        node = ahead.pop()
        found.append(node)
        ahead += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
    return found


def function_lengths(path: Path) -> dict[str, int]:
    """Return the lines of each function, its docstring not counted."""
    lengths = {}
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            docstring = node.body[0]
            lines = (node.end_lineno or 0) - node.lineno + 1
            if body is not node.body:
                lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
            lengths[node.name] = lines
    return lengths


@pytest.mark.heavy
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


def test_the_development_broker_stays_small() -> None:
    lines = {path.name: lines_of_code(path) for path in COMPONENTS["devbroker"].rglob("*.py")}

    assert sum(lines.values()) <= LARGEST_DEVBROKER, lines


def test_names_of_files_say_what_is_in_them() -> None:
    assert [path for path in SOURCES if path.stem in SAY_NOTHING or path.parent.name in SAY_NOTHING] == []


@cache
def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in the file."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_name(path: Path) -> str:
    """Return the dotted name of a module of the kernel."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


KERNEL_MODULES = {
    module_name(path): path
    for path in sorted(KERNEL.rglob("*.py"))
    if path.stem != "__init__" and "migrations" not in path.parts  # Alembic runs this file by its path
}


@cache
def imports_of_component(component: str) -> set[str]:
    """Return the modules that the files of a component import."""
    return {name for path in SOURCES if path.is_relative_to(COMPONENTS[component]) for name in imports(path)}


def components_using(module: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the components that import a module of the kernel, or a module of the kernel that imports it."""
    users = {component for component in COMPONENTS if module in imports_of_component(component)}
    for other, path in KERNEL_MODULES.items():
        if other not in seen and other != module and module in imports(path):
            users |= components_using(other, seen | {module})
    return users


def test_each_module_of_the_kernel_is_used_by_at_least_two_components() -> None:
    users = {module: components_using(module) for module in KERNEL_MODULES}

    assert {name: found for name, found in users.items() if len(found) < 2} == {}


def test_the_kernel_stays_small() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in KERNEL_MODULES.items()}

    assert sum(lines.values()) <= LARGEST_KERNEL, lines


def module_imports() -> dict[str, set[str]]:
    """Return for each of our modules which of our modules it imports."""
    modules = {
        ".".join(
            path.relative_to(ROOT if folder == KERNEL else folder.parent).with_suffix("").parts
        ).removesuffix(".__init__"): path
        for folder in (KERNEL, *COMPONENTS.values())
        for path in folder.rglob("*.py")
    }
    return {name: (imports(path) & modules.keys()) - {name} for name, path in modules.items()}


def test_no_module_imports_itself_by_way_of_others() -> None:
    edges = module_imports()

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = list(edges[start])
        while ahead:
            module = ahead.pop()
            if module not in found:
                found.add(module)
                ahead += edges[module]
        return found

    assert {module for module in edges if module in reached(module)} == set()


@pytest.mark.heavy
def test_services_load_nothing_of_the_contract_tool() -> None:
    program = (
        "import sys\n"
        "from mailpact_cli.main import main\n"
        "for words in ['--help'], ['consumer', '--help'], ['producer', '--help']:\n"
        "    sys.argv = ['mailpact', *words]\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code\n"
        "import mailpact_consumer.service, mailpact_producer.service\n"
        "print([name for name in sys.modules if name.startswith('mailpact_contract_tool')])\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert output.splitlines()[-1] == "[]"


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
