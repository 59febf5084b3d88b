"""The kit judges programs from outside: it imports no component."""

import ast
import subprocess
import sys
from pathlib import Path

import mailpact_kit

PACKAGE = Path(mailpact_kit.__file__).parent
COMPONENTS = {"mailpact_producer", "mailpact_consumer", "mailpact_capture", "mailpact_devbroker"}


def test_no_module_of_the_kit_imports_a_room() -> None:
    imported = {
        name.partition(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert "mailpact" in imported
    assert imported & COMPONENTS == set()


def test_no_room_is_loaded_with_the_command() -> None:
    script = "import sys, mailpact_kit.command; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert {name.partition(".")[0] for name in loaded.split()} & COMPONENTS == set()
