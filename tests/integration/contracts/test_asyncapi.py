"""The AsyncAPI document agrees with the contracts, and the official parser finds no error in it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mailpact.contracts import catalogue

CONTRACTS = {
    name: contract for name, contract in catalogue.load().contracts.items() if contract.binding is not None
}
NODE = Path(__file__).with_name("node")

pytestmark = pytest.mark.xdist_group("published")  # all tests share one site and one folder


def parsed(tools: Path, document: Path) -> Any:
    shutil.copy(NODE / "asyncapi.mjs", tools)
    done = subprocess.run(
        ["node", str(tools / "asyncapi.mjs"), str(document)], capture_output=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def read(node_tools: Path, edition: Path) -> Any:
    """Return what the official parser reads in the document."""
    return parsed(node_tools, edition / "asyncapi.json")


@pytest.mark.timeout(300)
def test_the_official_parser_finds_nothing_to_complain_of(read: Any) -> None:
    assert read["diagnostics"] == []


@pytest.mark.timeout(300)
def test_the_official_parser_would_complain_of_a_reference_that_leads_nowhere(
    node_tools: Path, edition: Path, tmp_path: Path
) -> None:
    document = json.loads((edition / "asyncapi.json").read_text())
    next(iter(document["operations"].values()))["channel"]["$ref"] = "#/channels/nowhere"
    (tmp_path / "asyncapi.json").write_text(json.dumps(document))

    complaints = parsed(node_tools, tmp_path / "asyncapi.json")["diagnostics"]

    assert "invalid-ref" in [complaint["code"] for complaint in complaints if complaint["severity"] == 0]


@pytest.mark.timeout(300)
def test_each_contract_is_sent_and_received_on_its_exchange_under_its_type(read: Any) -> None:
    found = {(row["id"], row["action"], row["exchange"], row["message"]) for row in read["operations"]}

    assert found == {
        (f"{action}-{name.replace('/', '-')}", action, contract.binding.exchange, contract.binding.type)
        for name, contract in CONTRACTS.items()
        for action in ("send", "receive")
    }


@pytest.mark.timeout(300)
def test_payloads_are_the_schemas_of_the_contract_as_the_parser_gives_them_on(read: Any) -> None:
    for row in read["operations"]:
        name = row["id"].partition("-")[2]
        contract = CONTRACTS[f"{name.rpartition('-')[0]}/{name.rpartition('-')[2]}"]
        examples = contract.writer_schema.get("examples", [])
        assert isinstance(examples, list)
        validator = jsonschema_rs.Draft202012Validator(row["payload"]["schema"])
        assert all(validator.is_valid(example) for example in examples)
        assert not validator.is_valid(["no object"])
