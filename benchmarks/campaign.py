"""A campaign of small docking instances: one worker against two, and two with one killed in the middle.

python benchmarks/campaign.py [--count 1000] [--shots 100] writes benchmarks/results/campaign.json. One and two workers
take turns, a tenth of the instances at a time, so that whatever else the machine does meets both; then two workers take
all, and one of them is killed. A time is from the first to the last result, without starting workers. The rows of
all three must be equal.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import keep, machine

from trine.quantum.campaign import Named, Row, run_campaign
from trine.quantum.campaign.run import local_cluster
from trine.quantum.ledger import Ledger
from trine.quantum.problem import Stated, problems

LAYERS, ROUNDS = 3, 10


def poses(count: int) -> list[Named]:
    """6 to 8 qubits each."""
    docking = problems()["docking"]
    return [
        Named(f"pose {k:04}", Stated(docking, docking.sample(np.random.default_rng(k), 6 + k % 3)))
        for k in range(count)
    ]


def measured(
    chosen: list[Named], shots: int, cluster: Any, kill_at: int | None = None
) -> tuple[list[Row], float]:
    """(rows, results a second) of a campaign with a new ledger; kill_at: SIGKILL to a worker after so many results."""
    times: list[float] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "campaign":
            times.append(time.perf_counter())
            if done == kill_at:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        if total == len(chosen) and done % 100 == 0:
            print(f"{stage}: {done} of {total}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        address = cluster.scheduler_address
        rows = run_campaign(
            chosen, "local", shots, LAYERS, scheduler=address, ledger=ledger, progress=progress
        )
        ledger.close()
    return rows, (len(times) - 1) / (times[-1] - times[0])


def in_turns(chosen: list[Named], shots: int) -> tuple[dict[int, list[Row]], list[dict[str, float]]]:
    """All rows by the number of workers; results a second of each round."""
    tables: dict[int, list[Row]] = {1: [], 2: []}
    rounds = []
    size = -(-len(chosen) // ROUNDS)
    with local_cluster(1) as one, local_cluster(2) as two:
        for cluster in (one, two):
            measured(chosen[:10], shots, cluster)  # everything imported and compiled
        for k in range(0, len(chosen), size):
            speeds = {}
            for workers, cluster in ((1, one), (2, two)) if k // size % 2 else ((2, two), (1, one)):
                rows, speeds[workers] = measured(chosen[k : k + size], shots, cluster)
                tables[workers] += rows
            rounds.append({"one": round(speeds[1], 2), "two": round(speeds[2], 2),
                           "load_average": round(os.getloadavg()[0], 1)})  # fmt: skip
            print(rounds[-1], flush=True)
    return tables, rounds


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=100)
    given = parser.parse_args()
    chosen = poses(given.count)
    tables, rounds = in_turns(chosen, given.shots)
    with local_cluster(2) as cluster:
        disturbed, speed = measured(chosen, given.shots, cluster, given.count // 3)
    whole = [{r.name: r for r in rows} for rows in (disturbed, tables[1], tables[2])]
    result = {
        "machine": machine("dask", "distributed", "dimod"), "instances": given.count, "shots": given.shots,
        "layers": LAYERS, "qubits": [6, 8], "rounds": rounds,
        "two_over_one_median": round(statistics.median(r["two"] / r["one"] for r in rounds), 2),
        "killed": {"after": given.count // 3, "done": sum(r.state == "done" for r in disturbed),
                   "a_second": round(speed, 2)},
        "equal_rows": whole[0] == whole[1] == whole[2],
        "how": "measured: wall clock on a machine shared with others, whose load is given for each round",
    }  # fmt: skip
    print({k: result[k] for k in ("equal_rows", "two_over_one_median", "killed")})
    print(keep("campaign", result))


if __name__ == "__main__":
    main()
