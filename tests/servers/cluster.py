"""Three RabbitMQ nodes on this machine that form one cluster; each has its own ports, folder and process."""

import re
from pathlib import Path

from tests.servers.rabbitmq import USER, ErlangError, Rabbitmq
from tests.servers.run_folder import RunFolder

NODES = 3
MEMBER = re.compile(r"\['([^']+)', (?:leader|follower), ([0-9]+)\]")
"""A member of a quorum queue that answers: node and commit index, as `erl_call` prints them."""


class Cluster:
    """Three nodes, started and joined on construction. Quorum queues that are declared now are on all of them."""

    def __init__(self, run: RunFolder, root: Path) -> None:
        first = Rabbitmq(run, root)
        self.nodes = [first, *(Rabbitmq(run, root, sibling=first) for _ in range(NODES - 1))]
        for node in self.nodes[1:]:
            # RabbitMQ 4 has another module for it.
            node.call(
                "rabbit:stop(), case code:ensure_loaded(rabbit_db_cluster) of"
                f" {{module, _}} -> rabbit_db_cluster:join('{first.name}', disc);"
                f" _ -> rabbit_mnesia:join_cluster('{first.name}', disc) end, rabbit:start()"
            )

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost and wait until every node has it."""
        self.nodes[0].add_vhost(name)
        has_rights = f'rabbit_auth_backend_internal:list_user_vhost_permissions(<<"{USER}">>, <<"{name}">>)'
        has_vhost = f'rabbit_vhost_sup_sup:is_vhost_alive(<<"{name}">>) andalso {has_rights} =/= []'
        self.nodes[0].wait_until(
            "each node has it", lambda: all(node.call(has_vhost) == "true" for node in self.nodes)
        )

    def url(self, vhost: str, first: int = 0) -> str:
        """Return the URLs of all nodes with commas between, beginning with one of them."""
        return ",".join(node.url(vhost) for node in self.nodes[first:] + self.nodes[:first])

    def leader(self, vhost: str, queue: str) -> Rabbitmq:
        """Return the node on which the leader of a quorum queue is."""
        name = self._running().call(
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),'
            " {ok, _, {_, Leader}} = ra:members(amqqueue:get_pid(Q)), Leader"
        )
        return next(node for node in self.nodes if node.name in name)

    def wait_until_in_sync(self, vhost: str) -> None:
        """Wait until each quorum queue of a vhost has all its members, and each has what is committed now."""
        committed: dict[str, int] = {}

        def have_leaders() -> bool:
            for queue, indexes in self._commit_indexes(vhost).items():
                committed[queue] = max(indexes, default=0)
            return bool(committed)

        def are_in_sync() -> bool:
            now = self._commit_indexes(vhost)
            return all(
                len(now.get(queue, [])) == NODES and min(now[queue]) >= index
                for queue, index in committed.items()
            )

        self._running().wait_until("each queue has a leader", have_leaders)
        self._running().wait_until("the members of all queues are in sync", are_in_sync)

    def _commit_indexes(self, vhost: str) -> dict[str, list[int]]:
        """Return the commit indexes of the members that answer, by queue (the bytes of its name).

        Return nothing while a queue has no leader.
        """
        try:
            rows = self._running().call(
                "[{element(4, amqqueue:get_name(Q)), [[proplists:get_value(Key, Member)"
                ' || Key <- [<<"Node Name">>, <<"Raft State">>, <<"Commit Index">>]]'
                f' || Member <- rabbit_quorum_queue:status(<<"{vhost}">>, element(4, amqqueue:get_name(Q)))]}}'
                f' || Q <- rabbit_amqqueue:list(<<"{vhost}">>), amqqueue:get_type(Q) == rabbit_quorum_queue]'
            )
        except ErlangError:
            return {}
        queues = [row.partition(">") for row in rows.split("{#Bin<")[1:]]
        return {name: [int(index) for _, index in MEMBER.findall(members)] for name, _, members in queues}

    def _running(self) -> Rabbitmq:
        return next(node for node in self.nodes if node.is_running)
