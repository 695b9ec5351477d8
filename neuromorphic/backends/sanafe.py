"""SANA-FE as an outside oracle: spikes, time and energy of a mapped net on its Loihi preset, from its own engine.

SANA-FE (Boyle et al., IEEE TCAD 2025, doi 10.1109/TCAD.2025.3537971) is GPL-3 and the user's own install: it is
started as a program of its own, given a file and read from a pipe, and never imported. Its soma adds real numbers and
has no phases, so the worker opens and closes layers by their threshold, and gives the starting membrane as the bias of
the first step; the sums of Trine's IF nets need no rounding in it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.backends.sanafe_environment import python
from trine.neuromorphic.backends.worker import WorkerFailed, call_worker
from trine.neuromorphic.engine.definition import collected
from trine.neuromorphic.engine.result import Probes, Result, inputs_of, probes_of
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.mapping.records import Mapping as Placed
from trine.neuromorphic.net import INPUT, Array, Projection, SpikingNet
from trine.neuromorphic.neuron import neuron

WORKER = Path(__file__).with_name("sanafe_worker.py")
TIME_LIMIT_S = 600.0
NEURONS: Final = ("IF", "LIF", "LI")
CORES_A_TILE, CORES, NEURONS_A_CORE, ROWS = (
    4,
    128,
    1024,
    4,
)  # arch loihi.yaml of SANA-FE 2.2.9: tiles by columns of 4
HARDWARE: Final = {
    "dense": "loihi_dense_synapse", "conv": "loihi_conv_synapse", "pool": "loihi_conv_synapse",
    "identity": "loihi_sparse_synapse",
}  # fmt: skip
RESETS: Final = {"zero": "hard", "subtraction": "soft", "none": "none"}


@dataclass(frozen=True)
class Observed:
    """What SANA-FE adds to spikes, an example: energy_j by part (synapse, dendrite, soma, network, total), time_s,
    updates of neurons."""

    version: str
    energy_j: Mapping[str, float]
    time_s: float
    updates: float


def check(net: SpikingNet, placed: Placed) -> None:
    """Raise InputError naming everything that SANA-FE's Loihi cannot express of a mapped net."""
    problems = []
    if placed.chip != "loihi1" or placed.chips != 1:
        problems.append(f"{placed.chips} chip(s) of {placed.chip}: one Loihi 1 only")
    if net.arithmetic == "float":
        problems.append("real-valued nets: compile for loihi1 first")
    for p in net.populations:
        if p.neuron not in (INPUT, *NEURONS):
            problems.append(f"population {p.name}: neuron {p.neuron}")
        for key in ("reset_interval", "refractory_steps"):
            if np.any(p.parameters.get(key, 0)):
                problems.append(f"population {p.name}: {key}")
    problems += [
        f"projection {q.name}: a delay of {q.delay_steps} steps" for q in net.projections if q.delay_steps
    ]
    problems += [f"projection {q.name}: graded spikes" for q in net.projections if q.graded]
    if problems:
        raise InputError("SANA-FE cannot express:\n  " + "\n  ".join(problems))


def run(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None, *,
    placed: Placed | None = None, time_limit_s: float = TIME_LIMIT_S,
) -> Result:  # fmt: skip
    """As `engine.run`, without `updates`; states: "v" of readouts at the last step only. See `observe`."""
    return observe(net, inputs, steps, probes, placed=placed, time_limit_s=time_limit_s)[0]


