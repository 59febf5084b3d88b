"""A RabbitMQ node of our own, which tests may stop, kill and freeze, and a RabbitMQ that somebody else runs.

Operations on our node go through `erl_call`, which evaluates an expression in the node in 3-20 ms; `rabbitmqctl` takes
0.5-2 s. The release's own start script is used, not Debian's, which switches to a system user. A node starts in 2.5 s
on two cores. The first node of a run starts Erlang's port mapper (epmd) on loopback, on a port that only this run
uses; the mapper ends with the run. The nodes of a run have the same password and cookie, to be able to form a cluster.
"""

import base64
import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.servers.run_folder import PrivateProcess, RunFolder, greeting

REQUEST_SECONDS = 10
USER = "mailpact"
RELEASES = "usr/lib/rabbitmq/lib/rabbitmq_server-*"
ERL_CALL = "usr/lib/erlang/bin/erl_call"


class Rabbitmq(PrivateProcess):
    """A node, which the constructor starts. The node's URLs hold the name and the password of its user.

    Each test has a vhost of its own. The tests of one process share the node and run one after the other. A test may
    leave the node stopped, killed or with an alarm: `recover` repairs the node.
    """

    def __init__(self, run: RunFolder, root: Path, *, plugin: str = "", settings: Sequence[str] = ()) -> None:
        """Start a node; `settings` are more lines of `rabbitmq.conf`, and the plugin listens on `management_port`."""
        super().__init__(run, "rabbitmq")
        *_, self._release = sorted(root.glob(RELEASES))
        self._root = root
        self.version = self._release.name.removeprefix("rabbitmq_server-")
        self.port, self.management_port, self._distribution_port = (run.reserve_port() for _ in range(3))
        self.name = f"mailpact-{self.port}@localhost"
        self.password = run.password
        self._calls = count()
        self._has_alarm = False
        self._write_settings(plugin, settings)
        self.start()

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost, with the user who has every permission."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{vhost}"

    def start(self) -> None:
        """Start the node, also after an earlier run, with the same ports and data; wait until the node has started."""
        self.begin([f"{self._release}/sbin/rabbitmq-server"], self._environment())
        # The log does not show this reliably: a node that started after a kill did not log every line. `ready` alone is
        # too early: a node crashes if RabbitMQ is stopped in the node before the node's own start has ended.
        has_started = "rabbit_boot_state:get() == ready andalso element(1, init:get_status()) == started"
        self.wait_until("RabbitMQ has started", lambda: self._answers() and self.call(has_started) == "true")

    def kill(self) -> None:
        """Write the node's tables to disk, then kill the node with SIGKILL.

        RabbitMQ writes a new queue's registration late: without the sync, a kill within a second of a queue's
        declaration loses the queue and every confirmed message in it (3.10, 4.0 and 4.3).
        """
        self.call("[dets:sync(Table) || Table <- dets:all()]")
        super().kill()

    def recover(self) -> None:
        if not self.is_running:
            self.start()
        self.thaw()
        if not self._answers():
            self.start_application()
        if self._has_alarm:
            self.clear_memory_alarm()

    def call(self, expression: str, *texts: str) -> str:
        """Evaluate an Erlang expression in the node and return its value as text; raise ChildProcessError.

        Each `%s` of the expression is replaced by one of the texts, as an Erlang binary; the texts are ASCII.
        """
        if texts:
            expression %= tuple(f"<<{json.dumps(text)}>>" for text in texts)
        address = f"127.0.0.1:{self._distribution_port}"
        # Without `-h` every erl_call has the same name, and a node refuses a name that an earlier call still uses.
        name = f"test{next(self._calls)}"
        words = [f"{self._root}/{ERL_CALL}", "-c", self.password, "-address", address, "-h", name, "-e"]
        # The newline ends erl_call's input. An old erl_call exits with 0 even if the evaluation fails.
        answer = self._run.call(words, self._environment(), f"{expression}.\n")
        if not answer.startswith("{ok, "):
            raise ChildProcessError(f"{expression}: {answer}")
        return answer.removeprefix("{ok, ").removesuffix("}")

    def control(self, *words: str) -> None:
        """Run `rabbitmqctl` as an operator does (one or two seconds); raise ChildProcessError."""
        self._run.call([f"{self._release}/sbin/rabbitmqctl", *words], self._environment())

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost (15-40 ms)."""
        self.call('ok = rabbit_vhost:add(%s, <<"test">>)', name)
        self.give_rights(USER, name)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with everything in it, if the vhost exists; its connections are closed."""
        self.call('rabbit_vhost:exists(%s) andalso rabbit_vhost:delete(%s, <<"test">>)', name, name)

    def set_policy(self, vhost: str, *, name: str, queues: str, definition: str) -> None:
        """Set a policy for the queues whose names match; the definition is in Erlang: `{<<"max-length">>, 1}, …`."""
        policy = f'%s, %s, %s, [{definition}], 0, <<"queues">>, <<"test">>'
        self.call(f"ok = rabbit_policy:set({policy})", vhost, name, queues)

    def delete_policy(self, vhost: str, *, name: str) -> None:
        self.call('ok = rabbit_policy:delete(%s, %s, <<"test">>)', vhost, name)

    def add_user(self, name: str, password: str, vhost: str) -> None:
        """Add a user who has every permission in a vhost."""
        self.call('ok = rabbit_auth_backend_internal:add_user(%s, %s, <<"test">>)', name, password)
        self.give_rights(name, vhost)

    def give_rights(self, user: str, vhost: str, names: str = ".*") -> None:
        """Grant a user every permission in a vhost for names that match a regular expression; `""` matches no name.

        Open connections keep their old permissions.
        """
        rights = '%s, %s, %s, %s, %s, <<"test">>'
        set_rights = f"ok = rabbit_auth_backend_internal:set_permissions({rights})"
        self.call(set_rights, user, vhost, names, names, names)

    def delete_user(self, name: str) -> None:
        self.call('ok = rabbit_auth_backend_internal:delete_user(%s, <<"test">>)', name)

    def raise_memory_alarm(self) -> None:
        """Make the node raise its memory alarm; the node then blocks every connection that publishes."""
        self._has_alarm = True
        self.call("vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1})")
        self.wait_until("memory is short", lambda: "memory" in self.call("rabbit_alarm:get_alarms()"))

    def clear_memory_alarm(self) -> None:
        """Make the node clear its memory alarm."""
        self.call("vm_memory_monitor:set_vm_memory_high_watermark(0.4)")
        self._has_alarm = False

    def close_connections(self, vhost: str) -> int:
        """Close every connection to a vhost as an operator can (320 CONNECTION_FORCED); return their number."""
        closed = self.call(
            '[rabbit_networking:close_connection(proplists:get_value(pid, I), "closed by a test")'
            " || I <- rabbit_networking:connection_info_all([pid, vhost]),"
            " proplists:get_value(vhost, I) == %s]",
            vhost,
        )
        return closed.count("ok")

    def stop_application(self) -> None:
        """Stop the broker inside the node (50 ms): the ports close, and the node keeps running."""
        self.call("rabbit:stop()")

    def start_application(self) -> None:
        """Start the broker inside the node again (0.5 s), and wait until the broker answers."""
        self.call("ok = rabbit:start()")

    def has_quorum_leaders(self) -> bool:
        """Return whether every quorum queue has elected its leader, about 0.3 s after a start."""
        are_leading = (
            "lists:all(fun(Q) -> {ok, _, _} = ra:members(amqqueue:get_pid(Q)), true end,"
            " [Q || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) == rabbit_quorum_queue])"
        )
        return self.call(f"catch {are_leading}") == "true"

    def _answers(self) -> bool:
        """Return whether the broker answers a wrong protocol header with the right one, as AMQP demands."""
        return greeting(self.port, sent=b"AMQP\0\0\0\0", length=4) == b"AMQP"

    def _write_settings(self, plugin: str, more: Sequence[str]) -> None:
        settings = self._folder / "etc/rabbitmq"
        settings.mkdir(parents=True)
        (settings / "rabbitmq-env.conf").write_text(f"SYS_PREFIX={self._folder}\n")
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}"]
        lines += [f"default_user = {USER}", f"default_pass = {self.password}", *more]
        if plugin:
            (settings / "enabled_plugins").write_text(f"[rabbitmq_{plugin}].\n")
            lines += [f"{plugin}.tcp.ip = 127.0.0.1", f"{plugin}.tcp.port = {self.management_port}"]
        (settings / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in lines))
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(self.password)
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._root}/usr/lib/erlang/bin:/usr/bin:/bin",
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(_mapper_port(self._run)),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script replaces itself with the node, which keeps the script's pid
            # The settings, plugins, data and log then lie in the node's folder instead of in /etc and /var.
            "RABBITMQ_CONF_ENV_FILE": f"{self._folder}/etc/rabbitmq/rabbitmq-env.conf",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


