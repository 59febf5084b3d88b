"""The kit's exit codes; after a run no process and no file is left."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KIT = [sys.executable, "-m", "mailpact_kit.command"]
MUTANTS = Path(__file__).parents[3] / "contract_tests" / "mutants"
SAMPLE = Path(__file__).parents[3] / "contract_tests" / "samples" / "python"
CONSUMER = [sys.executable, str(SAMPLE / "consumer.py")]
PATIENCE_SECONDS = 40
POST_THE_FORM = """
import re, sys, urllib.parse, urllib.request
url, email, message = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
token = re.search('value="([^"]+)"', opener.open(url).read().decode())[1]
fields = {"token": token, "email": email, "message": message}
opener.open(url + "send", urllib.parse.urlencode(fields).encode())
"""


@pytest.mark.parametrize(
    ("words", "exit_code", "line"),
    [
        (["consumer", "--", "true", "{AMQP}"], 2, r"{AMQP} is not a name that the kit replaces"),
        (["consumer", "--broker", "http://x", "--", "true"], 2, "--broker"),
        (["consumer", "--broker", "amqps://x", "--", "true"], 2, "TLS"),
        (["consumer", "--run", "P-*", "--", "true"], 2, "no case for a consumer"),
        (["consumer", "--known-failing", "/no/such", "--", "true"], 2, "--known-failing"),
        (["producer", "--trigger-form", "http://x", "--", "true"], 2, "together with --trigger-field"),
        (["producer", "--trigger-cmd", "'", "--", "true"], 2, "--trigger-cmd"),
        (["producer", "--trigger-cmd", "tell {who}", "--", "true"], 2, "{who}"),
        (["consumer", "--broker", "amqp://127.0.0.1:1/", "--", "true"], 3, "cannot be used"),
        (["consumer", "--", "/no/such/program"], 4, "cannot be started"),
        (
            ["consumer", "--", sys.executable, "-c", "print('my last words'); raise SystemExit(7)"],
            4,
            "last words",
        ),
    ],
)
def test_what_keeps_the_kit_from_a_verdict_has_an_exit_code_and_a_line(
    verify: Callable[..., Any], words: list[str], exit_code: int, line: str
) -> None:
    done = verify(*words)

    assert (done.exit_code, done.text) == (exit_code, "")
    assert done.errors.startswith("contract-tests: ")
    assert line in done.errors


def test_producer_without_a_trigger_is_not_green(verify: Callable[..., Any]) -> None:
    done = verify("producer", "--", "true")

    assert (done.exit_code, set(done.verdicts().values())) == (6, {"SKIP"})
    assert "--trigger-form" in done.text


def test_program_that_goes_away_while_the_cases_run_is_told_from_a_wrong_one(
    verify: Callable[..., Any],
) -> None:
    script = (
        "import os, pika; c = pika.BlockingConnection(pika.URLParameters(os.environ['AMQP_URL'])); h = c.channel();"
        "h.basic_consume(os.environ['AMQP_QUEUE'], lambda *_: os._exit(9)); h.start_consuming()"
    )

    done = verify("consumer", "--run", "C-[MD]*", "--", sys.executable, "-c", script)

    assert done.exit_code == 4
    assert "the program ended with exit code 9 while the cases ran" in done.text
    assert set(done.verdicts().values()) == {"SKIP"}


@pytest.fixture
def ascii_only(tmp_path: Path) -> list[str]:
    """Return a consumer that replaces each non-ASCII character by a question mark."""
    for path in SAMPLE.glob("*.py"):
        text = path.read_text().replace(
            "MIMEText(mail.text,", "MIMEText(mail.text.encode('ascii', 'replace').decode(),"
        )
        (tmp_path / path.name).write_text(text)
    return [sys.executable, str(tmp_path / "consumer.py")]


def test_known_failure_is_excused_until_it_passes(
    verify: Callable[..., Any], tmp_path: Path, ascii_only: list[str]
) -> None:
    known = tmp_path / "known-failing.txt"
    known.write_text("# why: see the ticket\nC-MSG-04  # the mailer is ASCII only\n")
    words = ("consumer", "--timeout", "5", "--run", "C-MSG-0[34]", "--known-failing", str(known), "--")

    excused, stale = verify(*words, *ascii_only), verify(*words, *CONSUMER)

    assert (excused.exit_code, excused.verdicts()) == (0, {"C-MSG-03": "PASS", "C-MSG-04": "KNOWN-FAIL"})
    assert (stale.exit_code, "remove it from the list" in stale.text) == (5, True)


def test_a_failure_says_everything_that_helps(
    verify: Callable[..., Any], tmp_path: Path, ascii_only: list[str]
) -> None:
    junit = tmp_path / "junit.xml"

    done = verify("consumer", "--run", "C-MSG-04", "--junit", str(junit), "--", *ascii_only)

    for part in (
        "must      The text of the mail is the message",
        "seen      the mail's text is '?????",
        'sent      \'{"email": "c-msg-04.',
        "S: 250 2.0.0 kept",
        "basic.deliver",
        "basic.ack delivery_tag=1",
        "again     contract-tests verify consumer",
        "--run C-MSG-04 --",
    ):
        assert part in done.text
    assert 'failures="1"' in junit.read_text()


def test_a_command_can_be_the_trigger(verify: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "trigger.py"
    script.write_text(POST_THE_FORM)
    program = shlex.join([sys.executable, str(script)])
    trigger = f"{program} http://127.0.0.1:{{HTTP_PORT}}/ {{email}} {{message}}"
    form = [sys.executable, str(MUTANTS / "producer.py")]

    done = verify("producer", "--run", "P-*-01", "--trigger-cmd", trigger, "--", *form)

    assert done.failed() == {"P-TX-01"}, done.text  # --trigger-duplicate was not given


SEND_ONE = """
import json, os, sys, time, uuid, pika
about = pika.BasicProperties(type="email.v1", content_type="application/json", message_id=str(uuid.uuid4()),
    delivery_mode=2, timestamp=int(time.time()), app_id="one")