def observe(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None, *,
    placed: Placed | None = None, time_limit_s: float = TIME_LIMIT_S,
) -> tuple[Result, Observed]:  # fmt: skip
    """Simulate a mapped integer net in SANA-FE; what it saw, and energy and time of an example.

    placed: the net's cores; mapped for loihi1 without. Raises InputError for what SANA-FE cannot express and where it
    is missing, WorkerFailed when the worker fails or exceeds the time limit.
    """
    net.check()
    given, batch = inputs_of(net, inputs, steps)
    placed = placed or _mapped(net)
    check(net, placed)
    interpreter = python()
    job = {
        "steps": steps, "groups": groups(net, placed),
        "projections": [_projection(net, p) for p in net.projections],
        "examples": [{k: [np.flatnonzero(row).tolist() for row in x[b].reshape(steps, -1).T] for k, x in given.items()}
                     for b in range(batch)],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trine-sanafe-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        said, _ = call_worker("sanafe", interpreter, WORKER, [str(path)], time_limit_s)
    try:
        answer = json.loads(said.strip().splitlines()[-1])
        return _result(net, given, steps, probes_of(net, probes), answer), _observed(answer)
    except (IndexError, ValueError, KeyError, TypeError) as bad:
        raise WorkerFailed(f"sanafe's worker answered something that is no result: {bad!r}") from None


def _mapped(net: SpikingNet) -> Placed:
    """The net on Loihi 1."""
    from trine.devices import NeuroChip, load_device
    from trine.neuromorphic.mapping import map_net

    chip = load_device("loihi1")
    assert isinstance(chip, NeuroChip)
    placed = map_net(net, chip)
    placed.check()
    return placed


def groups(net: SpikingNet, placed: Placed) -> list[dict[str, Any]]:
    """Populations as the worker takes them. Raises InputError where no core is left for the inputs."""
    where = cores_of(net, placed)
    made: list[dict[str, Any]] = []
    for p in net.populations:
        one: dict[str, Any] = {
            "name": p.name, "size": p.size, "input": p.neuron == INPUT, "readout": p.neuron == "LI",
            "places": [[int(c) // CORES_A_TILE, int(c) % CORES_A_TILE] for c in where[p.name]],
        }  # fmt: skip
        if p.neuron != INPUT:
            q = neuron(p.neuron).values(p.parameters, True, net.dt_s)
            start, takes, fires = (int(np.max(q[k])) for k in ("start", "integrate_steps", "fire_steps"))
            opens = start + takes - 1 if takes else start
            bias = q["bias_mant"] * 2.0 ** q["bias_exp"] / 64

            def each(value: Any, shape: tuple[int, ...] = p.shape) -> list[float]:
                return [float(v) for v in np.broadcast_to(np.asarray(value, np.float64), shape).ravel()]

            one |= {
                "threshold": each(q.get("vth", 0)), "bias": each(bias), "start": each(q["v_initial"] / 64),
                "decay": 1 - float(np.max(q.get("dv", 0))) / 4096, "reset": RESETS[p.reset],
                "fires": [opens, opens + fires] if takes else [opens, 1 << 30] if start else None,
            }  # fmt: skip
        made.append(one)
    return made


def cores_of(net: SpikingNet, placed: Placed) -> dict[str, Array]:
    """SANA-FE's core of every neuron, [size], by population; inputs lie on cores that the mapping leaves free."""
    tile = placed.placement[:, 1] * ROWS + placed.placement[:, 2]
    number = np.zeros(placed.cores, np.int64)
    for core in range(placed.cores):
        number[core] = tile[core] * CORES_A_TILE + int((tile[:core] == tile[core]).sum())
    found: dict[str, Array] = {}
    for p in net.populations:
        cores = np.full(p.shape, -1, np.int64)
        for piece in placed.pieces:
            if piece.population == p.name and piece.role == "neurons":
                cores[tuple(slice(a, b) for a, b in zip(piece.low, piece.high))] = number[piece.core]
        found[p.name] = cores.ravel()
    free = [c for c in range(CORES) if c not in set(number.tolist())]
    at = 0
    for p in net.populations:
        if p.neuron == INPUT:
            places = (np.arange(p.size) + at) // NEURONS_A_CORE
            if places[-1] >= len(free):
                raise InputError(
                    f"SANA-FE: {placed.cores} of {CORES} cores are taken, none is left for input {p.name}"
                )
            found[p.name] = np.asarray([free[k] for k in places], np.int64)
            at += p.size
    return found


def _projection(net: SpikingNet, p: Projection) -> dict[str, Any]:
    """A projection as pairs of neurons and weights, zero weights of dense ones included, as Loihi stores them."""
    source, target = net.population(p.source), net.population(p.target)
    weight = np.asarray(p.weight, np.float64) * 2.0**p.weight_exponent
    if p.kind == "dense":
        to, of = (x.ravel() for x in np.indices(weight.shape))
        value = weight.ravel()
    elif p.kind == "identity":
        of = to = np.arange(target.size)
        value = np.broadcast_to(weight.ravel(), (target.size,))
    else:
        of, to, value = _taps(p, source.shape, target.shape, weight)
    return {
        "source": p.source, "target": p.target, "hw": HARDWARE[p.kind], "weight": value.tolist(),
        "pairs": np.stack([of, to], axis=1).tolist(),
    }  # fmt: skip


def _taps(
    p: Projection, before: tuple[int, ...], after: tuple[int, ...], weight: Array
) -> tuple[Array, Array, Array]:
    """Every synapse of a convolution or pooling: source, target, weight, each [synapses]."""
    w = windows(p, before, after)
    ins, outs = before[0] // w.group, after[0] // w.group
    kernel = weight.reshape(after[0], -1, *w.kernel) if p.kind == "conv" else None
    number_in = np.arange(int(np.prod(before))).reshape(before[0], *w.size_in)
    number_out = np.arange(int(np.prod(after))).reshape(after[0], *w.size_out)
    found: list[tuple[Array, Array, Array]] = []
    for tap in np.ndindex(*w.kernel):
        at = [np.arange(w.size_out[a]) * w.stride[a] + tap[a] * w.dilation[a] - w.pad[a] for a in (0, 1)]
        y, x = ((n >= 0) & (n < w.size_in[a]) for a, n in enumerate(at))
        rows, columns = np.ix_(at[0][y], at[1][x])
        for c_out in range(after[0]):
            for c_in in range(ins):
                of = number_in[c_out // outs * ins + c_in][rows, columns].ravel()
                to = number_out[c_out][np.ix_(np.flatnonzero(y), np.flatnonzero(x))].ravel()
                one = float(weight.ravel()[0]) if kernel is None else float(kernel[c_out, c_in][tap])
                found.append((of, to, np.full(len(of), one)))
    of, to, value = (np.concatenate(parts) for parts in zip(*found))
    return of, to, value


def _result(net: SpikingNet, given: Mapping[str, Array], steps: int, asked: Probes, answer: Any) -> Result:
    """Its spikes as a `Result`. A readout's membrane is known at the end alone, so it stands at every step."""
    examples = answer["examples"]
    messages = {p.name: np.zeros((len(examples), steps, p.size), np.int64) for p in net.populations}
    for name, x in given.items():
        messages[name][:] = x.reshape(*x.shape[:2], -1)
    for b, example in enumerate(examples):
        if len(example["spikes"]) != steps:
            raise ValueError(f"{len(example['spikes'])} steps of {steps}")
        for t, fired in enumerate(example["spikes"]):
            for group, k in fired:
                messages[group][b, t, k] = 1
    shaped = {p.name: messages[p.name].reshape(len(examples), steps, *p.shape) for p in net.populations}
    kept: dict[str, dict[str, list[Array]]] = {}
    for name, variables in asked.items():
        shape = net.population(name).shape
        for v in (v for v in variables if v not in ("spikes", "counts")):
            if v != "v" or net.population(name).neuron != "LI":
                raise InputError(
                    f"backend sanafe shows spikes and the membranes of readouts, not {v} of {name}"
                )
            end = np.array([example["readout"][name] for example in examples]).reshape(-1, *shape) * 64
            kept.setdefault(name, {})[v] = [end] * steps
    return collected(net, shaped, {}, asked, kept)


def _observed(answer: Any) -> Observed:
    """Energy and time of an example on average."""
    examples = answer["examples"]
    parts = sorted({k for e in examples for k in e["energy"]})
    joules = {k: sum(e["energy"].get(k, 0.0) for e in examples) / len(examples) for k in parts}
    return Observed(
        answer["version"], joules, sum(e["time_s"] for e in examples) / len(examples),
        sum(e["updated"] for e in examples) / len(examples),
    )  # fmt: skip
