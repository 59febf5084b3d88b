"""The files that other teams take: complete, consistent, and unchanged once published."""

import hashlib
import json
import re
from pathlib import Path

import jsonschema
import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, NotAMessageError, PublishedFileError, UnknownContractError
from mailpact_cli.contracts.source import advice, limits_of
from mailpact_contract_tool.site.members import members


@pytest.fixture
def index(published):
    return json.loads((published / "index.json").read_text())


@pytest.fixture
def copied(tmp_path, published):
    """Return a writable copy of the files that the catalogue reads."""
    for path in published.rglob("*.json"):
        if "vectors" not in path.parts:
            target = tmp_path / path.relative_to(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def test_error_codes_are_those_of_errors_json_in_its_order(published):
    listed = json.loads((published / "errors.json").read_text())["errors"]

    assert list(ErrorCode) == [entry["code"] for entry in listed]


def test_each_error_code_says_what_it_means_and_what_to_do(published):
    for entry in json.loads((published / "errors.json").read_text())["errors"]:
        assert entry["meaning"].endswith(".")
        assert entry["publisher"].endswith(".")


def test_the_publisher_is_told_what_to_do_and_a_damaged_list_is_named(copied):
    contracts = catalogue.read(copied)

    assert advice(contracts, ErrorCode.TOO_LARGE).endswith(".")
    (copied / "errors.json").write_bytes(b'{"errors": [{"code": "too_large"}]}')
    with pytest.raises(PublishedFileError, match=r"errors\.json: is not of the published form"):
        advice(contracts, ErrorCode.TOO_LARGE)


def test_index_holds_the_hash_of_each_published_file(index, published):
    for entry in index["contracts"]:
        for file in entry["files"]:
            assert file["sha256"] == hashlib.sha256((published / file["path"]).read_bytes()).hexdigest(), (
                file["path"]
            )


def test_index_lists_every_file_of_the_history(index, published):
    listed = {file["path"] for entry in index["contracts"] for file in entry["files"]}

    history = {str(path.relative_to(published)) for path in published.glob("**/history/*/*")}
    assert history - listed == set()


def test_history_ends_with_the_files_that_are_published_now(index, published):
    for entry in index["contracts"]:
        folder = published / entry["name"] / str(entry["major"])
        current = [entry["schema"], entry["writer_schema"], *filter(None, [entry["binding"]])]
        last = {path.name: path.read_bytes() for path in (folder / "history" / entry["version"]).iterdir()}
        assert {Path(file).name: (published / file).read_bytes() for file in current} == last


def test_index_points_at_files_that_exist(index, published):
    for entry in index["contracts"]:
        for member in ("schema", "writer_schema", "binding", "vectors", "changelog"):
            assert entry[member] is None or (published / entry[member]).exists()


def test_changelog_begins_with_the_version_that_is_published(index, published):
    for entry in index["contracts"]:
        headings = [
            line for line in (published / entry["changelog"]).read_text().splitlines() if line[:3] == "## "
        ]
        assert headings[0] == f"## {entry['version']}"


def test_links_in_the_pages_of_the_contracts_lead_somewhere(published):
    links = [
        (page, link)
        for page in published.rglob("*.md")
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    ]

    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []
    assert links


def test_schemas_are_valid_2020_12_and_named_without_a_host():
    for contract in catalogue.load().contracts.values():
        for schema in (contract.schema, contract.writer_schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert str(schema["$id"]).startswith(
                f"urn:mailpact:contract:{contract.name.replace('/', ':')}:{contract.major}"
            )


def opened(schema):
    """Return the schema without the keywords that forbid further members."""
    if isinstance(schema, list):
        return [opened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {word: opened(rule) for word, rule in schema.items()}
    return {word: rule for word, rule in kept.items() if (word, rule) != ("additionalProperties", False)}


def test_writer_schema_differs_from_the_reader_schema_only_in_being_closed(contract_name, contracts):
    contract = contracts.contract(contract_name)
    names = {"$id": "", "title": "", "description": ""}

    assert opened(contract.writer_schema) | names == contract.schema | names
    is_closed = contract.writer_schema != opened(contract.writer_schema)
    assert is_closed == (contract_name != "log/1")  # a record has any further members


def test_each_member_of_each_contract_is_described(contract_name, contracts):
    rows = members(contracts.contract(contract_name).schema)

    assert [row.path for row in rows if not row.description] == []


def test_examples_of_a_schema_obey_it():
    for contract in catalogue.load().contracts.values():
        for example in contract.schema["examples"]:
            assert jsonschema.Draft202012Validator(contract.writer_schema).is_valid(example)


@pytest.mark.parametrize("name", ["email/1", "email/2"])
def test_binding_of_a_mail_is_what_the_topology_routes(name):
    binding = catalogue.load().contract(name).wire
    topology = catalogue.load().topology

    routed = {route.routing_key for route in topology.bindings if route.exchange == binding.exchange}
    assert routed == set(binding.routing_keys)
    assert binding.routing_key in routed


def bindings():
    return [contract.binding for contract in catalogue.load().contracts.values() if contract.binding]


def test_each_contract_travels_through_an_exchange_of_the_topology():
    exchanges = {exchange.name for exchange in catalogue.load().topology.exchanges}

    assert {binding.exchange for binding in bindings()} <= exchanges


def test_writers_send_what_readers_take():
    for binding in bindings():
        assert binding.content_type in binding.content_types


def test_each_contract_has_a_type_of_its_own():
    types = [binding.type for binding in bindings()]

    assert len(types) == len(set(types))


def test_data_of_a_template_are_as_big_as_the_message_that_carries_them_may_be():
    published = catalogue.load()
    template = published.contract("template/welcome/1")

    assert limits_of(published, template) == published.contract("email/2").wire.limits
    with pytest.raises(NotAMessageError, match=r"template/welcome/1 .* publish a message of email/2"):
        _ = template.wire


def test_topology_binds_only_what_it_declares():
    topology = catalogue.load().topology

    exchanges = {exchange.name for exchange in topology.exchanges}
    queues = {queue.name for queue in topology.queues}
    assert {route.exchange for route in topology.bindings} <= exchanges
    assert {route.queue for route in topology.bindings} <= queues


def test_rooms_declare_what_they_use_and_an_operator_all():
    topology = catalogue.load().topology
    consumer, producer = topology.declared_by("consumer"), topology.declared_by("producer")

    retries = [queue.name for queue in topology.queues if queue.name.startswith("email.retry.")]
    assert [exchange.name for exchange in consumer.exchanges] == [
        "email",
        "email.dlx",
        "email.requeue",
        "email.retry",
        "email.status",
    ]
    assert [queue.name for queue in consumer.queues] == ["email.dead", "email.work", *retries]
    assert [(route.exchange, route.routing_key) for route in consumer.bindings] == [
        ("email.dlx", ""),
        ("email", ""),
        ("email", "email"),
        ("email.requeue", ""),
        *(("email.retry", name.removeprefix("email.retry.")) for name in retries),
    ]
    assert ([exchange.name for exchange in producer.exchanges], producer.queues) == (["email"], ())
    site = topology.declared_by("site")
    assert [exchange.name for exchange in site.exchanges] == ["email.status", "cache.invalidation"]
    assert [(route.queue, route.routing_key) for route in site.bindings] == [("email.status.site", "#")]
    assert topology.declared_by("operator") == topology


def test_each_delay_has_a_queue_that_keeps_a_message_as_long_as_its_name_says():
    topology = catalogue.load().topology
    seconds = {"s": 1, "m": 60, "h": 3600}
    delays = {
        queue.name.removeprefix("email.retry."): queue.arguments["x-message-ttl"]
        for queue in topology.queues
        if queue.name.startswith("email.retry.")
    }

    assert {delay: int(delay[:-1]) * seconds[delay[-1]] * 1000 for delay in delays} == delays
    routed = {
        route.routing_key: route.queue for route in topology.bindings if route.exchange == "email.retry"
    }
    assert routed == {delay: f"email.retry.{delay}" for delay in delays}


def test_targets_of_dead_lettering_are_declared_before_the_queues_that_point_at_them():
    topology = catalogue.load().topology
    bound = {route.exchange: route.queue for route in topology.bindings}
    names = [queue.name for queue in topology.queues]

    for queue in topology.queues:
        target = queue.arguments.get("x-dead-letter-exchange")
        assert target is None or names.index(bound[target]) < names.index(queue.name)


def test_load_reads_once():
    assert catalogue.load() is catalogue.load()


def test_only_the_contract_that_is_asked_for_is_read(copied):
    (copied / "email/2/schema.json").unlink()
    published = catalogue.read(copied)

    assert published.contract("email/1").version == "1.0"
    assert "email/2" in published.names
    with pytest.raises(PublishedFileError, match=r"email/2/schema\.json"):
        published.contract("email/2")


def test_read_gives_the_same_from_any_folder(copied):
    read, installed = catalogue.read(copied), catalogue.load()

    assert (read.contracts, read.topology) == (installed.contracts, installed.topology)


def test_unknown_contract_is_named_with_those_that_there_are():
    with pytest.raises(UnknownContractError, match=r"'fax/1'.*email/1"):
        catalogue.load().contract("fax/1")


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("index.json", None, "cannot be read"),
        ("index.json", b"[]", "not of the published form"),
        ("index.json", b'{"contracts": 5}', "not of the published form"),
        ("index.json", b'{"contracts": [{"name": "email", "major": 1}]}', "version"),
        ("topology.json", b'{"exchanges": [{}], "queues": [], "bindings": []}', "not of the published form"),
        ("email/1/schema.json", b"{", "not JSON at line 1"),
        ("email/1/schema.json", b"[]", "a schema is an object"),
        ("email/1/binding.json", b'{"exchange": "email"}', "writers"),
        ("email/1/writer.schema.json", b"[" * 10_000, "nested deeper"),
        ("email/1/writer.schema.json", b" " * 10_000_000, "10000000 bytes"),
    ],
    ids=lambda value: None if isinstance(value, str) or value is None else f"{len(value)} bytes",
)
def test_damaged_file_is_named_with_its_fault(copied, file, content, fault):
    if content is None:
        (copied / file).unlink()
    else:
        (copied / file).write_bytes(content)

    with pytest.raises(PublishedFileError, match=fault) as caught:
        _ = catalogue.read(copied).contracts
    assert caught.value.path == copied / file
