"""lava-nc as an oracle: a worker process in lava's own environment, with a time limit, its whole group ended after.

Why not in this process: lava-nc 0.10.0 wants Python 3.10 and NumPy 1, forks a child for every process of a network, and
hangs where one of them fails.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trine.neuromorphic.backends import lava_job
from trine.neuromorphic.backends import worker as worker_process
from trine.neuromorphic.backends.lava_environment import python
from trine.neuromorphic.backends.worker import WorkerFailed
from trine.neuromorphic.engine.connect import from_last
from trine.neuromorphic.engine.definition import collected
from trine.neuromorphic.engine.result import Probes, Result, inputs_of, probes_of
from trine.neuromorphic.net import INPUT, Array, SpikingNet

WORKER = Path(__file__).with_name("lava_worker.py")
STATES = {
    "LIF": ("u", "v"),
    "CubaLIF": ("u", "v"),
    "IF": ("u", "v"),
    "LI": ("u", "v"),
    "SigmaDelta": ("sigma", "act", "residue", "error"),
}
TIME_LIMIT_S = 600.0
JOBS_A_WORKER = 20  # samples one worker takes; the time limit is a worker's


def run(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None, *,
    time_limit_s: float = TIME_LIMIT_S,
) -> Result:  # fmt: skip
    """Simulate an integer net in lava-nc, one sample after another.

    As `engine.run`, without `updates` (lava does not tell). Raises InputError for what lava cannot express (all of it)
    and where its environment is missing, WorkerFailed when the worker fails or exceeds the time limit.
    """
    net.check()
    given, batch = inputs_of(net, inputs, steps)
    samples = [(net, {k: x[b] for k, x in given.items()}, steps, probes) for b in range(batch)]
    return _joined(net, run_many(samples, time_limit_s=time_limit_s))


def run_many(
    samples: Sequence[tuple[SpikingNet, Mapping[str, Array], int, Probes | None]],
    time_limit_s: float = TIME_LIMIT_S,
) -> list[Result]:
    """Many nets, one sample each (inputs [steps, *shape]), in few workers. Raises as `run`."""
    for net in {id(s[0]): s[0] for s in samples}.values():
        lava_job.check(net)
    with tempfile.TemporaryDirectory(prefix="trine-lava-") as folder:
        files, wanted = [], []
        for k, (net, inputs, steps, probes) in enumerate(samples):
            asked = probes_of(net, probes)
            needed = {p.name: ("spikes",) for p in net.populations if p.neuron not in (INPUT, "LI")}
            for name, variables in asked.items():
                kind = net.population(name).neuron
                if kind != INPUT:
                    extra = ("v",) if kind == "LI" else ()
                    states = tuple(v for v in variables if v in STATES.get(kind, ()))
                    needed[name] = (*needed.get(name, ()), *dict.fromkeys((*states, *extra)))
            job, result = Path(folder) / f"job{k}.npz", Path(folder) / f"result{k}.npz"
            lava_job.write_job(job, net, inputs, steps, needed)
            files.append((job, result))
            wanted.append(asked)
        for k in range(0, len(files), JOBS_A_WORKER):
            call_worker(
                python(), [str(f) for pair in files[k : k + JOBS_A_WORKER] for f in pair], time_limit_s
            )
        return [
            _result(sample[0], sample[1], sample[2], asked, read_answer(result))
            for sample, asked, (_, result) in zip(samples, wanted, files, strict=True)
        ]


def seconds_for(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, time_limit_s: float = TIME_LIMIT_S
) -> float:
    """Processor time lava's processes take for `steps` steps of one sample, after a run that builds everything."""
    lava_job.check(net)
    with tempfile.TemporaryDirectory(prefix="trine-lava-") as folder:
        job, result = Path(folder) / "job.npz", Path(folder) / "result.npz"
        lava_job.write_job(job, net, inputs, steps, {}, timed=True)
        call_worker(python(), [str(job), str(result)], time_limit_s)
        return float(read_answer(result)["header"]["seconds"])


def call_worker(
    interpreter: Path, arguments: Sequence[str], time_limit_s: float, worker: Path = WORKER
) -> str:
    """lava's worker on jobs and results by turns; its stderr. Raises WorkerFailed."""
    return worker_process.call_worker("lava", interpreter, worker, arguments, time_limit_s)[1]


def read_answer(path: Path) -> dict[str, Any]:
    """A result file: arrays and "header". Raises WorkerFailed for none, garbage, or an error inside lava."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            answer: dict[str, Any] = {k: archive[k] for k in archive.files}
        answer["header"] = json.loads(bytes(answer["header"]).decode())
    except FileNotFoundError:
        raise WorkerFailed("lava's worker wrote no result") from None
    except (OSError, ValueError, KeyError, EOFError) as bad:
        raise WorkerFailed(f"lava's worker wrote something that is no result: {bad}") from None
    if answer["header"].get("error"):
        raise WorkerFailed(f"lava failed: {answer['header']['error']}")
    return answer


def _result(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes, answer: Mapping[str, Any]
) -> Result:
    """One sample's answer in Trine's shapes."""

    def seen(name: str, variable: str) -> Array:
        x = np.asarray(answer[f"{name}:{variable}"], np.int64)
        return from_last(x.reshape(1, steps, -1), net.population(name).shape)

    messages: dict[str, Array] = {}
    for p in net.populations:
        if p.neuron == INPUT:
            whole = np.zeros((1, steps, *p.shape), np.int64)
            whole[0, : len(inputs[p.name])] = inputs[p.name]
            messages[p.name] = whole
        elif p.neuron == "LI":
            known = f"{p.name}:v" in answer
            messages[p.name] = seen(p.name, "v") >> 6 if known else np.zeros((1, steps, *p.shape), np.int64)
        else:
            messages[p.name] = seen(p.name, "spikes")
    kept = {
        name: {v: list(np.moveaxis(seen(name, v), 1, 0)) for v in variables if v not in ("spikes", "counts")}
        for name, variables in probes.items()
    }
    return collected(net, messages, {}, probes, kept)


def _joined(net: SpikingNet, parts: Sequence[Result]) -> Result:
    """Samples as one batch."""
    first = parts[0]
    probes = {
        name: {v: np.concatenate([p.probes[name][v] for p in parts]) for v in variables}
        for name, variables in first.probes.items()
    }
    return Result(
        len(parts), first.steps, probes,
        {k: np.sum([p.counts[k] for p in parts], axis=0) for k in first.counts},
        {k: np.concatenate([p.sent[k] for p in parts]) for k in first.sent},
        {k: np.sum([p.per_step[k] for p in parts], axis=0) for k in first.per_step},
        {},
    )  # fmt: skip