with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    body = json.dumps({"email": sys.argv[1], "message": sys.argv[2]}).encode()
    channel.basic_publish("email", "", body, about, mandatory=True)
"""


def test_a_command_that_sends_one_message_is_a_whole_producer(
    verify: Callable[..., Any], tmp_path: Path
) -> None:
    script = tmp_path / "send.py"
    script.write_text(SEND_ONE)

    done = verify("producer", "--strict", "--trigger-cmd", f"{sys.executable} {script} {{email}} {{message}}")

    assert (done.exit_code, done.failed()) == (0, {"P-OPS-01", "P-TX-01", "P-TX-02"}), done.text + done.errors


def test_trigger_that_fails_is_the_cases_problem(verify: Callable[..., Any]) -> None:
    program = [sys.executable, str(MUTANTS / "producer.py")]

    trigger = ("--trigger-cmd", "sh -c 'echo no luck; exit 3'")
    done = verify("producer", "--run", "P-MSG-0[12]", *trigger, "--", *program)

    assert done.exit_code == 1
    assert "ended with exit code 3: no luck" in done.text


def test_a_slow_program_that_goes_on_is_waited_for(verify: Callable[..., Any], tmp_path: Path) -> None:
    for path in SAMPLE.glob("*.py"):
        text = path.read_text().replace("def send(mail):", "def send(mail):\n    time.sleep(0.7)")
        (tmp_path / path.name).write_text(text.replace("PREFETCH = 10", "PREFETCH = 1"))

    done = verify(
        "consumer",
        "--timeout",
        "5",
        "--run",
        "C-[EMH][RSD]*",
        "--",
        sys.executable,
        str(tmp_path / "consumer.py"),
    )

    assert (done.exit_code, done.failed()) == (0, set()), done.text


def test_a_program_that_polls_is_ready(verify: Callable[..., Any], tmp_path: Path) -> None:
    for path in SAMPLE.glob("*.py"):
        text = path.read_text()
        text = text.replace('self.channel.basic_consume(SETTINGS["AMQP_QUEUE"], self.handle)', "pass")
        text = text.replace("consumer.channel.start_consuming()", "poll(consumer)")
        text = text.replace("def main():", POLL + "def main():")
        text = text.replace("is_stopping = True", "raise SystemExit")
        (tmp_path / path.name).write_text(text)

    done = verify("consumer", "--run", "C-MSG-*", "--", sys.executable, str(tmp_path / "consumer.py"))

    assert (done.exit_code, done.failed()) == (0, set()), done.text + done.errors


POLL = """def poll(consumer):
    while True:
        method, properties, body = consumer.channel.basic_get(SETTINGS["AMQP_QUEUE"])
        if method is None:
            consumer.connection.sleep(0.05)
        else:
            consumer.handle(None, method, properties, body)


"""
HOSTILE = {
    "exits at once": ("exit 0", 4),
    "hangs": ("exec sleep 600", 4),
    "writes 100 MB": ("head -c 100000000 /dev/zero; exec {consumer}", 0),
    "writes no UTF-8": (r"printf '\\377\\376\\n'; exec {consumer}", 0),
    "has a detached child": ("setsid sleep 98761 & exec {consumer}", 0),
    "does not pass SIGTERM on": ("trap '' TERM; {consumer} & wait; wait", 1),
}
SLOW = {
    "hangs",
    "does not pass SIGTERM on",
}  # the kit waits 20 s for the end of a program, and 30 s until a program is ready


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and adopted orphans are Linux's")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in HOSTILE]
)
def test_a_hostile_program_ends_with_its_exit_code_and_leaves_no_process(
    verify: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    script, code = HOSTILE[name]
    monkeypatch.setenv("KIT_TEST_MARK", str(tmp_path))

    done = verify(
        *("consumer", "--run", "C-[MO][SP]*-01", "--", "bash", "-c"),
        script.replace("{consumer}", shlex.join(CONSUMER)),
        patience=90,
    )

    assert done.exit_code == code, done.text + done.errors
    assert marked(f"KIT_TEST_MARK={tmp_path}") == []
    if name == "does not pass SIGTERM on":
        assert done.failed() == {"C-OPS-01"}
        assert "is a wrapper that does not pass it on" in done.text


def marked(mark: str) -> list[int]:
    """Return the processes that were started with this value in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # the process has ended, or is another user's
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and the death signal are Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    mark = f"KIT_TEST_MARK={tmp_path}"
    name, _, value = mark.partition("=")
    waits = [sys.executable, "-c", f"open({str(ready)!r}, 'w'); import time; time.sleep(600)"]
    kit = subprocess.Popen(
        [*KIT, "verify", "consumer", "--", *waits],
        env=os.environ | {name: value, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    kit.send_signal(number)
    code = kit.wait(timeout=PATIENCE_SECONDS)

    while marked(mark):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if number is not signal.SIGKILL:
        assert code == 130
        assert list(tmp_path.iterdir()) == [ready]
