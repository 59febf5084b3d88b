"""Three RabbitMQ nodes on this machine that form one cluster; each has its own ports, folder and process."""

from pathlib import Path

from tests.servers.rabbitmq import USER, Rabbitmq
from tests.servers.run_folder import RunFolder

NODES = 3
# No committed message is lost with another node, even if a member has not written the last messages yet.
# The expression fails while a queue has no leader.
IN_SYNC = """
catch lists:all(fun(Q) ->
  Get = fun(Key, Row) -> proplists:get_value(Key, Row) end,
  {resource, VHost, queue, Name} = amqqueue:get_name(Q),
  Members = rabbit_quorum_queue:status(VHost, Name),
  Written = [Get(<<"Commit Index">>, M) || M <- Members, lists:member(Get(<<"Raft State">>, M), [leader, follower])],
  length(Written) == 3 andalso lists:max(Written) - lists:min(Written) < 50
end, [Q || Q <- rabbit_amqqueue:list(%s), amqqueue:get_type(Q) == rabbit_quorum_queue])"""


class Cluster:
    """Three nodes, which the constructor starts and joins. A quorum queue that is declared later is on all nodes."""

    def __init__(self, run: RunFolder, root: Path) -> None:
        self.nodes = [Rabbitmq(run, root) for _ in range(NODES)]
        first, *others = self.nodes
        for node in others:
            # RabbitMQ 4 has this function in another module.
            node.call(
                "rabbit:stop(), case code:ensure_loaded(rabbit_db_cluster) of"
                f" {{module, _}} -> rabbit_db_cluster:join('{first.name}', disc);"
                f" _ -> rabbit_mnesia:join_cluster('{first.name}', disc) end, rabbit:start()"
            )

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost and wait until every node has it."""
        self.nodes[0].add_vhost(name)
        is_there = (
            "rabbit_vhost_sup_sup:is_vhost_alive(%s) andalso"
            " rabbit_auth_backend_internal:list_user_vhost_permissions(%s, %s) =/= []"
        )
        self.nodes[0].wait_until(
            "each node has it",
            lambda: all(node.call(is_there, name, USER, name) == "true" for node in self.nodes),
        )

    def url(self, vhost: str, first: int = 0) -> str:
        """Return the URLs of all nodes, separated by commas; the given node comes first."""
        return ",".join(node.url(vhost) for node in self.nodes[first:] + self.nodes[:first])

    def leader(self, vhost: str, queue: str) -> Rabbitmq:
        """Return the node on which the leader of a quorum queue is."""
        name = self._running().call(
            "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(%s, queue, %s)),"
            " {ok, _, {_, Leader}} = ra:members(amqqueue:get_pid(Q)), Leader",
            vhost,
            queue,
        )
        return next(node for node in self.nodes if node.name in name)

    def wait_until_in_sync(self, vhost: str) -> None:
        """Wait until each quorum queue of a vhost has all its members, and none is far behind the others."""
        self._running().wait_until(
            "all queues are in sync", lambda: self._running().call(IN_SYNC, vhost) == "true"
        )

    def _running(self) -> Rabbitmq:
        return next(node for node in self.nodes if node.is_running)
