"""A Ray cluster of a head without a processor and two workers of one each: processes of this machine.

Prints its address. For each line that it reads a worker is killed and another takes its place. Ends with its input. In
a process of its own: what has talked to Ray has threads, and must not fork.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

NOTICED = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}

if __name__ == "__main__":
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICED}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(workers.pop(), allow_graceful=False)
        print("killed", flush=True)
        workers.append(cluster.add_node(num_cpus=1))
    cluster.shutdown()
