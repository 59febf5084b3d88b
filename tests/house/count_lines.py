"""Counts the lines of code of each component: `python -m tests.house.count_lines [FOLDER]`.

Blank lines, comments and docstrings are not counted. FOLDER is another checkout, to compare with.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

NOT_COUNTED = ("tests", "benchmarks", ".venv", "build", "dist")


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


def components(root: Path) -> Counter[str]:
    """Return the lines of code of each folder at the top of a checkout, without tests and benchmarks."""
    counted: Counter[str] = Counter()
    for path in root.rglob("*.py"):
        top = path.relative_to(root).parts[0]
        if top not in NOT_COUNTED:
            counted[top] += lines_of_code(path)
    return counted


def main() -> None:
    """Print a line for each component, and their sum."""
    counted = components(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    for name, lines in (*sorted(counted.items()), ("in all", counted.total())):
        print(f"{lines:7}  {name}")  # noqa: T201  # the result


if __name__ == "__main__":
    main()
