"""A RabbitMQ node of our own, which tests may stop, kill, freeze and starve.

Operations go through `erl_call`, which evaluates an expression in the node in 3-20 ms; `rabbitmqctl` takes 0.5-2 s. The
release's own start script is used, never Debian's wrapper, which switches to a system user. Of the release only the
plugins that are asked for are shown to the node: that halves its start, to 2.5 s on two cores.
"""

import base64
import json
import re
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.servers.run_folder import PrivateProcess, RunFolder

CALL_SECONDS = 60
REQUEST_SECONDS = 10
USER = "mailpact"
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"
WATERMARK = 0.4


class ErlangError(Exception):
    """The node did not evaluate an expression; the message carries the expression and the node's words."""


def installed_release(root: Path) -> Path | None:
    """Return the folder of the RabbitMQ release below a root folder, `/` for what is installed; None without one."""
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))
    complete = found and (root / "usr/lib/erlang/bin/erl_call").exists()
    return found[-1] if complete else None


class _Epmd(PrivateProcess):
    """Erlang's port mapper on a port of its own.

    Without one, a node that starts leaves an `epmd -daemon` on every address of the machine.
    """

    def __init__(self, run: RunFolder, folder: Path, root: Path) -> None:
        super().__init__(run, folder)
        self.port = run.reserve_port()
        words = [str(root / "usr/lib/erlang/bin/epmd"), "-port", str(self.port), "-address", "127.0.0.1"]
        self.begin(words, {}, "epmd.log")
        self.wait_until("epmd answers", self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Rabbitmq(PrivateProcess):
    """A node, started on construction; its user's name and password are in its URLs.

    A vhost isolates tests; the node itself (stop, kill, alarm) is shared by the tests of one process, which run one
    after the other: whoever harms it may leave it so, `recover` mends it.
    """

    def __init__(
        self, run: RunFolder, root: Path, plugins: Sequence[str] = (), sibling: "Rabbitmq | None" = None
    ) -> None:
        """Start a node. A node with a sibling can be joined to it: both have the same cookie, user and port mapper."""
        release = installed_release(root)
        if release is None:
            raise FileNotFoundError(f"no RabbitMQ release with erl_call below {root}")
        self.version = release.name.removeprefix("rabbitmq_server-")
        self.port, self.management_port, self._distribution_port = (run.reserve_port() for _ in range(3))
        self.name = f"mailpact-{self.port}@localhost"
        self.password: str = sibling.password if sibling else secrets.token_hex(8)
        self._cookie: str = sibling._cookie if sibling else secrets.token_hex(12)
        super().__init__(run, run.folder("rabbitmq"))
        self._root = root
        self._sbin = _slim_release(release, root, self._folder, plugins) / "sbin"
        self._write_settings(plugins)
        self._epmd: _Epmd = sibling._epmd if sibling else _Epmd(run, self._folder, root)
        self._calls = count()
        self._has_alarm = False
        self.start()

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost, with the user who may do everything."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{vhost}"

    def start(self) -> None:
        """Start the node, again if it ran before: same ports, same data. Returns when it is up completely (2.5 s)."""
        words = [str(self._sbin / "rabbitmq-server")]
        self.begin(words, self._environment(), "rabbitmq.log")
        self.wait_until("RabbitMQ answers", self._answers)
        # Not by the line in its log: a node that starts after a kill has been seen to lose lines of its log.
        self.wait_until("RabbitMQ has started", lambda: self.call("rabbit_boot_state:get()") == "ready")

    def kill(self) -> None:
        """Kill the node as a power cut would, after its tables are on disk.

        RabbitMQ writes a new queue's registration late: without the sync, a kill within a second of a queue's
        declaration loses the queue and every confirmed message in it (3.10, 4.0 and 4.3).
        """
        self.sync()
        super().kill()

    def recover(self) -> None:
        """Bring the node back from whatever a test did to it."""
        if not self.is_running:
            self.start()
        self.thaw()
        if not self._answers():
            self.start_application()
        if self._has_alarm:
            self.clear_memory_alarm()

    def call(self, expression: str) -> str:
        """Evaluate an Erlang expression in the node and return its value as text; raise ErlangError."""
        erl_call = str(self._root / "usr/lib/erlang/bin/erl_call")
        words = [
            *(erl_call, "-c", self._cookie, "-timeout", str(CALL_SECONDS)),
            *("-address", f"127.0.0.1:{self._distribution_port}", "-e"),
            # By itself it always takes the same name, and a node that has not yet let go of the last one refuses it.
            *("-h", f"test{next(self._calls)}"),
        ]
        done = subprocess.run(
            words,
            input=expression + ".\n",  # without the newline erl_call waits for more
            capture_output=True,
            text=True,
            env=self._run.environment(self._environment()),
            check=False,  # its exit status is always 0
            timeout=CALL_SECONDS + 5,
        )
        if not done.stdout.startswith("{ok, "):
            raise ErlangError(f"{expression}: {done.stdout}{done.stderr}")
        return done.stdout.removeprefix("{ok, ").removesuffix("}")

    def configure(self, *lines: str) -> None:
        """Add lines to `rabbitmq.conf`, for the next start."""
        file = self._folder / "rabbitmq.conf"
        file.write_text("\n".join((file.read_text(), *lines, "")))

    def control(self, *words: str) -> None:
        """Run `rabbitmqctl`, as an operator would (a second or two); raise CalledProcessError."""
        words = (str(self._sbin / "rabbitmqctl"), "--node", self.name, *words)
        variables = self._run.environment(self._environment())
        subprocess.run(words, env=variables, capture_output=True, check=True, timeout=CALL_SECONDS)

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost (15-40 ms)."""
        everything = ", ".join([_binary(".*")] * 3)
        self.call(
            f"ok = rabbit_vhost:add({_binary(name)}, {_binary('test')}), ok = rabbit_auth_backend_internal:"
            f"set_permissions({_binary(USER)}, {_binary(name)}, {everything}, {_binary('test')})"
        )

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it, if it is there; its connections are closed."""
        vhost = _binary(name)
        self.call(f"rabbit_vhost:exists({vhost}) andalso rabbit_vhost:delete({vhost}, {_binary('test')})")

    def sync(self) -> None:
        """Write the node's tables to disk."""
        self.call("[dets:sync(Table) || Table <- dets:all()]")

    def set_policy(self, vhost: str, *, name: str, queues: str, definition: str) -> None:
        """Set a policy for the queues whose name matches; the definition is Erlang: `{<<"max-length">>, 1}, …`."""
        self.call(
            f"ok = rabbit_policy:set({_binary(vhost)}, {_binary(name)}, {_binary(queues)}, [{definition}], "
            f'0, <<"queues">>, {_binary("test")})'
        )

    def delete_policy(self, vhost: str, *, name: str) -> None:
        """Delete a policy."""
        self.call(f"ok = rabbit_policy:delete({_binary(vhost)}, {_binary(name)}, {_binary('test')})")

    def raise_memory_alarm(self) -> None:
        """Let the node believe that its memory is full: it blocks every connection that publishes."""
        self._has_alarm = True
        self.call("vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1})")
        self.wait_until("memory is short", lambda: "memory" in self.call("rabbit_alarm:get_alarms()"))

    def clear_memory_alarm(self) -> None:
        """Let the node believe that its memory is enough again."""
        self.call(f"vm_memory_monitor:set_vm_memory_high_watermark({WATERMARK})")
        self._has_alarm = False

    def add_user(self, name: str, password: str, vhost: str) -> None:
        """Add a user who may do everything in a vhost."""
        words = ", ".join(map(_binary, (name, password, "test")))
        self.call(f"ok = rabbit_auth_backend_internal:add_user({words})")
        self.give_rights(name, vhost)

    def give_rights(self, user: str, vhost: str) -> None:
        """Let a user do everything in a vhost."""
        words = ", ".join(map(_binary, (user, vhost, ".*", ".*", ".*", "test")))
        self.call(f"ok = rabbit_auth_backend_internal:set_permissions({words})")

    def take_rights(self, user: str, vhost: str) -> None:
        """Let a user log in to a vhost and do nothing there; open connections keep what they have."""
        words = ", ".join(map(_binary, (user, vhost, "", "", "", "test")))
        self.call(f"ok = rabbit_auth_backend_internal:set_permissions({words})")

    def delete_user(self, name: str) -> None:
        """Delete a user."""
        self.call(f"ok = rabbit_auth_backend_internal:delete_user({_binary(name)}, {_binary('test')})")

    def close_connections(self, vhost: str) -> int:
        """Close every connection to a vhost as an operator would (320 CONNECTION_FORCED); return their number."""
        closed = self.call(
            '[rabbit_networking:close_connection(proplists:get_value(pid, I), "closed by a test")'
            " || I <- rabbit_networking:connection_info_all([pid, vhost]),"
            f" proplists:get_value(vhost, I) == {_binary(vhost)}]"
        )
        return closed.count("ok")

    def stop_application(self) -> None:
        """Stop the broker inside the node: ports closed, node alive (50 ms)."""
        self.call("rabbit:stop()")

    def start_application(self) -> None:
        """Start the broker inside the node again (0.5 s); returns when it answers."""
        self.call("rabbit:start()")
        self.wait_until("RabbitMQ answers", self._answers)

    def has_quorum_leaders(self) -> bool:
        """Return whether every quorum queue has elected its leader, which takes some 0.3 s after a start."""
        leading = self.call(
            "lists:all(fun(Q) -> {Id, _} = amqqueue:get_pid(Q),"
            " [Row | _] = ets:lookup(ra_state, Id) ++ [{Id, none}], element(2, Row) == leader end,"  # 4.x: wider
            " [Q || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) == rabbit_quorum_queue])"
        )
        return leading == "true"

    def _answers(self) -> bool:
        """Send what is no protocol header: AMQP's answer to that is the right header."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\0\0\0\0")
                return connection.recv(4) == b"AMQP"
        except OSError:
            return False

    def _write_settings(self, plugins: Sequence[str]) -> None:
        for name in ("home", "mnesia", "log"):
            (self._folder / name).mkdir()
        cookie = self._folder / "home/.erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        lines = [
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            f"vm_memory_high_watermark.relative = {WATERMARK}",
        ]
        if "rabbitmq_management" in plugins:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {self.management_port}"]
        if "rabbitmq_prometheus" in plugins:
            lines += ["prometheus.tcp.ip = 127.0.0.1", f"prometheus.tcp.port = {self.management_port}"]
        (self._folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": f"{self._root / 'usr/lib/erlang/bin'}:/usr/bin:/bin",
            "HOME": f"{folder}/home",
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": f"{folder}/erl_crash.dump",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node: the child's pid is the node's
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PLUGINS_DIR": f"{self._sbin.parent}/plugins",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{folder}/expand",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONFIG_FILES": f"{folder}/conf.d",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/generated",
            "RABBITMQ_SCHEMA_DIR": f"{folder}/schema",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK_ONLY,
        }


class ManagementUnavailable(Exception):
    """The management API does not answer as it should; the message names its address and says what it is for."""


@dataclass(frozen=True, slots=True)
class ManagedRabbitmq:
    """A server that somebody else runs; nothing of it is touched but the vhosts of the tests.

    The user of its AMQP URL must be an administrator; the other URL is that of its management API.
    """

    amqp_url: str
    management_url: str

    @classmethod
    def at(cls, amqp_url: str, management_url: str | None) -> "ManagedRabbitmq":
        """Take the usual port of the management API when its URL is not given."""
        return cls(amqp_url, (management_url or f"http://{urlsplit(amqp_url).hostname}:15672").rstrip("/"))

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost."""
        server = urlsplit(self.amqp_url)
        return f"{server.scheme}://{server.netloc}/{quote(vhost, safe='')}"

    @property
    def version(self) -> str:
        """Ask the server for its version; raise ManagementUnavailable."""
        return str(json.loads(self._request("GET", "overview"))["rabbitmq_version"])

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost that the URL's user may use; raise ManagementUnavailable."""
        self._request("PUT", f"vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._request("PUT", f"permissions/{quote(name, safe='')}/{quote(self._user, safe='')}", everything)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it; raise ManagementUnavailable."""
        self._request("DELETE", f"vhosts/{quote(name, safe='')}")

    @property
    def _user(self) -> str:
        return unquote(urlsplit(self.amqp_url).username or "guest")

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        password = unquote(urlsplit(self.amqp_url).password or "guest")
        credentials = base64.b64encode(f"{self._user}:{password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.management_url}/api/{path}",
            method=method,
            data=json.dumps(body or {}).encode() if method == "PUT" else None,
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                content: bytes = answer.read()
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise ManagementUnavailable(
                f"the management API at {self.management_url} (a vhost for each test needs it; "
                f"MAILPACT_TEST_AMQP_MANAGEMENT_URL moves it): {error}"
            ) from error
        return content


def _slim_release(release: Path, root: Path, folder: Path, plugins: Sequence[str]) -> Path:
    """Make a view of the release that shows only the broker, the plugins asked for, and what these need."""
    there = {
        re.sub(r"-[0-9][^-]*$", "", path.name): path
        for path in (release / "plugins").iterdir()
        if path.is_dir()
    }
    needed: set[str] = set()
    todo = ["rabbit", *plugins]
    while todo:
        name = todo.pop()
        if name in there and name not in needed:
            needed.add(name)
            todo += _requirements(there[name] / f"ebin/{name}.app")
    view = folder / "usr/lib/rabbitmq/lib" / release.name
    (view / "plugins").mkdir(parents=True)
    (folder / "usr/lib/erlang").symlink_to(
        root / "usr/lib/erlang"
    )  # the scripts look for it from where they are
    (view / "escript").symlink_to(release / "escript")
    (view / "sbin").mkdir()
    for script in (release / "sbin").iterdir():
        (view / "sbin" / script.name).write_bytes(script.read_bytes())
        (view / "sbin" / script.name).chmod(0o755)
    for name in needed:
        (view / "plugins" / there[name].name).symlink_to(there[name])
    return view


def _requirements(application: Path) -> list[str]:
    """Read the names of the applications that an Erlang application needs."""
    found = re.search(r"\{\s*applications\s*,\s*\[(.*?)\]", application.read_text(), re.DOTALL)
    return re.findall(r"[a-z]\w*", found[1]) if found else []


def _binary(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>'
