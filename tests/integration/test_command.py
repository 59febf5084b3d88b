"""The command as used by a new user, by a script and by a process supervisor."""

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import typer

from mailpact_cli.commands import COMMANDS, commands, root
from tests import command
from tests.command import MAILPACT, environment
from tests.timing import at_most

PATIENCE_SECONDS = 30
run = partial(command.run, seconds=PATIENCE_SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty working folder on a path with a space and a percent sign."""
    path = tmp_path / "a place 100% mine"
    path.mkdir()
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port on which another socket listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_demo_prints_one_json_object_and_leaves_nothing_behind(folder: Path) -> None:
    done = run("up", "--demo", "--once", "--json", cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    mail = shown["mail"]
    assert set(shown) == {
        *("amqp", "database", "contract", "message_id", "registered_ms", "captured_ms", "mail", "links")
    }
    assert (shown["amqp"], shown["database"], shown["contract"]) == ("devbroker", "sqlite", "email/2")
    assert re.fullmatch(r"reader-[0-9a-f]{6}@example\.org", mail["to"])
    assert mail["subject"] == "Confirm your address for Our CMS"
    assert re.search(r"^http://127\.0\.0\.1:\d+/confirm\?token=[\w-]{43}\r?$", mail["text"], re.MULTILINE)
    assert len(mail["raw_sha256"]) == 64
    assert 0 < shown["registered_ms"] < shown["captured_ms"] + 1000
    assert list(folder.iterdir()) == []


def test_demo_runs_on_rabbitmq_when_its_url_is_given(folder: Path, rabbitmq_url: str) -> None:
    done = run("up", "--demo", "--once", "--json", cwd=folder, MAILPACT_AMQP_URL=rabbitmq_url)

    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["amqp"] == "rabbitmq"
    assert shown["mail"]["subject"] == "Confirm your address for Our CMS"


def test_demo_without_a_terminal_prints_the_journey_and_ends(folder: Path) -> None:
    done = run("up", "--demo", cwd=folder)

    assert done.returncode == 0
    for stage in (
        "registered",
        "committed",
        "confirmed by the broker",
        "validated",
        "handed to SMTP",
        "captured",
    ):
        assert re.search(rf"^{stage} +\d+\.\d ", done.stdout, re.MULTILINE), stage
    assert "\x1b" not in done.stdout
    assert list(folder.iterdir()) == []


class Up:
    """A running `mailpact up`, with its output in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / "up.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*MAILPACT, "up", *arguments],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Ctrl-C" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        """Return what the command wrote so far."""
        return self._log.read_text()

    def url(self, name: str) -> str:
        """Return the address that the command prints for one of its parts."""
        found = re.search(rf"^{name} +(\S+)$", self.log(), re.MULTILINE)
        assert found, self.log()
        return found[1]


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    """Run everything in one process, on free ports."""
    started = Up(
        folder,
        "--cms-listen",
        "127.0.0.1:0",
        "--viewer-listen",
        "127.0.0.1:0",
        "--smtp-listen",
        "127.0.0.1:0",
    )
    yield started
    started.process.kill()
    started.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_within_two_seconds_when_idle(up: Up, number: signal.Signals) -> None:
    began = time.monotonic()

    up.process.send_signal(number)

    assert up.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < at_most(2)
    with pytest.raises(ProcessLookupError):
        os.killpg(up.process.pid, 0)


def test_data_is_kept_from_run_to_run(folder: Path) -> None:
    first = Up(folder)
    with socket.create_connection(("127.0.0.1", int(first.url("mail").rpartition(":")[2]))) as smtp:
        for line in (
            "",
            "HELO me",
            "MAIL FROM:<a@x.org>",
            "RCPT TO:<b@x.org>",
            "DATA",
            "Subject: kept\r\n\r\n.",
            "QUIT",
        ):
            if line:
                smtp.sendall(f"{line}\r\n".encode())
            assert smtp.recv(1024)[:1] in (b"2", b"3")
    first.process.terminate()
    assert first.process.wait(timeout=PATIENCE_SECONDS) == 0

    second = Up(folder)

    try:
        with urllib.request.urlopen(f"{second.url('viewer')}api/v1/messages", timeout=10) as answer:
            assert [mail["Subject"] for mail in json.load(answer)["messages"]] == ["kept"]
    finally:
        second.process.kill()
        second.process.wait()
    assert (folder / ".mailpact").stat().st_mode & 0o077 == 0


def test_example_in_the_readme_is_served_as_it_stands(up: Up, folder: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    broker = re.search(r"^broker +(amqp:\S+)$", up.log(), re.MULTILINE)
    assert broker
    assert len(example.splitlines()) <= 10

    subprocess.run(
        [sys.executable, "-c", example.replace("amqp://guest:guest@127.0.0.1:5672", broker[1])],
        check=True,
        cwd=folder,
        timeout=PATIENCE_SECONDS,
    )

    deadline = time.monotonic() + PATIENCE_SECONDS
    subjects: list[str] = []
    while not subjects and time.monotonic() < deadline:
        with urllib.request.urlopen(f"{up.url('viewer')}api/v1/search?query=to:ada", timeout=10) as answer:
            subjects = [mail["Subject"] for mail in json.load(answer)["messages"]]
        time.sleep(0.05)
    assert subjects == ["Hello"]


def test_raw_hash_is_of_the_bytes_that_the_viewer_gives(up: Up, folder: Path) -> None:
    del folder
    with socket.create_connection(("127.0.0.1", int(up.url("mail").rpartition(":")[2]))) as smtp:
        for line in (
            "",
            "HELO me",
            "MAIL FROM:<a@x.org>",
            "RCPT TO:<b@x.org>",
            "DATA",
            "Subject: x\r\n\r\nhi\r\n.",
            "QUIT",
        ):
            if line:
                smtp.sendall(f"{line}\r\n".encode())
            assert smtp.recv(1024)[:1] in (b"2", b"3")

    with urllib.request.urlopen(f"{up.url('viewer')}api/v1/message/latest/raw", timeout=10) as answer:
        raw = answer.read()

    assert hashlib.sha256(raw).digest() == hashlib.sha256(b"Subject: x\r\n\r\nhi\r\n").digest()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bogus"], r"No such command 'bogus'"),
        (["up", "--bogus"], r"No such option.*--bogus"),
        (["up", "--cms-listen", "here"], r"--cms-listen.*'here' is not HOST:PORT"),
        (["up", "--amqp-url", "http://x"], r"--amqp-url.*amqp://"),
        (
            ["consumer", "--smtp-url", "smtp://u:secret/x@h"],
            r"--smtp-url.*smtp\[s\]://USER:PASSWORD@HOST:PORT",
        ),
        (
            ["consumer", "--smtp-url", "smtp://u:secret@h", "--smtp-tls", "off"],
            r"--smtp-tls off.*a password in --smtp-url",
        ),
        (["consumer", "--smtp-url", "smtps://h", "--smtp-tls", "off"], r"--smtp-tls off.*smtps://"),
        (["consumer", "--smtp-tls", "maybe"], r"--smtp-tls.*maybe"),
        (["consumer", "--smtp-ca-file", "/nowhere.pem"], r"--smtp-ca-file.*PEM form: No such file"),
        (["consumer", "--smtp-ca-file", __file__], r"--smtp-ca-file.*is not a file with certificates"),
        (["consumer", "--mail-from", "Shop <Me>"], r"--mail-from.*'Me' is not a plain ASCII address"),
        (["consumer", "--mail-from", "Sh\nop <a@b.example>"], r"--mail-from.*control character"),
        (
            ["consumer", "--envelope-from", "Shop <a@b.example>"],
            r"--envelope-from.*not a plain ASCII address",
        ),
        (["consumer", "--smtp-rate", "1_0"], r"--smtp-rate.*'1_0' is not a whole number from 1 to 10000"),
        (["consumer", "--mail-from", "Me"], r"--mail-from.*'Me' is not a plain ASCII address"),
        (["consumer", "--inbox-url", "mysql://x/y"], r"--inbox-url.*sqlite:///"),
        (["consumer", "--prefetch", "0"], r"--prefetch.*'0' is not a whole number from 1 to 1000"),
        (["send", "--wait", "nan"], r"--wait.*'nan' is not a number of seconds from 0 to 86400"),
        (["devbroker", "--listen", "0.0.0.0:5672"], r"--unsafe-listen"),
        (["devbroker", "--status", "0.0.0.0:15672"], r"--status 0\.0\.0\.0:15672 can be reached"),
        (["up", "--json"], r"--json needs --demo"),
        (["up", "--once"], r"--once needs --demo"),
        (["devbroker", "--listen", "127.0.0.1:0", "--journal", "file"], r"journal file cannot be read"),
        (
            ["capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--store", "file"],
            r"file is not a mail store",
        ),
        (["up", "--data", "file/below"], r"the folder file/below cannot be created"),
        (["capture", "--store", "file/below/mail.db"], r"the folder .*file/below cannot be created"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(folder: Path, arguments: list[str], line: str) -> None:
    (folder / "file").write_text("not a folder")

    done = run(*arguments, cwd=folder)

    assert done.returncode == 2
    assert re.fullmatch(rf"mailpact: .*{line}.*\n", done.stderr), done.stderr
    assert (done.stdout, "secret" in done.stderr) == ("", False)


def test_command_alone_says_what_it_can_do(folder: Path) -> None:
    done = run(cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    for name in ("up", "devbroker", "capture", "producer", "consumer"):
        assert name in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["consumer", "--inbox-url", "sqlite:///file"],
        ["producer", "--listen", "127.0.0.1:0", "--database-url", "sqlite:///file"],
    ],
)
def test_database_that_cannot_be_used_exits_3(folder: Path, command: list[str]) -> None:
    (folder / "file").write_text("not a database, and long enough to be looked at as one" * 20)

    done = run(*command, cwd=folder)

    assert done.returncode == 3
    assert re.fullmatch(r"mailpact: the database sqlite:///file cannot be used: .*\n", done.stderr), (
        done.stderr
    )


def test_unknown_variable_stops_every_command_and_is_named(folder: Path) -> None:
    done = run("up", "--demo", "--once", cwd=folder, MAILPACT_AMQP_ULR="amqp://x")

    assert done.returncode == 2
    assert done.stderr == (
        "mailpact: the environment variable MAILPACT_AMQP_ULR is unknown; MAILPACT_AMQP_URL is close to that name\n"
    )


def test_variables_of_others_are_one_warning(folder: Path) -> None:
    kubernetes = {
        "MAILPACT_SERVICE_HOST": "10.0.0.1",
        "MAILPACT_SERVICE_PORT": "80",
        "MAILPACT_SERVICE_PORT_HTTP": "80",
        "MAILPACT_PORT": "tcp://10.0.0.1:80",
        "MAILPACT_PORT_80_TCP_ADDR": "10.0.0.1",
        "MAILPACT_AMQP_PORT": "tcp://10.0.0.1:80",
    }
    done = run("contracts", "list", cwd=folder, MAILPACT_SOMETHING_ELSE="x", **kubernetes)

    (line,) = done.stderr.splitlines()
    said = json.loads(line)
    assert (done.returncode, said["level"]) == (0, "warning")
    assert said["names"] == sorted([*kubernetes, "MAILPACT_SOMETHING_ELSE"])
    assert "email/1" in done.stdout


@pytest.mark.parametrize(
    "words", [["--version"], ["-h"], ["--help"], ["up", "-h"], ["contracts", "list", "-h"]]
)
def test_version_and_help_are_results(folder: Path, words: list[str]) -> None:
    done = run(*words, cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mailpact " if words == ["--version"] else "Usage: mailpact")


@pytest.mark.parametrize("words", commands(root()))
def test_help_cuts_nothing_off_at_80_columns_and_shows_flags_without_a_value(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(typer.Exit), root().make_context("mailpact", [*words.split(), "--help"]) as context:
        root().invoke(context)

    shown = capsys.readouterr().out
    parameters = commands(root())[words].params
    assert {str(each.envvar) for each in parameters if each.envvar} <= set(
        re.findall(r"MAILPACT_[A-Z_]+", shown)
    )
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert "bool" not in shown.lower()


def test_help_lists_commands_as_their_own_help_describes_them() -> None:
    for name, (_, line) in COMMANDS.items():
        assert root().commands[name].help.startswith(line), name


@pytest.mark.parametrize("words", [["--help"], ["contracts", "show", "email/1"], ["topology", "export"]])
@pytest.mark.parametrize("where", ["full", "closed", "gone"])
def test_output_that_cannot_be_written_is_one_line_and_exit_1(
    folder: Path, words: list[str], where: str
) -> None:
    target = {"full": "> /dev/full", "closed": ">&-", "gone": "| true"}[where]
    line = shlex.join([*MAILPACT, *words])
    script = (
        f"{{ sleep 1; {line}; echo $? >&2; }} | true" if where == "gone" else f"{line} {target}; echo $? >&2"
    )
    done = subprocess.run(
        ["sh", "-c", script],
        check=False,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    message, code = done.stderr.splitlines()
    assert message.startswith("mailpact: cannot write to standard output: "), done.stderr
    assert code == "1"


@pytest.mark.parametrize("module", ["typer", "mailpact.settings", "mailpact_contract_tool.lint.folder"])
def test_ctrl_c_at_any_moment_is_one_line_and_130(folder: Path, module: str) -> None:
    words = [MAILPACT[0], "-X", "importtime", *MAILPACT[1:], "contracts", "lint"]
    # A shell starts background programs with SIGINT ignored, and this run may be such a program.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(
            words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, inherited)
    with started as process:
        assert process.stderr is not None
        assert any(line.split("|")[-1].strip() == module for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)

    lines = [line for line in said.splitlines() if not line.startswith("import time:")]
    # If the interrupt comes while `exec` runs a text, as it does for each dataclass, CPython ends itself by SIGINT.
    # A shell reports 130 in both cases.
    assert process.returncode in (130, -signal.SIGINT)
    assert lines == ["mailpact: interrupted"]


def test_options_are_variables_too(folder: Path) -> None:
    done = run("up", cwd=folder, MAILPACT_CMS_LISTEN="nowhere")

    assert done.returncode == 2
    assert "'nowhere' is not HOST:PORT" in done.stderr


def test_a_url_with_a_password_may_come_from_a_file(folder: Path) -> None:
    (folder / "url").write_text("mysql+pymysql://u:secret@127.0.0.1:1/mail\n")

    done = run("up", "--demo", "--once", cwd=folder, MAILPACT_DATABASE_URL_FILE=str(folder / "url"))

    assert done.returncode == 3
    assert re.fullmatch(r"mailpact: the database .*u:\*\*\*@127\.0\.0\.1:1/mail cannot be.*\n", done.stderr)


def test_port_that_was_asked_for_and_is_taken_exits_3(folder: Path, taken_port: int) -> None:
    done = run("up", "--demo", "--once", "--viewer-listen", f"127.0.0.1:{taken_port}", cwd=folder)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"mailpact: 127.0.0.1:{taken_port} is in use; choose another port, or stop the program that listens there\n"
    )


def test_broker_that_a_one_shot_command_cannot_reach_exits_3_within_10_seconds(folder: Path) -> None:
    began = time.monotonic()

    done = run("up", "--demo", "--once", "--amqp-url", "amqp://user:secret@127.0.0.1:1/", cwd=folder)

    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"mailpact: cannot connect to the broker: .*\n", done.stderr), done.stderr
    assert "secret" not in done.stderr
    assert time.monotonic() - began < at_most(10)