@cache
def _mapper_port(run: RunFolder) -> int:
    """Return the port of Erlang's port mapper, which the nodes of a run share."""
    return run.reserve_port()


@dataclass(frozen=True, slots=True)
class ManagedRabbitmq:
    """A server that somebody else runs; the tests change nothing but their own vhosts.

    The user of the AMQP URL must be an administrator; the other URL is that of the management API. A method that calls
    the API raises ConnectionError with the API's address.
    """

    amqp_url: str
    management_url: str

    def url(self, vhost: str) -> str:
        return urlsplit(self.amqp_url)._replace(path=f"/{quote(vhost, safe='')}", query="").geturl()

    @property
    def version(self) -> str:
        return str(json.loads(self._request("GET", "overview"))["rabbitmq_version"])

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost that the URL's user may use."""
        self._request("PUT", f"vhosts/{quote(name)}")
        place = f"permissions/{quote(name)}/{urlsplit(self.amqp_url).username}"
        self._request("PUT", place, configure=".*", write=".*", read=".*")

    def delete_vhost(self, name: str) -> None:
        self._request("DELETE", f"vhosts/{quote(name)}")

    def _request(self, method: str, path: str, **body: str) -> bytes:
        address = f"{self.management_url.rstrip('/')}/api/{path}"
        login = base64.b64encode(unquote(urlsplit(self.amqp_url).netloc.rpartition("@")[0]).encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
        request = urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                return bytes(answer.read())
        except OSError as error:
            raise ConnectionError(
                f"the management API, which makes a vhost for each test: {address}: {error}"
            ) from error
