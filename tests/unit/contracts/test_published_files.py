"""The files that other teams take: complete, consistent, and unchanged once published."""

import hashlib
import json

import jsonschema
import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, PublishedFileError, UnknownContractError


@pytest.fixture
def index(published):
    return json.loads((published / "index.json").read_text())


@pytest.fixture
def copied(tmp_path, published):
    """A writable copy of the files that the catalogue reads."""
    for path in published.rglob("*.json"):
        if "vectors" not in path.parts:
            target = tmp_path / path.relative_to(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def test_error_codes_are_those_of_errors_json_in_its_order(published):
    listed = json.loads((published / "errors.json").read_text())["errors"]

    assert list(ErrorCode) == [entry["code"] for entry in listed]


def test_each_error_code_says_what_it_means_and_what_to_do():
    for entry in catalogue.load().error_codes.values():
        assert entry.meaning.endswith(".")
        assert entry.publisher.endswith(".")


def test_index_holds_the_hash_of_each_published_file(index, published):
    for entry in index["contracts"]:
        for file in entry["files"]:
            assert file["sha256"] == hashlib.sha256((published / file["path"]).read_bytes()).hexdigest(), (
                file["path"]
            )


def test_index_lists_every_file_of_the_history(index, published):
    listed = {file["path"] for entry in index["contracts"] for file in entry["files"]}

    history = {str(path.relative_to(published)) for path in published.glob("*/*/history/*/*")}
    assert history - listed == set()


def test_history_ends_with_the_files_that_are_published_now(index, published):
    for entry in index["contracts"]:
        folder = published / entry["name"] / str(entry["major"])
        for name in ("schema.json", "writer.schema.json", "binding.json"):
            assert (folder / name).read_bytes() == (folder / "history" / entry["version"] / name).read_bytes()


def test_index_points_at_files_that_exist(index, published):
    for entry in index["contracts"]:
        for member in ("schema", "writer_schema", "binding", "vectors", "changelog"):
            assert (published / entry[member]).exists()


def test_changelog_begins_with_the_version_that_is_published(index, published):
    for entry in index["contracts"]:
        headings = [
            line for line in (published / entry["changelog"]).read_text().splitlines() if line[:3] == "## "
        ]
        assert headings[0] == f"## {entry['version']}"


def test_schemas_are_valid_2020_12_and_named_without_a_host():
    for contract in catalogue.load().contracts.values():
        for schema in (contract.schema, contract.writer_schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert str(schema["$id"]).startswith(f"urn:mailpact:contract:{contract.name}:{contract.major}")


def test_writer_schema_differs_from_the_reader_schema_only_in_being_closed(email_1):
    names = {"$id", "title", "description"}
    reader = {keyword: value for keyword, value in email_1.schema.items() if keyword not in names}
    writer = {keyword: value for keyword, value in email_1.writer_schema.items() if keyword not in names}

    assert writer == reader | {"additionalProperties": False}


def test_examples_of_a_schema_obey_it():
    for contract in catalogue.load().contracts.values():
        for example in contract.schema["examples"]:
            assert jsonschema.Draft202012Validator(contract.writer_schema).is_valid(example)


def test_binding_of_email_1_is_what_the_topology_routes():
    binding = catalogue.load().contract("email/1").binding
    topology = catalogue.load().topology

    assert binding.exchange in {exchange.name for exchange in topology.exchanges}
    routed = {route.routing_key for route in topology.bindings if route.exchange == binding.exchange}
    assert routed == set(binding.routing_keys)
    assert binding.routing_key in routed


def test_writers_send_what_readers_take():
    for contract in catalogue.load().contracts.values():
        assert contract.binding.content_type in contract.binding.content_types


def test_topology_binds_only_what_it_declares():
    topology = catalogue.load().topology

    exchanges = {exchange.name for exchange in topology.exchanges}
    queues = {queue.name for queue in topology.queues}
    assert {route.exchange for route in topology.bindings} <= exchanges
    assert {route.queue for route in topology.bindings} <= queues


def test_load_reads_once():
    assert catalogue.load() is catalogue.load()


def test_read_gives_the_same_from_any_folder(copied):
    assert catalogue.read(copied) == catalogue.load()


def test_unknown_contract_is_named_with_those_that_there_are():
    with pytest.raises(UnknownContractError, match=r"'fax/1'.*email/1"):
        catalogue.load().contract("fax/1")


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("index.json", None, "cannot be read"),
        ("index.json", b"[]", "not of the published form"),
        ("index.json", b'{"contracts": 5}', "not of the published form"),
        ("topology.json", b'{"exchanges": [{}], "queues": [], "bindings": []}', "not of the published form"),
        ("errors.json", b'{"errors": [{"code": "oops", "meaning": "", "publisher": ""}]}', "oops"),
        ("email/1/schema.json", b"{", "not JSON at line 1"),
        ("email/1/schema.json", b"[]", "a schema is an object"),
        ("email/1/binding.json", b'{"exchange": "email"}', "writers"),
        ("email/1/writer.schema.json", b"[" * 10_000, "nested deeper"),
        ("email/1/writer.schema.json", b" " * 10_000_000, "10000000 bytes"),
    ],
)
def test_damaged_file_is_named_with_its_fault(copied, file, content, fault):
    if content is None:
        (copied / file).unlink()
    else:
        (copied / file).write_bytes(content)

    with pytest.raises(PublishedFileError, match=fault) as caught:
        catalogue.read(copied)
    assert caught.value.path == copied / file
