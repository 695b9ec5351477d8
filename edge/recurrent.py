"""Recurrent layers in integers: the arithmetic that the kernels lstm, gru and rnn share, and its definition in NumPy.

Weights int8 per gate and unit, inputs and the state that is multiplied int8 or both int16, sums int32 (of int16 64
bits, where the weights do not prove that 32 are enough). What a row adds to a gate is
scaled to units of 2^-12 and rounded; a gate's sum saturates at int16 (+-8). Functions are tables of 257 values of
2^-15 over 0..8, read with linear interpolation; f(-x) = offset - f(x). The LSTM's cell and the GRU's state are carried
in int16 (units 2^-bits), the state that is multiplied is their rounding: an int8 state alone stands still where it
should move slowly. This is the scheme of TensorFlow Lite's int8 LSTM (16-bit cell, Q3.12 gates, Q0.15 functions), with
interpolated tables and one rounding a row; onnxruntime has no static int8 LSTM or GRU to be equal to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.recurrent import Function, activate
from trine.edge.int16 import requantizer_16
from trine.edge.lowbit import SMALLEST_SCALE
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import Requantizer, make_requantizer, split_ratio
from trine.edge.weights import LARGEST_SUM, linear_sum_bounds, wide_sum_bound

GATE_BITS = 12  # a gate's sum counts in 2^-12
UNIT_BITS = 15  # a function's value counts in 2^-15
ONE = 1 << UNIT_BITS
ENTRIES = 256  # steps of 1/32 from 0 to 8
# f(-x) = offset - f(x), |f| <= 1, and the offset in units of 2^-15.
OFFSETS: Mapping[str, int] = {"Sigmoid": ONE, "HardSigmoid": ONE, "Tanh": 0, "Softsign": 0}
# Greatest distance of `looked_up` from the function over +-8: chord error (1/32)^2 / 8 * max|f''| (0.0963 for Sigmoid,
# 0.7699 for Tanh), half a unit each for the table's and the result's rounding, and one for 1 stored as 32767.
TABLE_ERROR: Mapping[str, float] = {
    name: 2.0**-13 * bend + 2.0 * 2.0**-UNIT_BITS for name, bend in (("Sigmoid", 0.0963), ("Tanh", 0.7699))
}
CELL_RANGE = (-8.0, 8.0)  # of an LSTM's cell whose range was not observed


def function_table(function: Function) -> NDArray[np.int16]:
    """f(i / 32) for i in 0..256, units 2^-15."""
    values = activate(function, np.arange(ENTRIES + 1, dtype=np.float32) / 32, 0.0).astype(np.float64)
    return np.asarray(np.clip(np.rint(values * ONE), 1 - ONE, ONE - 1), np.int16)


def looked_up(table: NDArray[np.int16], offset: int, x: Array) -> NDArray[np.int64]:
    """f(x) in units of 2^-15 for x int [...] in units of 2^-12, saturated to +-8."""
    size = np.minimum(np.abs(x.astype(np.int64)), 32767)
    at, rest = size >> 7, size & 127
    low, high = table[at].astype(np.int64), table[at + 1].astype(np.int64)
    y = low + (((high - low) * rest + 64) >> 7)
    return np.asarray(np.where(x < 0, offset - y, y), np.int64)


def saturated(x: Array, bound: int = 32767) -> NDArray[np.int64]:
    """int16, or narrower and symmetric."""
    return np.clip(x, -32768 if bound == 32767 else -bound, bound).astype(np.int64)


def scaled(sums: Array, multiplier: Array, shift: Array, left: int) -> NDArray[np.int64]:
    """round(sum * ratio): one high multiply, one addition, one shift; sums int64 [..., rows]."""
    wide, whole = shift.astype(np.int64), sums.astype(np.int64)
    high = ((whole << left if left >= 0 else whole >> -left) * multiplier.astype(np.int64)) >> 32
    return np.asarray((high + (np.int64(1) << (wide - 1))) >> wide)


def narrowed(requantizer: Requantizer, values: Array) -> NDArray[np.int64]:
    """Codes of values [...] of a state in its fine units, as int64."""
    return requantizer.apply_integer(values[..., None], axis=values.ndim)[..., 0].astype(np.int64)


def state_requantizer(bits: int, tensor: QuantizedTensor) -> Requantizer:
    """From units of 2^-bits, values up to 2^30, to a tensor's int8 or int16."""
    ratio = np.array([2.0**-bits / float(tensor.scale)], np.float32)
    if tensor.dtype == "int16":
        return requantizer_16(ratio.astype(np.float64), 1 << 30, (-32768, 32767))
    bound = np.array([1 << 30], np.int64)
    return make_requantizer(ratio, -bound, bound, tensor.zero_point, (-128, 127))


@dataclass(frozen=True)
class Rows:
    """Weights of one direction as integers: int8 [rows, length], bias int64 [rows], scale float32 [rows]."""

    q: NDArray[np.int8]
    bias: NDArray[np.int64]
    scale: NDArray[np.float32]


def quantize_rows(weight: Array, bias: Array, source: QuantizedTensor) -> Rows:
    """Each row symmetric in [-127, 127]; the bias counts in float32(source scale * row scale)."""
    largest = np.abs(weight).max(axis=1, initial=0.0).astype(np.float64)
    scale = largest / 127
    scale[largest == 0] = max(scale.max(initial=0.0), float(SMALLEST_SCALE)) or 1.0
    # The bias stays within 2^29 of its units, and a dead row brings no larger ratio than the others.
    scale = np.maximum(scale, np.abs(bias) / (float(source.scale) * 2.0**29)).astype(np.float32)
    q = np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8)
    unit = (source.scale * scale).astype(np.float64)
    return Rows(q, np.rint(bias.astype(np.float64) / unit).astype(np.int64), scale)


