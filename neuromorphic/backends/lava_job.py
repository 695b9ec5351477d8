"""A spiking net as a job for lava-nc: what it can express, in its shapes and parameters.

lava's neurons are laid out (x, y, channels); its convolution flips the kernel; a dense connection clips and truncates
weights by its sign mode, a convolution ignores exponents. Ranges are not checked by lava, so they are here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import shift, variant
from trine.neuromorphic.engine.connect import to_last
from trine.neuromorphic.engine.result import Probes
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.net import INPUT, Array, Population, Projection, Shape, SpikingNet
from trine.neuromorphic.neuron import neuron

FORMAT = 1
LIFS = ("IF", "LIF", "CubaLIF", "LI")
NEVER = 1 << 20  # a threshold no 24-bit membrane reaches


def lava_shape(shape: Shape) -> Shape:
    """(channels, length) or (channels, height, width) as (x, y, channels)."""
    return shape if len(shape) == 1 else (*((*shape[1:], 1)[:2]), shape[0])


def check(net: SpikingNet) -> None:
    """Raise InputError naming everything lava-nc cannot express of a net."""
    if net.arithmetic == "float" or variant(net.arithmetic).name != "lava":
        raise InputError(f"backend lava runs integer nets of arithmetic 'lava', not {net.arithmetic!r}")
    problems = [x for p in net.populations for x in _population_problems(net, p)]
    problems += [x for p in net.projections for x in _projection_problems(net, p)]
    if problems:
        raise InputError("lava-nc 0.10.0 cannot express:\n  " + "\n  ".join(problems))


def _population_problems(net: SpikingNet, p: Population) -> list[str]:
    where = f"population {p.name}"
    if p.neuron == INPUT:
        return []
    if p.neuron not in (*LIFS, "SigmaDelta", "RF"):
        return [f"{where}: neuron {p.neuron}"]
    q, found = neuron(p.neuron).values(p.parameters, True, net.dt_s), []
    if p.neuron in LIFS:
        if np.any(q.get("refractory_steps", 0)):
            found.append(f"{where}: refractory_steps")
        if np.any(q["v_initial"]) and np.any(q["reset_interval"]):
            found.append(f"{where}: a reset by schedule to anything but 0")
        if p.neuron == "LI" and net.out_of(p.name):
            found.append(f"{where}: a readout that sends its membrane")
    if p.neuron == "SigmaDelta" and not np.all(q["keeps_residue"]):
        found.append(f"{where}: keeps_residue = 0")
    return found


def _projection_problems(net: SpikingNet, p: Projection) -> list[str]:
    where, weight = f"projection {p.name} ({p.source} -> {p.target})", np.asarray(p.weight)
    found = []
    if p.delay_steps > 63:
        found.append(f"{where}: delay of {p.delay_steps} steps, at most 63")
    if p.kind in ("conv", "pool"):
        w = windows(p, net.population(p.source).shape, net.population(p.target).shape)
        axes = len(net.population(p.source).shape) - 1
        pads = tuple(p.attributes.get("pads", (0,) * 2 * axes))
        apart = [abs(b - e) for b, e in zip(pads[:axes], pads[axes:])]
        if any(n % d for n, d in zip(apart, w.dilation[2 - axes :])):
            found.append(f"{where}: padding {pads} differs at the two ends by no multiple of the dilation")
        if max(*w.kernel, *w.pad, *pads) > 127:
            found.append(f"{where}: kernel or padding above 127, which lava's 8-bit integers wrap")
        if p.weight_exponent < 0 and np.any(weight.astype(np.int64) % (1 << -p.weight_exponent)):
            found.append(f"{where}: a convolution with a negative exponent that drops bits of its weights")
    else:
        low, high = int(weight.min()), int(weight.max())
        mixed = low < 0 < high
        if low < -256 or high > 255 or (mixed and (weight.astype(np.int64) & 1).any()):
            found.append(
                f"{where}: weights {low} to {high} that 8 bits do not hold (mixed signs: even numbers)"
            )
    return found


def write_job(
    path: Path, net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes, timed: bool = False
) -> None:
    """Write one sample as a job. inputs: int [steps, *shape] by name; the net must have passed `check`."""
    arrays: dict[str, Array] = {}
    populations = [_population(net, p, arrays) for p in net.populations]
    projections: list[dict[str, Any]] = []
    for p in net.projections:
        source, delay = p.source, p.delay_steps
        if p.kind in ("conv", "pool") and delay:
            # lava's convolution has no delay: one to one through a dense connection that takes its steps.
            source = f"{p.name}:delayed"
            shape = net.population(p.source).shape
            arrays[f"weight:{source}"] = np.eye(net.population(p.source).size, dtype=np.int32)
            projections.append(_dense(source, p.source, source, 0, p.graded, delay - 1))
            populations.append(
                {"name": source, "neuron": "Wire", "shape": lava_shape(shape), "parameters": {}}
            )
        projections.append(_projection(net, p, source, arrays))
    for name, x in inputs.items():
        arrays[f"input:{name}"] = _laid_out(np.asarray(x, np.int32), net.population(name).shape)
    header = {
        "format": FORMAT, "steps": steps, "timed": timed, "populations": populations, "projections": projections,
        "probes": [[k, v] for k, vs in sorted(probes.items()) for v in vs],
    }  # fmt: skip
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle


def _laid_out(x: Array, shape: Shape) -> Array:
    """[..., *shape] in lava's layout."""
    lead = x.shape[: x.ndim - len(shape)]
    return to_last(x, shape).reshape(*lead, *lava_shape(shape))


