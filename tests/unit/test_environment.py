import os
import signal
from pathlib import Path

import pytest

from mailpact.settings import SettingsError
from mailpact.telemetry import Point
from mailpact_cli.environment import misspelt_variable, new_journey, read_url_files, set_variables


@pytest.mark.parametrize("fault_point", ["", *Point])
def test_a_process_is_killed_at_its_fault_point(fault_point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPACT_FAULT_POINT", fault_point)
    killed = []
    journey = new_journey()
    for point in Point:
        monkeypatch.setattr(
            os, "kill", lambda process, signal, at=point: killed.append((at, process, signal))
        )
        journey.reach(point, "a")

    assert killed == ([(fault_point, os.getpid(), signal.SIGKILL)] if fault_point else [])


def test_an_unknown_fault_point_is_refused_and_the_known_ones_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAILPACT_FAULT_POINT", "lunch")

    with pytest.raises(SettingsError, match=r"MAILPACT_FAULT_POINT='lunch' .* committed, claimed, confirmed"):
        new_journey()


@pytest.mark.parametrize("text", ["amqp://u:secret@h/", "amqp://u:secret@h/\n"])
def test_a_url_may_be_given_as_a_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(text)
    monkeypatch.setenv("MAILPACT_AMQP_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("MAILPACT_AMQP_URL", "")

    read_url_files({"MAILPACT_AMQP_URL", "MAILPACT_LISTEN"})

    assert os.environ["MAILPACT_AMQP_URL"] == "amqp://u:secret@h/"
    assert "MAILPACT_AMQP_URL_FILE" not in set_variables()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret\nsecret", b"secret\r\n", b"secret\xff", b"secret" * 1000]
)
def test_a_file_without_a_url_is_named_and_not_quoted(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_bytes(content)
    monkeypatch.setenv("MAILPACT_AMQP_URL_FILE", str(tmp_path / "url"))

    with pytest.raises(SettingsError, match=r"MAILPACT_AMQP_URL_FILE names .*/url.* not one line") as caught:
        read_url_files({"MAILPACT_AMQP_URL"})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "absent", "."])
def test_a_url_file_that_is_none_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILPACT_AMQP_URL_FILE", name and str(tmp_path / name))

    with pytest.raises(SettingsError, match=r"MAILPACT_AMQP_URL_FILE names .*, which is no file"):
        read_url_files({"MAILPACT_AMQP_URL"})


def test_of_a_url_and_its_file_only_one_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPACT_AMQP_URL", "amqp://u:secret@h/")
    monkeypatch.setenv("MAILPACT_AMQP_URL_FILE", "/dev/null")

    with pytest.raises(SettingsError, match="MAILPACT_AMQP_URL and MAILPACT_AMQP_URL_FILE are both set"):
        read_url_files({"MAILPACT_AMQP_URL"})


def test_only_a_url_may_be_given_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPACT_LISTEN_FILE", "/dev/null")
    read_url_files({"MAILPACT_LISTEN"})

    assert "MAILPACT_LISTEN" not in set_variables()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAILPACT_AMQP_ULR", "MAILPACT_AMQP_URL"),
        ("MAILPACT_AMQPURL", "MAILPACT_AMQP_URL"),
        ("MAILPACT_AMQP_URLS", "MAILPACT_AMQP_URL"),
        ("MAILPACT_AMPQ_URL", "MAILPACT_AMQP_URL"),
        ("MAILPACT_AMQP_URL_FLIE", "MAILPACT_AMQP_URL_FILE"),
        ("MAILPACT_LISTEM", "MAILPACT_LISTEN"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_name_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is unknown; {meant} is close to that name"):
        misspelt_variable(name, {"MAILPACT_AMQP_URL", "MAILPACT_LISTEN"})


@pytest.mark.parametrize(
    "name",
    [
        "MAILPACT_SERVICE_HOST",
        "MAILPACT_SERVICE_PORT",
        "MAILPACT_SERVICE_PORT_HTTP",
        "MAILPACT_PORT",
        "MAILPACT_PORT_80_TCP_PROTO",
        "MAILPACT_POST_PORT",
        "MAILPACT_ENTIRELY_DIFFERENT",
    ],
)
def test_a_variable_of_others_is_not_taken_for_a_misspelt_one(name: str) -> None:
    misspelt_variable(name, {"MAILPACT_AMQP_URL", "MAILPACT_POST", "MAILPACT_SMTP_PORTS"})


@pytest.mark.parametrize("name", ["MAILPACT_TEST_X", "MAILPACT_FAULT_POINT", "MAIL", "mailpact_x"])
def test_variables_of_tests_and_of_others_are_not_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MAILPACT_LISTEN", "x")

    assert set_variables() == {"MAILPACT_LISTEN"}
