"""Runs the kit on each mutant and prints which cases killed it: `python contract_tests/mutants/matrix.py [--full]`.

A mutant is a correct program with one mistake, described in `mutants.json` by the file and the replaced text. By
default only the cases that must kill the mutant are run; with `--full` all cases are run. Exit status 1 means that a
mutant survived, or that a case killed no mutant.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIT = Path(__file__).parents[1]
KILLED = ("FAIL", "NON-STRICT")
SECONDS = "3"
AT_ONCE = 6
FORM = (
    *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/", "--trigger-duplicate"),
    *("--trigger-field", "email={email}", "--trigger-field", "message={message}"),
)
MAILPACT = (
    *("consumer", "--amqp-url", "{AMQP_URL}", "--smtp-url", "{SMTP_URL}"),
    *("--inbox-url", "sqlite:///{WORK_DIR}/inbox.db", "--mail-from", "{MAIL_FROM}"),
)


@dataclass(frozen=True)
class Mutant:
    """A program with one mistake, and the cases that must detect the mistake.

    Without a replacement, the correct program.
    """

    name: str
    breaks: str
    killed_by: tuple[str, ...]
    file: str
    replace: tuple[tuple[str, str], ...]

    @property
    def is_of_mailpact(self) -> bool:
        """Return whether the changed file belongs to Mailpact's own consumer, which is a package."""
        return self.file.startswith("../consumer/")

    @property
    def role(self) -> str:
        """Return the kind of program."""
        return "producer" if "producer" in self.file else "consumer"


def mutants() -> list[Mutant]:
    """Read all mutants."""
    rows: list[Any] = json.loads((KIT / "mutants" / "mutants.json").read_text())
    return [
        Mutant(
            row["name"],
            row["breaks"],
            tuple(row["killed_by"]),
            row["file"],
            tuple((before, after) for before, after in row["replace"]),
        )
        for row in rows
    ]


def written(mutant: Mutant, folder: Path) -> Path:
    """Write a mutant's program to a folder and return the changed file.

    Raise ValueError if the file does not contain the text to replace exactly once.
    """
    source = (KIT / mutant.file).resolve()
    if mutant.is_of_mailpact:
        folder = folder / source.parent.name
        shutil.copytree(source.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        for beside in source.parent.glob("*.py"):
            shutil.copy(beside, folder)
    program = folder / source.name
    text = program.read_text()
    for before, after in mutant.replace:
        if text.count(before) != 1:
            raise ValueError(f"{mutant.name}: {before!r} stands {text.count(before)} times in {mutant.file}")
        text = text.replace(before, after)
    program.write_text(text)
    return program


def words_for(mutant: Mutant, folder: Path, run: str) -> list[str]:
    """Return the kit's options and the command of a mutant that was written to a folder."""
    options = ["--timeout", SECONDS, "--run", run, "--json", str(folder / "report.json")]
    program = written(mutant, folder)
    if mutant.is_of_mailpact:
        return [
            *options,
            "--serves",
            "email/1,email/2",
            "--",
            sys.executable,
            "-m",
            "mailpact_cli",
            *MAILPACT,
        ]
    if mutant.role == "producer":
        return [*options, *FORM, "--", sys.executable, str(program)]
    return [*options, "--", sys.executable, str(folder / "consumer.py")]


def verdicts(mutant: Mutant, run: str) -> dict[str, str]:
    """Run the kit on a mutant and return the verdict of each case with such an id."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        words = words_for(mutant, folder, run)
        done = subprocess.run(  # noqa: S603  # the command is the kit with a mutant
            [sys.executable, "-m", "mailpact_kit.command", "verify", mutant.role, *words],
            env=os.environ | ({"PYTHONPATH": name} if mutant.is_of_mailpact else {}),  # noqa: TID251  # the mutant's folder precedes the installed package
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        report = folder / "report.json"
        if not report.exists():
            raise RuntimeError(f"{mutant.name}: {done.stderr}")
        return {case["id"]: case["verdict"] for case in json.loads(report.read_text())["cases"]}


def matrix(
    wanted: Iterable[Mutant], *, runs_all: bool = False, at_once: int = AT_ONCE
) -> dict[str, list[str]]:
    """Return the cases that killed each mutant, by the mutant's name. Runs mostly wait, so several run at once."""
    with ThreadPoolExecutor(at_once) as pool:
        running = {
            mutant.name: [
                pool.submit(verdicts, mutant, run) for run in (["*"] if runs_all else mutant.killed_by)
            ]
            for mutant in wanted
        }
        found = {
            name: {case: verdict for run in runs for case, verdict in run.result().items()}
            for name, runs in running.items()
        }
    return {
        name: sorted(case for case, verdict in cases.items() if verdict in KILLED)
        for name, cases in found.items()
    }


def main(words: Sequence[str]) -> int:
    """Run all mutants, print a line for each, and list the surviving mutants and the cases that killed no mutant."""
    parser = argparse.ArgumentParser(description="Run the kit on each mutant.")
    parser.add_argument("--full", action="store_true", help="run all cases on each mutant")
    everything = mutants()
    killers = matrix(everything, runs_all=parser.parse_args(words).full)
    living = [each.name for each in everything if not set(each.killed_by) <= set(killers[each.name])]
    for name, cases in killers.items():
        sys.stdout.write(f"{name:<28}{' '.join(cases) or 'LIVES'}\n")
    killing = {case for cases in killers.values() for case in cases}
    idle = {path.stem for path in (KIT / "cases").glob("*.json")} - killing
    sys.stdout.write(
        f"living: {' '.join(living) or 'none'}; cases that killed none: {' '.join(sorted(idle)) or 'none'}\n"
    )
    return 1 if living or idle else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
