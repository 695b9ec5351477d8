"""SelectiveScan in integers: int8 in and out, an int16 state, no division and no float at run time.

A step size has one of 256 values: a table gives it in units of 2^-k. u = delta |a| log2(e) counts in 2^-16; the decay
is table[fraction of u] >> (whole part of u), units 2^-23, the table of 257 entries read with linear interpolation. A
state h counts in scale 2^-e for its exponent e (`state_exponents`), the scale from the observed range of 2^e h, so that
states that forget quickly are held as finely as those that do not.

    g = (delta ((x - zx) << 23)) >> 32
    h = saturate16(((h << 16) decay >> 32) + ((g ((b - zb) gain)) >> 32 >> (in_shift - e)) + 2^6 >> 7)
    y = requantise(sum over states of (h (c - zc) >> (e + out_shift)) + skip (x - zx))

onnxruntime runs the QDQ print, a Scan, in float32 with the state rounded to int16 as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.operators.selectivescan import spell
from trine.compilers.state_space import scan_body, state_exponents
from trine.edge.c.state_space import scan_layer, scan_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import FLOAT_OPSET, QdqWriter
from trine.edge.recurrent import narrowed
from trine.edge.requantize import make_requantizer
from trine.edge.streaming.rules import Along, Axes, Kept, NotLocal, Reach, Stream

DECAY_BITS, STATE_BITS, RATE_BITS = 23, 7, 16  # fractions of a decay, of a sum for the state, of u
MARGIN = 1.25  # of the state's range over what calibration saw
MOST_STATES = 256  # h (c - zc) stays below 2^23: sums of them in int32
LARGEST_SUM = 1 << 30


@dataclass(frozen=True)
class Units:
    """Of a layer: delta counts in 2^-delta_bits, 2^e h in `state`, sums for y in `sum`."""

    delta_bits: int
    state: float
    sum: float


def top_bits(largest: float) -> int:
    """Fraction bits with which values up to `largest` stay below 2^30."""
    return 29 - int(np.floor(np.log2(max(largest, 2.0**-40))))


def lower(lowering: Lowering, node: Node) -> Step:
    where = f"node {node.name} ({node.op})"
    x, delta, b, c = (lowering.tensors[name] for name in node.inputs[:4])
    a, d = (lowering.graph.constants[name].astype(np.float64) for name in node.inputs[4:])
    steps = delta_values(delta, bool(node.attributes["softplus"]))
    if (a > 0).any() or steps.min() < 0:
        raise ValueError(
            f"{where}: in int8 its a must not be positive and its delta not negative: states would grow"
        )
    if a.shape[1] > MOST_STATES or {t.dtype for t in (x, delta, b, c)} != {"int8"}:
        raise ValueError(f"{where}: in int8 it has {MOST_STATES} states a channel at most, and int8 inputs")
    delta_bits, rates = top_bits(steps.max()), -a * np.log2(np.e)
    rate_bits = min(top_bits(rates.max()), 32 + RATE_BITS + 20 - delta_bits)
    if (rate_shift := delta_bits + rate_bits - 32 - RATE_BITS) < 0:
        raise ValueError(f"{where}: delta a reaches {steps.max() * np.abs(a).max():.0f}; int8 takes 700")
    e = state_exponents(a)
    bound = state_bound(lowering, node, (x, b), steps.max(), (a, e))
    gain, in_shift, unit = gain_of(x, b, delta_bits, bound / 32767, int(e.max()))
    skip, out_shift, sums = skip_of(d, x, unit * float(c.scale), e)
    y = lowering.add_ranged(node.outputs[0])
    most = np.array([LARGEST_SUM], np.int64)
    ratio = np.array([sums / float(y.scale)], np.float32)
    try:
        requantizer = make_requantizer(ratio, -most, most, y.zero_point, (-128, 127))
    except ValueError as reason:
        raise ValueError(f"{where}: {reason}") from None
    constants = {
        "delta": np.rint(steps * 2.0**delta_bits).astype(np.int32),
        "rate": np.rint(rates * 2.0**rate_bits).astype(np.int32), "exponent": e, "skip": skip,
        "decay": np.rint(2.0 ** (DECAY_BITS - np.arange(257) / 256)).astype(np.int32),
    }  # fmt: skip
    attributes = {
        "softplus": node.attributes["softplus"], "length": x.shape[0], "resumed": 0, "rate_shift": rate_shift,
        "rate_bits": rate_bits, "gain": gain, "in_shift": in_shift, "out_shift": out_shift,
        "state_unit": unit, "sum_unit": sums,
    }  # fmt: skip
    return Step("selective_scan", node.name, node.inputs[:4], y.name, constants, attributes, requantizer)


def delta_values(delta: QuantizedTensor, softplus: bool) -> NDArray[np.float64]:
    """The step sizes that the 256 codes stand for."""
    real = delta.dequantize(np.arange(-128, 128)).astype(np.float64)
    return np.logaddexp(real, 0.0) if softplus else real


def state_bound(
    lowering: Lowering, node: Node, inputs: tuple[QuantizedTensor, QuantizedTensor], delta: float,
    rates: tuple[Array, Array],
) -> float:  # fmt: skip
    """Largest 2^e |h| to be held: what calibration saw and a margin, or what no input can exceed."""
    name = f"{node.name}.states"
    x, b = (float(t.scale) * max(127 - t.zero_point, t.zero_point + 128) for t in inputs)
    a, e = rates
    forgotten = -np.expm1(delta * a)  # of a state, in a step of the largest size
    limit = (
        x * b * delta * np.minimum(1 / np.maximum(forgotten, 1e-9), lowering.tensors[node.inputs[0]].shape[0])
    )
    proven = max(float((limit * 2.0**e).max()), 2.0**-20)
    if name not in lowering.ranges:
        return proven
    return float(np.clip(MARGIN * max(map(abs, lowering.ranges[name])), proven * 2.0**-16, proven))


def gain_of(
    x: QuantizedTensor, b: QuantizedTensor, bits: int, unit: float, most: int
) -> tuple[int, int, float]:
    """(gain, in_shift, unit of 2^e h): what a unit of g (b - zb) is in units of 2^-7 of the state.

    The unit grows where one step of the largest inputs would otherwise leave int32; most: the largest exponent.
    """
    real = 2.0 ** (9 - bits + STATE_BITS) * float(x.scale) * float(b.scale) / unit
    shift = 22 - int(np.floor(np.log2(real))) - 32
    if shift < most:
        return gain_of(x, b, bits, unit * 2.0 ** (most - shift), most)
    shift = min(shift, 31)
    return min(int(np.rint(real * 2.0 ** (shift + 32))), (1 << 23) - 1), shift, unit


def skip_of(d: Array, x: QuantizedTensor, unit: float, e: Array) -> tuple[NDArray[np.int32], int, float]:
    """(skip [channels], out_shift, unit of the sums); unit: of 2^e h c. Sums of every channel stay within 2^30."""
    for extra in range(26):
        out_shift = extra - int(e.min())
        sums = unit * 2.0**out_shift
        skip = np.rint(d * float(x.scale) / sums)
        reach = (32768 * 255 / 2.0 ** (e + out_shift) + 1).sum(axis=1) + 255 * np.abs(skip)
        if reach.max() < LARGEST_SUM:
            return skip.astype(np.int32), out_shift, sums
    raise ValueError("d is out of all proportion to its states")


def decays(step: Step, delta: Array) -> NDArray[np.int64]:
    """exp(delta a) in units of 2^-23, [n, channels, states], for step sizes int64 [n, channels] in their units."""
    u = ((delta[..., None] * step.constants["rate"].astype(np.int64)) >> 32) >> step.attributes["rate_shift"]
    table, at, rest = step.constants["decay"].astype(np.int64), (u >> 8) & 255, u & 255
    fine = table[at] - (((table[at] - table[at + 1]) * rest + 128) >> 8)
    return np.asarray(fine >> np.minimum(u >> RATE_BITS, 31), np.int64)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    a, k = step.attributes, step.constants
    tensors = [program.tensors[name] for name in step.inputs[:4]]
    x, b, c = (inputs[i].astype(np.int64) - tensors[i].zero_point for i in (0, 2, 3))
    delta = k["delta"].astype(np.int64)[inputs[1].astype(np.int64) + 128]
    e = k["exponent"].astype(np.int64)
    h = inputs[4].astype(np.int64) if a["resumed"] else np.zeros((len(x), *e.shape), np.int64)
    y = np.empty((len(x), a["length"], len(e)), np.int8)
    for t in range(a["length"]):
        g = (delta[:, t] * (x[:, t] << 23)) >> 32
        fed = (g[..., None] * (b[:, t] * a["gain"])[:, None]) >> 32 >> (a["in_shift"] - e)
        kept = ((h << 16) * decays(step, delta[:, t])) >> 32
        h = np.clip((kept + fed + (1 << (STATE_BITS - 1))) >> STATE_BITS, -32768, 32767)
        sums = ((h * c[:, t, None]) >> (e + a["out_shift"])).sum(axis=2) + k["skip"] * x[:, t]
        y[:, t] = narrowed(step.requantizer, sums)
    return [y, h.astype(np.int16)] if step.also else y


def qdq(writer: QdqWriter, step: Step) -> None:
    a, k = step.attributes, step.constants
    rate = -k["rate"] * np.log(2.0) * 2.0 ** -a["rate_bits"]
    skip = k["skip"] * a["sum_unit"] / float(writer.program.tensors[step.inputs[0]].scale)
    names = [
        writer.constant(v.astype(np.float32), f"{step.name}_{role}") for v, role in ((rate, "a"), (skip, "d"))
    ]
    node = Node(
        "SelectiveScan",
        step.name,
        (*step.inputs, *names),
        (f"{step.name}_real",),
        {"softplus": a["softplus"]},
    )
    unit = a["state_unit"] * 2.0 ** -k["exponent"].astype(np.float64)
    body = scan_body(step.name, unit)
    spelled = [
        replace(one, attributes={**one.attributes, "body": body}) if one.op == "Scan" else one
        for one in spell(node, FLOAT_OPSET)
    ]
    writer.spell(replace(step, constants={}), spelled)
    writer.output(step, f"{step.name}_real")


def along(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """The state goes from call to call."""
    if set(axes) != {0}:
        raise NotLocal("its inputs do not all run along time")
    state = QuantizedTensor(f"state of {step.name}", step.constants["exponent"].shape, dtype="int16")
    kept = Kept(state, np.zeros(state.shape, np.int16))
    return Along(0, (Reach(),) * 4, state=(kept,))


def part(step: Step, found: Along, pads: tuple[int, int], columns: int) -> Step:
    return replace(step, attributes={**step.attributes, "length": columns, "resumed": 1})


STREAM = Stream(along, part)
KERNEL = Kernel(
    "selective_scan",
    ("SelectiveScan",),
    lower,
    run,
    qdq,
    scan_layer,
    layout="row",
    scratch=scan_scratch,
    apart=2,
)
