"""Ask each schema engine for its verdicts, and compare them with the contracts.

An engine answers for each instance whether the schema accepts it, and if not, with which faults. The answers "valid"
and "invalid" must be those of the contracts, and the faults must contain the expected one. An engine may report more
faults: ajv reports an `if` beside the fault that its `then` found, and every engine reports all other faults too.

Engines name faults alike, with two exceptions:

- of an `anyOf` (networknt) or `propertyNames` (jsonschema) some engines name only the faults inside the keyword. Such a
  fault counts as the expected one;
- santhosh-tekuri/jsonschema 6.0.3 gives another member's place for `propertyNames`: it keeps a slice and goes on
  writing into it. Our program gives no place for that keyword, and any place is accepted.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jsonschema
import jsonschema_rs

from tests.polyglot.questions import Fault, Instance, Question

ANSWER_SECONDS = 120
NAMED_BY_THEIR_PARTS = {"anyOf", "propertyNames"}


@dataclass(frozen=True, slots=True)
class Found:
    """A fault as an engine reports it. `pointer` is None and `path` is empty if the engine does not report them.

    `path` leads through the schema to the keyword, and names the keywords around it.
    """

    pointer: str | None
    keyword: str
    path: tuple[str, ...] = ()

    def is_in(self, pointer: str) -> bool:
        """Return whether the fault is at that place or below it."""
        return self.pointer is None or f"{self.pointer}/".startswith(f"{pointer}/")

    def counts_for(self, expected: Fault) -> bool:
        """Return whether this is the expected fault, or a part of the expected fault."""
        if self.keyword == expected.keyword:
            return self.pointer in (expected.pointer, None)
        inside = NAMED_BY_THEIR_PARTS.intersection(self.path, {expected.keyword})
        return bool(inside) and self.is_in(expected.pointer)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answers for one instance."""

    valid: bool
    faults: tuple[Found, ...] = ()

    def agrees(self, instance: Instance) -> bool:
        """Return whether the verdict is the expected one, and the expected fault is among those found."""
        if instance.expected is None:
            return self.valid
        return not self.valid and any(fault.counts_for(instance.expected) for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with its answers: a list for each question, or an error text if the schema did not compile."""

    name: str
    version: str
    answers: tuple[tuple[Answer, ...] | str, ...]

    def differences(self, question: Question, answers: tuple[Answer, ...] | str) -> list[str]:
        """Return a line for each answer that is not the expected one."""
        if isinstance(answers, str):
            return [f"{question.name} does not compile: {answers}"]
        return [
            f"{question.name}, {instance.vector}: expected {instance.expected}, got {answer}"
            for instance, answer in zip(question.instances, answers, strict=True)
            if not answer.agrees(instance)
        ]


def ask_program(command: Sequence[str], questions: Sequence[Question]) -> Engine:
    """Return the answers of a program, whose first line of output names the engine and its version."""
    done = subprocess.run(
        command,
        input="".join(f"{question.line}\n" for question in questions),
        capture_output=True,
        encoding="utf-8",
        timeout=ANSWER_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    introduction, *answers = [json.loads(line) for line in done.stdout.splitlines()]
    return Engine(introduction["engine"], introduction["version"], tuple(_read(answer) for answer in answers))


def ask_jsonschema(questions: Sequence[Question]) -> Engine:
    """Return the answers of jsonschema, the reference implementation in Python."""

    def compiled(schema: Any) -> Callable[[Any], Answer]:
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        return lambda instance: Answer(
            validator.is_valid(instance),
            tuple(
                Found(
                    _pointer(error.absolute_path),
                    str(error.validator),
                    tuple(str(step) for step in error.absolute_schema_path),
                )
                for error in validator.iter_errors(instance)
            ),
        )

    return _ask_library("jsonschema", questions, compiled)


def ask_jsonschema_rs(questions: Sequence[Question]) -> Engine:
    """Return the answers of jsonschema-rs, the engine that Mailpact itself uses."""

    def compiled(schema: Any) -> Callable[[Any], Answer]:
        validator = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=False, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
        return lambda instance: Answer(
            validator.is_valid(instance),
            tuple(
                Found(_pointer(error.instance_path), error.kind.name)
                for error in validator.iter_errors(instance)
            ),
        )

    return _ask_library("jsonschema-rs", questions, compiled)


def _ask_library(
    name: str, questions: Sequence[Question], compiled: Callable[[Any], Callable[[Any], Answer]]
) -> Engine:
    answers: list[tuple[Answer, ...] | str] = []
    for question in questions:
        try:
            judge = compiled(json.loads(question.schema))
        except (ValueError, jsonschema.SchemaError) as error:
            answers.append(str(error))
        else:
            answers.append(tuple(judge(json.loads(instance.text)) for instance in question.instances))
    return Engine(name, version(name), tuple(answers))


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _read(answer: dict[str, Any]) -> tuple[Answer, ...] | str:
    if "error" in answer:
        return str(answer["error"])
    return tuple(
        Answer(
            result["valid"],
            tuple(
                Found(error["pointer"], error["keyword"], tuple(error.get("path", "").split("/")))
                for error in result["errors"] or ()
            ),
        )
        for result in answer["results"]
    )
