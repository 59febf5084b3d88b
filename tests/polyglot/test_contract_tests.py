"""The samples and the programs of the pages pass the conformance kit, and the commands on the kit's page work.

The samples are verified on the development broker and on RabbitMQ, as many times as MAILPACT_TEST_KIT_ROUNDS says.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.polyglot.pages import PAGES, program_on_page
from tests.polyglot.workshops import Go, Java, Node, NotAvailable, Python, Rust, Workshop

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "contract_tests" / "samples"
KIT = [sys.executable, "-m", "mailpact_kit.command", "verify"]
PATIENCE_SECONDS = 240
ROUNDS = int(os.environ.get("MAILPACT_TEST_KIT_ROUNDS", "1"))
pytestmark = pytest.mark.timeout(PATIENCE_SECONDS * (ROUNDS + 2))
# The programs of the pages send one fixed mail; here address and text come from the command line.
ARGUMENTS = {
    Python: ("sys.argv[1]", "sys.argv[2]", "import json, os, time, uuid", "import json, os, sys, time, uuid"),
    Go: ("os.Args[1]", "os.Args[2]", "", ""),
    Node: ("process.argv[2]", "process.argv[3]", "", ""),
    Java: ("arguments[0]", "arguments[1]", "", ""),
    Rust: ("std::env::args().nth(1).unwrap()", "&std::env::args().nth(2).unwrap()", "", ""),
}
TEXT = re.compile(r'"Hello from \w+\\n\\nThe first line is the subject\."')


def made(make: Callable[[], Workshop]) -> Workshop:
    """Return a language's workshop, or skip the test."""
    try:
        return make()
    except NotAvailable as error:
        pytest.skip(str(error))


def shell(command: str, folder: Path) -> None:
    """Run a command line exactly as the page has it."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=os.environ | {"GOFLAGS": "-buildvcs=false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def verified(*words: str) -> str:
    """Verify with `--strict` and return the report."""
    done = subprocess.run(
        [*KIT, words[0], "--strict", "--timeout", "20", *words[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["devbroker", "rabbitmq_url"])
def broker(request: pytest.FixtureRequest) -> str:
    """Return the value for the kit's option --broker: first for the development broker, then for a RabbitMQ."""
    return request.param if request.param == "devbroker" else str(request.getfixturevalue(request.param))


def go_sample(folder: Path) -> Sequence[str]:
    shutil.copytree(SAMPLES / "go", folder / "go")
    shell("go build -o consumer .", folder / "go")
    return (str(folder / "go" / "consumer"),)


def node_sample(folder: Path) -> Sequence[str]:
    shutil.copytree(SAMPLES / "node", folder / "node", ignore=shutil.ignore_patterns("node_modules"))
    shell("npm ci --no-audit --no-fund --silent", folder / "node")
    return "node", str(folder / "node" / "consumer.mjs")


@pytest.mark.parametrize(("language", "build"), [(Go, go_sample), (Node, node_sample)])
def test_the_sample_passes_every_case(
    tmp_path: Path, broker: str, language: type[Workshop], build: Callable[[Path], Sequence[str]]
) -> None:
    made(language)
    program = build(tmp_path)

    for _ in range(ROUNDS):
        assert "28 PASS, 1 SKIP" in verified("consumer", "--broker", broker, "--", *program)


def test_the_page_of_the_kit_works_as_it_is_written(tmp_path: Path) -> None:
    made(Go)
    page = (PAGES / "contract-tests.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shutil.copytree(
        SAMPLES, tmp_path / "contract_tests" / "samples", ignore=shutil.ignore_patterns("node_modules")
    )
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    script = f'#!/bin/sh\nexec {shlex.join(KIT[:-1])} "$@"\n'
    (scripts / "contract-tests").write_text(script)
    (scripts / "contract-tests").chmod(0o755)

    assert len(blocks) == 3
    for block in blocks[:2]:
        shell(block, tmp_path)


@pytest.mark.parametrize("language", ARGUMENTS, ids=lambda each: each.title)
def test_the_program_of_each_page_passes_every_case_that_is_about_it(language: type[Workshop]) -> None:
    workshop = made(language)
    email, message, imports, imports_more = ARGUMENTS[language]
    source = program_on_page(language.title.lower(), "Publish").replace('"ada@example.org"', email)
    source = source.replace(imports, imports_more, 1) if imports else source
    # A Java file is named after its class; files of the other languages may have any name.
    program = workshop.program("Publish", TEXT.sub(lambda _: message, source))

    report = verified("producer", "--trigger-cmd", f"{shlex.join(program)} {{email}} {{message}}")

    assert "14 PASS, 3 SKIP" in report
