"""`mailpact contracts list`, `show` and `validate`, as a person or a script calls them."""

import io
import json
import shutil
import sys

import pytest

from mailpact_cli.main import main

MAIL = {"email": "reader@example.org", "message": "Hello"}


@pytest.fixture
def mailpact(capsys, monkeypatch):
    """Run the command; return exit code, standard output and standard error."""

    def run(*words, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["mailpact", "contracts", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def copied(tmp_path, published):
    """Return a writable copy of the published files."""
    return shutil.copytree(published, tmp_path / "contracts", ignore=shutil.ignore_patterns("vectors"))


def test_list_says_name_version_status_and_exchange(mailpact):
    code, out, _ = mailpact("list", "--json")

    rows = {row.pop("contract"): row for row in json.loads(out)["contracts"]}
    assert code == 0
    assert rows["email/2"] == {"version": "2.0", "status": "published", "exchange": "email"}
    assert rows["template/welcome/1"]["exchange"] == ""


def test_list_shows_what_is_deprecated(mailpact, copied):
    index = json.loads((copied / "index.json").read_text())
    index["contracts"][0]["status"] = "deprecated"
    (copied / "index.json").write_text(json.dumps(index))

    assert "deprecated" in mailpact("list", "--contracts", copied)[1]


def test_show_tells_people_how_each_contract_travels_and_what_it_holds(mailpact, contract_name, contracts):
    code, out, _ = mailpact("show", contract_name)

    contract = contracts.contract(contract_name)
    assert code == 0
    assert f"{contract_name} {contract.version}, published" in out
    assert ("Travels inside a message of email/2" in out) == (contract.binding is None)
    for member in contract.schema["properties"]:
        assert f"\n  {member[:12]}" in out  # a narrow terminal breaks what is longer


def test_show_gives_scripts_the_same(mailpact):
    _, out, _ = mailpact("show", "email-status/1", "--json")
    shown = json.loads(out)

    assert shown["travels"]["exchange"] == "email.status"
    assert shown["travels"]["routing_key"] == "{/event}"
    assert shown["limits"] == {"max_body_bytes": 65536, "max_depth": 32, "max_headers_bytes": 32768}
    assert [m["name"] for m in shown["members"] if m["required"]][:3] == ["id", "event", "occurred_at"]
    assert shown["example"]["event"] == "sent"


def test_body_that_obeys_is_exit_code_0(mailpact, tmp_path):
    (tmp_path / "mail.json").write_text(json.dumps(MAIL))

    code, out, _ = mailpact("validate", "email/1", tmp_path / "mail.json")
    assert (code, out) == (0, f"{tmp_path}/mail.json obeys email/1\n")


def test_body_that_does_not_is_exit_code_1_with_place_rule_and_advice(mailpact):
    code, out, _ = mailpact("validate", "email/1", "-", stdin=json.dumps(MAIL | {"message": ""}).encode())

    assert code == 1
    assert out.splitlines() == [
        "standard input breaks email/1: schema at /message, minLength: has fewer than 1 characters",
        "Validate with writer.schema.json before you publish.",
    ]


@pytest.mark.parametrize(("side", "obeys"), [((), True), (("--writer",), False)])
def test_writers_are_held_to_the_closed_schema(mailpact, side, obeys):
    body = json.dumps(MAIL | {"colour": "red"}).encode()

    code, out, _ = mailpact("validate", "email/1", "-", "--json", *side, stdin=body)
    assert (code, json.loads(out)["valid"]) == (0 if obeys else 1, obeys)


def test_scripts_get_code_pointer_keyword_and_detail(mailpact):
    _, out, _ = mailpact("validate", "email/2", "-", "--json", stdin=b'{"to": [{"address": "secret"}]}')

    assert json.loads(out) == {
        "contract": "email/2",
        "side": "reader",
        "valid": False,
        "code": "schema",
        "pointer": "/to/0/address",
        "keyword": "pattern",
        "detail": "does not match the pattern",
    }


@pytest.mark.parametrize(
    ("contract", "body", "code"),
    [
        ("email/1", b" " * 10_000_000, "too_large"),
        ("email/1", b"[" * 10_000, "too_deep"),
        ("email/1", b"\xff", "invalid_encoding"),
        ("email/1", b"{", "invalid_json"),
        ("template/welcome/1", b'{"a": 1, "a": 1}', "duplicate_key"),
    ],
)
def test_body_that_is_not_strict_json_earns_its_code(mailpact, contract, body, code):
    exit_code, out, _ = mailpact("validate", contract, "-", "--json", stdin=body)

    assert (exit_code, json.loads(out)["code"]) == (1, code)


def test_what_the_body_holds_is_never_shown(mailpact):
    body = (
        b'{"to": [{"address": "secret@", "name": "secret\\n"}], "metadata": {"secret@example.org": "secret"}}'
    )

    assert "secret" not in "".join(map(str, mailpact("validate", "email/2", "-", stdin=body)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("validate", "fax/1", "-"), "there is no contract 'fax/1'; published are: email/1, email/2"),
        (("validate", "email/1", "/nowhere.json"), "/nowhere.json cannot be read: No such file"),
        (("validate", "email/1"), "Missing argument 'FILE'"),
        (("show", "fax/1"), "there is no contract 'fax/1'"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2_and_one_line(mailpact, words, said):
    code, out, err = mailpact(*words)

    assert (code, out) == (2, "")
    assert err.startswith(f"mailpact: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [("show", "email/1"), ("validate", "email/1", "-")])
@pytest.mark.parametrize("schema", ['{"type": 5}', '{"$ref": "#/nowhere"}', '{"pattern": "("}'])
def test_schema_that_is_none_is_named_with_its_file(mailpact, copied, words, schema):
    (copied / "email/1/schema.json").write_text(schema)

    code, _, err = mailpact(*words, "--contracts", copied, stdin=b"{}")
    assert code == 1
    assert err.startswith(f"mailpact: {copied}/email/1/schema.json: is no JSON Schema: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, "/pattern: the pattern takes exponential time"),
        ({"type": "string", "pattern": "^\\d$"}, "/pattern: the pattern is not portable"),
        ({"allOf": [{"$ref": "#"}], "type": "object"}, "/allOf/0/$ref: "),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            "/$defs/a: refers to itself",
        ),
    ],
)
def test_schema_that_could_take_for_ever_is_not_asked(mailpact, copied, schema, fault):
    (copied / "email/1/schema.json").write_text(json.dumps(schema))

    code, _, err = mailpact(
        "validate", "email/1", "-", "--contracts", copied, stdin=b'"' + b"a" * 60_000 + b'!"'
    )
    assert code == 1
    assert err.startswith(f"mailpact: {copied}/email/1/schema.json: {fault}")
