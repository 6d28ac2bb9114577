"""vllm-sr-sim on the bench's hour, or a part of it; runs in .venv-sim, prints one line of JSON.

It models a request as one service in a slot, not engine steps, so it has less to do.
"""

import json
import sys
import time

import numpy as np
from fleet_sim.core.fleet import Fleet, FleetConfig, PoolConfig
from fleet_sim.core.request import Request
from fleet_sim.gpu_profiles.profiles import A100_80GB


def main() -> None:
    """Arguments: replicas, routing, path of the requests (.npz)."""
    replicas, routing = int(sys.argv[1]), sys.argv[2]
    given = np.load(sys.argv[3])
    columns = (given["times_s"].tolist(), given["prompt"].tolist(), given["completion"].tolist())
    arrivals = [
        (when, Request(number, when, prompt, completion))
        for number, (when, prompt, completion) in enumerate(zip(*columns, strict=True))
    ]
    strategy = {"least-loaded": "least_loaded", "round-robin": "round_robin"}[routing]
    pool = PoolConfig("all", A100_80GB, replicas, 1024, lb_strategy=strategy)
    fleet = Fleet(FleetConfig(pools=[pool], router_type="RandomRouter"))
    began = time.process_time()
    result = fleet.run(arrivals)
    took = time.process_time() - began
    print(json.dumps({"requests": len(result.completed), "cpu_s": took}))


if __name__ == "__main__":
    main()
