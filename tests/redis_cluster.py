"""A cluster of Redis for tests: three servers on loopback, each with a third of the slots; one a process."""

import atexit
import functools

from redis.exceptions import RedisError
from redis_server import RedisServer, free_port, wait_for

SLOTS = 16_384
NODE_TIMEOUT_MS = "2000"


class RedisCluster:
    """Servers that have met."""

    def __init__(self, n_nodes=3, **settings):
        settings = {"cluster_enabled": "yes", "cluster_node_timeout": NODE_TIMEOUT_MS} | settings
        self.nodes = [RedisServer(cluster_port=str(free_port()), **settings) for _ in range(n_nodes)]
        self.bounds = bounds = [SLOTS * i // n_nodes for i in range(n_nodes + 1)]
        for epoch, (node, first, last) in enumerate(zip(self.nodes, bounds, bounds[1:], strict=False), 1):
            with node.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
        for node in self.nodes[1:]:
            self.meet(node)
        wait_for(self.agrees, lambda: [str(self.state(node)) for node in self.nodes])

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def meet(self, node):
        with self.nodes[0].client() as client:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.cluster_port)

    def state(self, node):
        with node.client() as client:
            return dict(line.split(":") for line in client.execute_command("CLUSTER", "INFO").decode().splitlines())

    def node_of(self, key):
        """The server that has a key."""
        with self.nodes[0].client() as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", key)
        return self.nodes[next(i for i, last in enumerate(self.bounds[1:]) if slot < last)]

    def agrees(self):
        """Every node knows all others and who has which slot."""
        try:
            found = [self.state(node) for node in self.nodes]
        except RedisError:
            return False
        wanted = {"cluster_state": "ok", "cluster_known_nodes": str(len(self.nodes))}
        return all(wanted.items() <= one.items() for one in found)

    def empty(self):
        for node in self.nodes:
            node.empty()

    def close(self):
        for node in self.nodes:
            node.close()


@functools.cache
def shared_cluster():
    """The cluster of this process."""
    cluster = RedisCluster()
    atexit.register(cluster.close)
    return cluster
