"""A RabbitMQ node of our own, which tests may stop, kill, freeze and starve.

Operations go through `erl_call`, which evaluates an expression in the node in 3-20 ms; `rabbitmqctl` takes 0.5-2 s. The
release's own start script is used, never Debian's wrapper, which switches to a system user. Of the release only the
plugins that are asked for are shown to the node: that halves its start, to 2.5 s on two cores.

The node starts Erlang's port mapper (epmd) itself, on a port of its own and on loopback alone; the mapper ends with the
run.
"""

import base64
import json
import re
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.servers.run_folder import PrivateProcess, RunFolder, greeting

CALL_SECONDS = 60
REQUEST_SECONDS = 10
USER = "mailpact"
WATERMARK = 0.4
ERLANG = "usr/lib/erlang"
FOLDERS = ("home", "mnesia", "log")


class ErlangError(Exception):
    """The node did not evaluate an expression; the message carries the expression and the node's words."""


def installed_release(root: Path) -> Path | None:
    """Return the folder of the RabbitMQ release below a root folder, `/` for what is installed; None without one."""
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))
    return found[-1] if found and (root / ERLANG / "bin/erl_call").exists() else None


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
        super().__init__(run, run.folder("rabbitmq"))
        self.version = release.name.removeprefix("rabbitmq_server-")
        self.port, self.management_port, self._distribution_port = (run.reserve_port() for _ in range(3))
        self.name = f"mailpact-{self.port}@localhost"
        self.password: str = sibling.password if sibling else secrets.token_hex(8)
        self._cookie: str = sibling._cookie if sibling else secrets.token_hex(12)
        self._mapper_port: int = sibling._mapper_port if sibling else run.reserve_port()
        self._root = root
        self._calls = count()
        self._has_alarm = False
        self._sbin = _slim_release(release, root, self._folder, plugins) / "sbin"
        self._write_settings(plugins)
        self.start()

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost, with the user who may do everything."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{vhost}"

    def start(self) -> None:
        """Start the node, again if it ran before: same ports, same data. Returns when it is up completely (2.5 s)."""
        self.begin([str(self._sbin / "rabbitmq-server")], self._environment(), "rabbitmq.log")
        self.wait_until("RabbitMQ answers", self._answers)
        # Not by the line in its log: a node that starts after a kill has been seen to lose lines of its log.
        self.wait_until("RabbitMQ has started", lambda: self.call("rabbit_boot_state:get()") == "ready")

    def kill(self) -> None:
        """Kill the node as a power cut would, after its tables are on disk.

        RabbitMQ writes a new queue's registration late: without the sync, a kill within a second of a queue's
        declaration loses the queue and every confirmed message in it (3.10, 4.0 and 4.3).
        """
        self.call("[dets:sync(Table) || Table <- dets:all()]")
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
        words = [
            *(str(self._root / ERLANG / "bin/erl_call"), "-c", self._cookie, "-timeout", str(CALL_SECONDS)),
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
        with (self._folder / "rabbitmq.conf").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def control(self, *words: str) -> None:
        """Run `rabbitmqctl`, as an operator would (a second or two); raise CalledProcessError."""
        words = (str(self._sbin / "rabbitmqctl"), "--node", self.name, *words)
        variables = self._run.environment(self._environment())
        subprocess.run(words, env=variables, capture_output=True, check=True, timeout=CALL_SECONDS)

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost (15-40 ms)."""
        self.call(f"ok = rabbit_vhost:add({_binary(name)}, {_binary('test')})")
        self.give_rights(USER, name)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it, if it is there; its connections are closed."""
        vhost = _binary(name)
        self.call(f"rabbit_vhost:exists({vhost}) andalso rabbit_vhost:delete({vhost}, {_binary('test')})")

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
        self._change_users("add_user", name, password)
        self.give_rights(name, vhost)

    def give_rights(self, user: str, vhost: str, names: str = ".*") -> None:
        """Let a user do everything with what has these names (a regular expression) in a vhost."""
        self._change_users("set_permissions", user, vhost, names, names, names)

    def take_rights(self, user: str, vhost: str) -> None:
        """Let a user log in to a vhost and do nothing there; open connections keep what they have."""
        self.give_rights(user, vhost, names="")

    def delete_user(self, name: str) -> None:
        """Delete a user."""
        self._change_users("delete_user", name)

    def _change_users(self, function: str, *words: str) -> None:
        given = ", ".join(map(_binary, (*words, "test")))
        self.call(f"ok = rabbit_auth_backend_internal:{function}({given})")

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
        return greeting(self.port, sent=b"AMQP\0\0\0\0", length=4) == b"AMQP"

    def _write_settings(self, plugins: Sequence[str]) -> None:
        for name in FOLDERS:
            (self._folder / name).mkdir()
        cookie = self._folder / "home/.erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        self.configure(
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            f"vm_memory_high_watermark.relative = {WATERMARK}",
        )
        for plugin in {"rabbitmq_management", "rabbitmq_prometheus"}.intersection(plugins):
            listener = f"{plugin.removeprefix('rabbitmq_')}.tcp"
            self.configure(f"{listener}.ip = 127.0.0.1", f"{listener}.port = {self.management_port}")

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": f"{self._root / ERLANG / 'bin'}:/usr/bin:/bin",
            "HOME": f"{folder}/home",
            "ERL_EPMD_PORT": str(self._mapper_port),
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
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


