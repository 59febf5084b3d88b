"""The TypeScript compiler accepts messages that obey a contract, and refuses wrong ones as far as types can."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailpact_contract_tool.publish.typescript import type_name

# What a type can show. A type knows no lengths and patterns, and no integers: 1.5 is a number just as 1 is.
SEEN_BY_TYPES = {"additionalProperties", "const", "enum", "required", "type"}
OPTIONS = [
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
]

pytestmark = pytest.mark.xdist_group("published")  # all tests share one site and one folder


def expanded(vector: dict[str, Any]) -> str | None:
    """Return the body of a vector; None if the body is no text or JSON parsers disagree about it."""
    match vector:
        case {"body": str(body)}:
            return body
        case {"body_pieces": list(pieces)}:
            return "".join(piece["text"] * piece["times"] for piece in pieces)
        case _:
            return None


def seen_by_types(body: str, error: dict[str, Any]) -> bool:
    """Return whether a type must refuse the body."""
    value = json.loads(body)
    for step in error["pointer"].split("/")[1:]:
        value = value[int(step) if isinstance(value, list) else step]
    return error["keyword"] in SEEN_BY_TYPES and not (error["keyword"] == "type" and isinstance(value, float))


def lines(contract: str, folder: Path) -> Iterator[str]:
    """Write each vector as a constant of the contract's type; expect an error where the type must refuse the vector."""
    for path in sorted(folder.glob("vectors/*valid/*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        body = expanded(vector)
        error = vector.get("error") or vector.get("writer_error")
        if body is None or (error and (error["code"] != "schema" or not seen_by_types(body, error))):
            continue
        if error:
            yield f"// @ts-expect-error {path.parent.name}/{path.stem}: {error['keyword']}"
        name = f"{path.parent.name}_{path.stem}".replace("-", "_")
        yield f"export const {name}: {type_name(contract)} = {json.dumps(json.loads(body))};"


@pytest.mark.timeout(300)
def test_messages_that_obey_have_the_type_and_those_that_do_not_have_it_not(
    node_tools: Path, edition: Path, tmp_path: Path
) -> None:
    names = [
        f"{row['name']}/{row['major']}"
        for row in json.loads((edition / "contracts/index.json").read_text())["contracts"]
    ]
    for name in names:
        module = name.replace("/", "-")
        (tmp_path / f"{module}.d.ts").write_bytes((edition / f"types/{module}.d.ts").read_bytes())
        text = [
            f'import type {{ {type_name(name)} }} from "./{module}";',
            *lines(name, edition / "contracts" / name),
        ]
        (tmp_path / f"check-{module}.ts").write_text("\n".join(text))

    sources = [str(path) for path in tmp_path.glob("check-*.ts")]
    done = subprocess.run(
        [str(node_tools / "node_modules/.bin/tsc"), *OPTIONS, *sources],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (done.stdout, done.returncode) == ("", 0)
