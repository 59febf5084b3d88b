"""The pages of docs/how-to: their programs are short, and their tables agree with the contract."""

import json
import re

import pytest

from tests.polyglot.pages import LANGUAGES, PAGES, lines_of_code, program_on_page
from tests.polyglot.questions import CONTRACTS


@pytest.mark.parametrize("heading", ["Publish", "Validate"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_program_on_each_page_is_shorter_than_20_lines(language, heading):
    assert 5 <= len(lines_of_code(program_on_page(language, heading))) < 20


def test_lines_are_counted_without_imports_empty_lines_and_closing_brackets():
    program = 'import (\n\t"os"\n)\n\nfunc main() {\n\tf(\n\t\ta,\n\t)\n}\n'

    assert lines_of_code(program) == ["func main() {", "\tf(", "\t\ta,"]


def test_properties_on_the_page_are_those_of_the_binding():
    rows = re.findall(r"^\| (?:header )?`(\w+)` \|", (PAGES / "publish.md").read_text(), re.MULTILINE)
    binding = json.loads((CONTRACTS / "email/1/binding.json").read_text())

    assert rows == [each["name"].removeprefix("headers.") for each in binding["properties"]]