def _population(net: SpikingNet, p: Population, arrays: dict[str, Array]) -> dict[str, Any]:
    """Name, neuron, shape and lava's parameters; arrays go to the archive."""
    made: dict[str, Any] = {
        "name": p.name,
        "neuron": p.neuron,
        "shape": lava_shape(p.shape),
        "parameters": {},
    }
    if p.neuron == INPUT:
        return made
    q = neuron(p.neuron).values(p.parameters, True, net.dt_s)
    given: dict[str, Any]
    if p.neuron in LIFS:
        made["neuron"] = "LIF"
        direct = {"du": np.int64(4095), "dv": np.int64(0), "vth": np.int64(NEVER), **q}
        given = {k: direct[k] for k in ("du", "dv", "bias_mant", "bias_exp", "vth")} | {
            "v": direct["v_initial"]
        }
        made["phases"] = phases_of(p, q)
        if np.any(q["reset_interval"]):
            given |= {k: q[k] for k in ("reset_interval", "reset_offset")}
    elif p.neuron == "SigmaDelta":
        given = {k: q[k] for k in ("vth", "bias", "spike_exp", "state_exp", "cum_error", "relu")}
    else:
        given = {k: q[k] for k in ("cos", "sin", "decay_bits", "vth", "state_exp")}
    for key, value in given.items():
        value = np.asarray(value)
        if value.ndim == 0 or (value == value.reshape(-1)[0]).all():
            made["parameters"][key] = int(value.reshape(-1)[0])
        else:
            arrays[f"parameter:{p.name}:{key}"] = _laid_out(
                np.broadcast_to(value, p.shape).astype(np.int32), p.shape
            )
            made["parameters"][key] = f"parameter:{p.name}:{key}"
    return made


def evened(p: Projection, weight: Array, dilation: tuple[int, int]) -> tuple[Array, tuple[int, int]]:
    """A kernel [..., rows, columns] whose padding is the same at both ends: the larger one, and zeros in the kernel."""
    given = tuple(p.attributes.get("pads", ()))
    axes = len(given) // 2
    ends = [(0, 0)] * (2 - axes) + [(given[i], given[axes + i]) for i in range(axes)]
    more = [(max(e - b, 0) // d, max(b - e, 0) // d) for (b, e), d in zip(ends, dilation)]
    return np.pad(weight, [(0, 0), (0, 0), *more]), (max(ends[0]), max(ends[1]))


def phases_of(p: Population, q: Mapping[str, Any]) -> dict[str, Any]:
    """Reset and phases beyond lava's own LIF, as the worker's `add_phases` reads them."""
    start, takes, fires = (int(np.max(q[k])) for k in ("start", "integrate_steps", "fire_steps"))
    made: dict[str, Any] = {} if p.reset == "zero" or p.neuron == "LI" else {"reset": p.reset}
    if takes:
        made |= {"takes": (start, start + takes), "fires": (start + takes - 1, start + takes - 1 + fires)}
    elif start:
        made |= {"takes": (start, -1), "fires": (start, -1)}
    return made


def _dense(name: str, source: str, target: str, exponent: int, graded: bool, delay: int) -> dict[str, Any]:
    return {
        "name": name, "source": source, "target": target, "kind": "dense", "exponent": exponent, "graded": graded,
        "delay": delay,
    }  # fmt: skip


def _projection(net: SpikingNet, p: Projection, source: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """A connection, its weights in lava's layout."""
    before, after = net.population(p.source).shape, net.population(p.target).shape
    weight = np.asarray(p.weight).astype(np.int64)
    if p.kind in ("conv", "pool"):
        w = windows(p, before, after)
        if p.kind == "pool":
            weight = np.broadcast_to(weight.reshape(()), (before[0], 1, *w.kernel))
        weight, pads = evened(
            p, shift(weight.reshape(*weight.shape[:2], *w.kernel), p.weight_exponent), w.dilation
        )
        kernel = weight.transpose(0, 2, 3, 1)
        if len(before) == 2:
            kernel = kernel.transpose(0, 2, 1, 3)
        arrays[f"weight:{p.name}"] = np.ascontiguousarray(kernel[:, ::-1, ::-1, :]).astype(np.int32)

        def pair(values: tuple[int, int]) -> tuple[int, int]:
            return values if len(before) == 3 else (values[1], values[0])

        return {
            "name": p.name, "source": source, "target": p.target, "kind": "conv", "graded": p.graded,
            "stride": pair(w.stride), "padding": pair(pads), "dilation": pair(w.dilation), "groups": w.group,
        }  # fmt: skip
    if p.kind == "identity":
        weight = np.diag(np.broadcast_to(weight.reshape(-1), net.population(p.target).size))
    columns = to_last(weight.reshape(weight.shape[0], *before), before)
    rows = to_last(np.ascontiguousarray(columns.T).reshape(-1, *after), after).T
    arrays[f"weight:{p.name}"] = np.ascontiguousarray(rows).astype(np.int32)
    return _dense(p.name, source, p.target, p.weight_exponent, p.graded, p.delay_steps)