class ManagementUnavailable(Exception):
    """The management API does not answer as it should; the message names its address and says what it is for."""


@dataclass(frozen=True, slots=True)
class ManagedRabbitmq:
    """A server that somebody else runs; nothing of it is touched but the vhosts of the tests.

    The user of its AMQP URL must be an administrator; the other URL is that of its management API. What asks the API
    raises ManagementUnavailable.
    """

    amqp_url: str
    management_url: str

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost."""
        return urlsplit(self.amqp_url)._replace(path=f"/{quote(vhost, safe='')}", query="").geturl()

    @property
    def version(self) -> str:
        """Ask the server for its version."""
        return str(json.loads(self._request("GET", "overview"))["rabbitmq_version"])

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost that the URL's user may use."""
        vhost, user = quote(name, safe=""), quote(self._login[0], safe="")
        self._request("PUT", f"vhosts/{vhost}")
        self._request(
            "PUT", f"permissions/{vhost}/{user}", dict.fromkeys(("configure", "write", "read"), ".*")
        )

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it."""
        self._request("DELETE", f"vhosts/{quote(name, safe='')}")

    @property
    def _login(self) -> tuple[str, str]:
        place = urlsplit(self.amqp_url)
        return unquote(place.username or "guest"), unquote(place.password or "guest")

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        credentials = base64.b64encode(":".join(self._login).encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        content = json.dumps(body or {}).encode() if method == "PUT" else None
        address = f"{self.management_url.rstrip('/')}/api/{path}"
        request = urllib.request.Request(address, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                return bytes(answer.read())
        except OSError as error:
            raise ManagementUnavailable(
                f"the management API at {self.management_url} (a vhost for each test needs it; "
                f"MAILPACT_TEST_AMQP_MANAGEMENT_URL moves it): {error}"
            ) from error


def _slim_release(release: Path, root: Path, folder: Path, plugins: Sequence[str]) -> Path:
    """Make a view of the release that shows only the broker, the plugins asked for, and what these need."""
    there = {re.sub(r"-[0-9][^-]*$", "", path.name): path for path in (release / "plugins").iterdir()}
    needed: set[str] = set()
    todo = ["rabbit", *plugins]
    while todo:
        name = todo.pop()
        if name in there and name not in needed:
            needed.add(name)
            todo += _requirements(there[name] / f"ebin/{name}.app")
    view = folder / "usr/lib/rabbitmq/lib" / release.name
    (view / "plugins").mkdir(parents=True)
    for name in needed:
        (view / "plugins" / there[name].name).symlink_to(there[name])
    # The scripts look for both from where they are.
    (folder / ERLANG).symlink_to(root / ERLANG)
    (view / "escript").symlink_to(release / "escript")
    shutil.copytree(release / "sbin", view / "sbin")
    return view


def _requirements(application: Path) -> list[str]:
    """Read the names of the applications that an Erlang application needs."""
    found = re.search(r"\{\s*applications\s*,\s*\[(.*?)\]", application.read_text(), re.DOTALL)
    return re.findall(r"[a-z]\w*", found[1]) if found else []


def _binary(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>'