def project_constants(
    role: str, parts: Sequence[Rows], source: QuantizedTensor, name: str
) -> dict[str, Array]:
    """Constants role, role_bias, role_scale, role_multiplier, role_shift [directions, rows] and role_left [1]."""
    q, bias, scale = (np.stack([getattr(p, field) for p in parts]) for field in ("q", "bias", "scale"))
    ratio = (source.scale * scale).astype(np.float64) * 2.0**GATE_BITS
    try:
        multiplier, shift, left = gate_ratio(ratio, parts, source)
    except ValueError as reason:
        raise ValueError(f"{name}: {reason}") from None
    return {
        role: q, f"{role}_bias": bias.astype(np.int32), f"{role}_scale": scale, f"{role}_multiplier": multiplier,
        f"{role}_shift": shift, f"{role}_left": np.array([left], np.int32),
    }  # fmt: skip


def gate_ratio(
    ratio: NDArray[np.float64], parts: Sequence[Rows], source: QuantizedTensor
) -> tuple[Array, Array, int]:
    """multiplier and shift [directions, rows], and left, by which sums become gate units."""
    if source.dtype == "int16":
        made = requantizer_16(ratio.ravel(), max(wide_sum_bound(p.q, p.bias) for p in parts), (-32768, 32767))
        return made.multiplier.reshape(ratio.shape), made.shift.reshape(ratio.shape), made.left
    bounds = [linear_sum_bounds(p.q, p.bias, source.zero_point) for p in parts]
    largest = max(int(np.abs(end).max(initial=0)) for pair in bounds for end in pair)
    return split_ratio(ratio.astype(np.float32), min(largest, LARGEST_SUM))


EVERY = slice(None)


def projected(step: Step, role: str, direction: int, x: Array, rows: slice = EVERY) -> NDArray[np.int64]:
    """What rows add to a gate, units 2^-12: x int64 [..., length], its zero point taken off already."""
    c = step.constants
    weight = c[role][direction, rows]
    # Exact in float64, where BLAS does it: |x| <= 2^15, |w| <= 127, and rows are far shorter than 2^31.
    sums = np.rint(x.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)
    sums += c[f"{role}_bias"][direction, rows]
    return scaled(
        sums,
        c[f"{role}_multiplier"][direction, rows],
        c[f"{role}_shift"][direction, rows],
        int(c[f"{role}_left"][0]),
    )


State = tuple[NDArray[np.int64], ...]  # h codes [n, hidden], then the int16 cell or state where there is one
StepRule = Callable[[Step, int, NDArray[np.int64], State, int], State]


def run_recurrent(program: IntegerProgram, step: Step, inputs: Sequence[Array], rule: StepRule) -> Any:
    """The definition: codes [n, time, inputs] -> what is read of y, y_h, y_c; a list where it is more than one."""
    a = step.attributes
    zero, hidden = program.tensors[step.inputs[0]].zero_point, a["hidden"]
    x = inputs[0].astype(np.int64) - zero
    n, time = x.shape[:2]
    zero_h = step.requantizer.zero_point
    kind = program.tensors[step.inputs[0]].dtype
    y = np.full((n, time, len(a["directions"]), hidden), zero_h, kind)
    last: list[State] = []
    for d, reverse in enumerate(a["directions"]):
        seen = projected(step, "w", d, x[:, : a["length"]])
        state = start(step, inputs, d, n)
        for s in range(a["length"]):
            t = a["length"] - 1 - s if reverse else s
            state = rule(step, d, seen[:, t], state, zero_h)
            y[:, t, d] = state[0]
        last.append(state)
    found = [y, np.stack([state[0] for state in last], axis=1).astype(kind)]
    if a["written"][2]:
        cells = np.stack([state[1] for state in last], axis=1)
    if a["written"][2] and a.get("resumed"):
        found.append(cells.astype(np.int16))
    elif a["written"][2]:
        tensor = program.tensors[step.outputs[sum(a["written"][:2])]]
        found.append(
            narrowed(state_requantizer(a["bits"] + UNIT_BITS, tensor), cells << UNIT_BITS).astype(kind)
        )
    results = [value for value, written in zip(found, a["written"], strict=False) if written]
    return results if step.also else results[0]


def start(step: Step, inputs: Sequence[Array], direction: int, n: int) -> State:
    """The states before the first step: constants, or codes of an input through a table; of int16 along a line.

    A step of a stream (attribute `resumed`) has them as its inputs, as they are: h, and the int16 cell or state,
    which it gives back beside y.
    """
    found = []
    for role in ("h", "c")[: 1 + ("c_start" in step.constants)]:
        codes, source = step.constants[f"{role}_start"], step.attributes[f"{role}_from"]
        if step.attributes.get("resumed"):
            found.append(inputs[source][:, direction].astype(np.int64))
        elif source == -1:
            found.append(np.broadcast_to(codes[direction].astype(np.int64), (n, step.attributes["hidden"])))
        elif line := step.attributes.get(f"{role}_line"):
            multiplier, shift = line
            given = inputs[source][:, direction].astype(np.int64)
            found.append(saturated((given * multiplier + (1 << (shift - 1))) >> shift))
        else:
            found.append(codes[inputs[source][:, direction].astype(np.int64) + 128].astype(np.int64))
    return tuple(found)
