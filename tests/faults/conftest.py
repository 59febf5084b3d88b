"""Real processes of the command `mailpact`, which the tests kill and start again."""

import contextlib
import http.cookiejar
import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pika
import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import NullPool, create_engine, text

from tests.command import MAILPACT, environment

PATIENCE_SECONDS = 40
UP = re.compile(r'^(?:\{.*"event": ")?(?:development broker|showing|site|consuming) ', re.MULTILINE)
T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run on the real servers only in `make test`; `make test-faults` runs on the embedded broker and SQLite too."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "[embedded" in item.name:
            item.add_marker(pytest.mark.long)


def wait_until(what: str, fact: Callable[[], T]) -> T:
    """Wait until the fact is true; the error after the time limit names the fact."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = fact()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain until {what}")


class Process:
    """One `mailpact` process with its output in a file."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.log_file = folder / f"{name}.log"
        self._arguments = [*MAILPACT, *arguments]
        self._folder = folder

    def start(self, **variables: str) -> None:
        """Start the process with these environment variables; return when its log says that it is ready."""
        self.launch(**variables)
        wait_until(f"{self._arguments[3]} is up", self.is_up)

    def launch(self, **variables: str) -> None:
        """Start the process, and do not wait until it is ready."""
        self._already = len(self.log())
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                self._arguments,
                env=environment(**variables),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        """Return all that the process wrote since its first start."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask the process to stop with SIGTERM; return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def children(self) -> list[int]:
        """Return the ids of the process's children."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def wait_until_dead(self) -> None:
        """Wait until the process has killed itself at its fault point."""
        assert self.process.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL

    def is_up(self) -> bool:
        """Return whether the log says that the process is ready."""
        if self.process.poll() == -signal.SIGKILL:
            return True  # it has reached its fault point already
        if self.process.poll() is not None:
            raise AssertionError(self.log())
        # The last line of each command's start names its address; older releases write that line in plain text.
        return UP.search(self.log()[self._already :]) is not None


class Mailpact:
    """A broker, a capture server, and consumer and site as the test starts them, each a process.

    With `real_servers`, RabbitMQ and MariaDB that run already take the place of the development broker and SQLite.
    """

    def __init__(self, folder: Path, real_servers: Any = None) -> None:
        self.folder = folder
        self._database_url: str | None = real_servers and real_servers.database_url
        self._ports = {name: _free_port() for name in ("broker", "smtp", "viewer", "site", "second site")}
        self.processes: list[Process] = []
        self.amqp_url = (
            real_servers.amqp_url
            if real_servers
            else f"amqp://guest:guest@127.0.0.1:{self._ports['broker']}/"
        )
        self.viewer_url = f"http://127.0.0.1:{self._ports['viewer']}"

    def broker(self) -> Process:
        """Start the development broker with a journal."""
        return self._start("devbroker", "--listen", self._at("broker"), "--journal", "broker.db")

    def capture(self) -> Process:
        """Start the capture server."""
        return self._start(
            "capture", "--smtp", self._at("smtp"), "--http", self._at("viewer"), "--store", "capture.db"
        )

    def consumer(self, **variables: str) -> Process:
        """Start a consumer; unless the consumer is to kill itself, wait until the broker has it as a consumer."""
        consumer = self.start_consumer(**variables)
        if not variables:
            try:
                wait_until("the queue is consumed", self._is_consumed)
            except AssertionError as error:
                raise AssertionError(f"{error}; the consumer's log:\n{consumer.log()}") from error
        return consumer

    def start_consumer(self, **variables: str) -> Process:
        """Start a consumer, whether there is a broker or not."""
        return self._start(*self._words("consumer"), **variables)

    def start_consumer_at(self, smtp_url: str, **variables: str) -> Process:
        """Start a consumer that sends through another mail server."""
        words = self._words("consumer")
        words[words.index("--smtp-url") + 1] = smtp_url
        return self._start(*words, **variables)

    def start_first_release(self, python_path: str) -> Process:
        """Start a consumer of the first release, which has no retry schedule yet."""
        words = self._words("consumer")
        return self._start(*words[: words.index("--retry-schedule")], PYTHONPATH=python_path)

    def producer(self, port: str = "site", *options: str, **variables: str) -> Process:
        """Start the site, with further options."""
        return self._start(*self._words("producer", port), *options, **variables)

    @property
    def smtp_port(self) -> int:
        """Return the host and port of the capture server's SMTP."""
        return self._ports["smtp"]

    def database_url(self, file: str) -> str:
        """Return the URL of a database: the server's, or that of a file."""
        return self._database(file)

    def start_unready(self, command: str) -> Process:
        """Start a consumer or a site that has to wait for something."""
        process = self._process(*self._words(command))
        process.launch()
        return process

    def _words(self, command: str, port: str = "site") -> list[str]:
        if command == "consumer":
            smtp_url, inbox_url = f"smtp://{self._at('smtp')}", self._database("inbox.db")
            urls = ["--amqp-url", self.amqp_url, "--smtp-url", smtp_url, "--inbox-url", inbox_url]
            return [command, *urls, "--retry-schedule", "2s 1m 5m"]
        listen = ["--listen", self._at(port), "--mail-limit-network", "0"]
        return [command, *listen, "--amqp-url", self.amqp_url, "--database-url", self._database("cms.db")]

    def publish(self, body: bytes, *, message_id: str | None = None, content_type: str | None = None) -> None:
        """Publish one message, without code of Mailpact."""
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(
                "email",
                "",
                body,
                pika.BasicProperties(message_id=message_id, content_type=content_type),
                mandatory=True,
            )

    def waiting(self, queue: str) -> int:
        """Return how many messages a queue holds ready."""
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)

    def consumers(self, queue: str) -> int:
        """Return how many consumers a queue has; 0 while there is no such queue."""
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            try:
                return int(connection.channel().queue_declare(queue, passive=True).method.consumer_count)
            except pika.exceptions.ChannelClosedByBroker:
                return 0

    def inbox_row(self) -> tuple[str, int, int]:
        """Return state, attempts and uncertain sends of the inbox's only row."""
        engine = create_engine(self._database("inbox.db"), poolclass=NullPool)
        with engine.connect() as connection:
            (row,) = connection.execute(text("SELECT state, attempts, uncertain FROM inbox")).all()
        return row.state, row.attempts, row.uncertain

    def let_the_killed_count_as_dead(self) -> None:
        """Make the heartbeats of all consumers old; otherwise a killed consumer counts as alive for ten seconds."""
        engine = create_engine(self._database("inbox.db"), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("UPDATE inbox_owners SET renewed_at = renewed_at - 15000000"))

    def _database(self, file: str) -> str:
        return self._database_url or f"sqlite:///{self.folder / file}"

    def _is_consumed(self) -> bool:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            try:
                queue = connection.channel().queue_declare("email.work", passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return False
            return bool(queue.method.consumer_count)

    def letters(self) -> list[tuple[str, bytes]]:
        """Take all dead letters: the error code and the body of each."""
        taken = []
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get("email.dead", auto_ack=True)
                if method is None:
                    return taken
                taken.append((str(properties.headers["x-error-code"]), body))

    def register(self, email: str, port: str = "site") -> int:
        """Register a reader through the web form; return the status of the answer."""
        form_url = f"http://{self._at(port)}/register"
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), _NoRedirect())
        try:
            form = opener.open(form_url, timeout=10).read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        fields |= {"name": "Ada", "email": email, "password": "correct horse battery"}
        try:
            opener.open(form_url, urllib.parse.urlencode(fields).encode(), timeout=10)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code
        raise AssertionError("the form was not answered with a redirect")

    def page_status(self, path: str, port: str = "site") -> int:
        """Return the status with which the site answers a GET."""
        try:
            with urllib.request.urlopen(f"http://{self._at(port)}{path}", timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code

    def mails(self, recipient: str) -> list[bytes]:
        """Return the mails captured for an address, as received."""
        query = urllib.parse.urlencode({"query": f'to:"{recipient}"'})
        found = json.loads(self._get(f"/api/v1/search?{query}"))["messages"]
        return [self._get(f"/api/v1/message/{mail['ID']}/raw") for mail in found]

    def recipients(self) -> list[str]:
        """Return the recipient of every mail that was captured."""
        found = json.loads(self._get("/api/v1/messages?limit=0"))["messages"]
        return [address["Address"] for mail in found for address in mail["To"]]

    def stop_all(self) -> None:
        """Kill all processes that still run."""
        for process in self.processes:
            if hasattr(process, "process"):
                process.kill()

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.viewer_url + path, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def _at(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def _start(self, command: str, *arguments: str, **variables: str) -> Process:
        process = self._process(command, *arguments)
        process.start(**variables)
        return process

    def _process(self, command: str, *arguments: str) -> Process:
        process = Process(self.folder, f"{command}-{len(self.processes)}", command, *arguments)
        self.processes.append(process)
        return process


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """Return a port of the loopback that was free a moment ago."""
    return _free_port()


@pytest.fixture
def second_free_port() -> int:
    """Return a second free port of the loopback."""
    return _free_port()


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[[str, Callable[[], object]], object]:
    """Return the function that waits for a fact and names it in its error."""
    return wait_until


@pytest.fixture
def mailpact(tmp_path: Path) -> Iterator[Mailpact]:
    """Yield a place for processes, with the development broker; all processes are stopped afterwards."""
    started = Mailpact(tmp_path)
    try:
        yield started
    finally:
        started.stop_all()


@pytest.fixture
def on_both(real_servers: Any, tmp_path: Path) -> Iterator[Mailpact]:
    """Yield a place for processes, with broker and capture server running: embedded, then on real servers."""
    started = Mailpact(tmp_path, real_servers)
    try:
        if real_servers is None:
            started.broker()
        started.capture()
        yield started
    finally:
        started.stop_all()


class ScriptedSmtp:
    """A mail server in a thread: it gives the listed replies to RCPT and the final dot, then accepts mail."""

    def __init__(self) -> None:
        self.controller: Any = None
        self.rcpt_replies: list[str] = []
        self.data_replies: list[str] = []
        self.mails: list[bytes] = []

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's names
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Reply to RCPT."""
        reply = self.rcpt_replies.pop(0) if self.rcpt_replies else "250 OK"
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # as above
        """Accept a mail, or give the test's reply to the final dot."""
        if self.data_replies:
            return self.data_replies.pop(0)
        self.mails.append(bytes(envelope.content))
        return "250 OK"

    @property
    def url(self) -> str:
        """Return the host and port that the server listens on."""
        return f"smtp://127.0.0.1:{self.controller.port}"


@pytest.fixture
def scripted_smtp() -> Iterator[ScriptedSmtp]:
    """Yield a mail server whose replies the test sets."""
    server = ScriptedSmtp()
    server.controller = Controller(server, hostname="127.0.0.1", port=_free_port())
    server.controller.start()
    yield server
    server.controller.stop()


@dataclass(frozen=True)
class Real:
    """Real servers."""

    amqp_url: str
    database_url: str | None


@pytest.fixture
def mailpact_at(tmp_path: Path) -> Iterator[Callable[..., Mailpact]]:
    """Yield a function that makes places for processes on RabbitMQ and, if its URL is given, on MariaDB."""
    with contextlib.ExitStack() as stack:

        def place(amqp_url: str, database_url: str | None = None) -> Mailpact:
            started = Mailpact(tmp_path, Real(amqp_url, database_url))
            stack.callback(started.stop_all)
            return started

        yield place
