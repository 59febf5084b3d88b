"""Read the programs from the pages of docs/how-to, and run them."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
RUN_SECONDS = 30
LANGUAGES = ("python", "go", "node", "java", "rust")
CLOSING = re.compile(r"[\s)\]};,]*")
FIRST_LINE = "The first line is the subject."
IMPORT = re.compile(r"(import|from|use)\b")


def program_on_page(language: str, heading: str) -> str:
    """Return the only program under a heading of a language's page."""
    page = (PAGES / f"publish-from-{language}.md").read_text(encoding="utf-8")
    (program,) = re.findall(rf"^## {heading}\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(program)


def html_program_on_page(language: str) -> str:
    """Return the program under `Publish`, changed as the page says under `Publish HTML`."""
    program, mail = (program_on_page(language, heading) for heading in ("Publish", "Publish HTML"))
    lines = program.splitlines(keepends=True)
    replaced = [n for n, line in enumerate(lines) if FIRST_LINE in line or '"message": text' in line]
    changed = "".join([*lines[: replaced[0]], mail, *lines[replaced[-1] + 1 :]])
    return changed.replace("email.v1", "email.v2")


def lines_of_code(program: str) -> list[str]:
    """Return the lines of code, without imports, empty lines and lines that only close a bracket."""
    text = re.sub(r"^import \(.*?^\)", "", program, flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.splitlines() if not CLOSING.fullmatch(line) and not IMPORT.match(line)]


def run(
    command: Sequence[str], folder: Path, *, text: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with this text on its standard input."""
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | variables,
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=RUN_SECONDS,
        check=False,
    )
