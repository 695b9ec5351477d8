"""From a recurrent node of `Graph` to a step: scales, rounded weights, tables, the states it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.recurrent import INITIAL_C, INITIAL_H, LENGTHS, B, Function, P, R, W
from trine.edge.int16 import HEADROOM, affine, parameters_of_16
from trine.edge.lower import Lowering, parameters_of
from trine.edge.program import QuantizedTensor, Step
from trine.edge.recurrent import (
    CELL_RANGE,
    GATE_BITS,
    OFFSETS,
    ONE,
    UNIT_BITS,
    function_table,
    narrowed,
    project_constants,
    quantize_rows,
    state_requantizer,
)
from trine.edge.requantize import Requantizer

LEAST_RANGE = 2.0**-11  # of a state on each side of zero: a finer scale than 2^-19 leaves int32


@dataclass(frozen=True)
class Recurrence:
    """What differs between the kernels.

    gates: rows of weights a unit. carried: "" where the int8 state is all there is, "cell" for the LSTM's cell, "state"
    for a state kept finer than it is multiplied. late: the last gate's recurrent bias belongs to the recurrent rows.
    """

    kernel: str
    gates: int
    carried: str = ""
    late: bool = False


def lower_recurrent(lowering: Lowering, node: Node, kind: Recurrence, **attributes: Any) -> Step:
    """The step of a node in normal form; ValueError names what int8 does not have."""
    refuse(lowering, node)
    source, hidden = lowering.tensors[node.inputs[0]], int(node.attributes["hidden"])
    state = state_tensor(lowering, node, source.dtype)
    tables, numbers, offsets = tables_of(node)
    time, lengths = lowering.graph.shape(node.inputs[0])[0], constant_of(lowering, node, LENGTHS)
    bits = carried_bits(lowering, node, kind)
    fine = bits + UNIT_BITS if kind.carried == "state" else 2 * UNIT_BITS
    requantizer = state_requantizer(fine, state)
    starts, inputs, places = starts_of(lowering, node, kind, requantizer, (state, bits))
    weights = weights_of(lowering, node, kind, (source, state), bits)
    written = outputs_of(lowering, node, state)
    return Step(
        kind.kernel, node.name, (source.name, *inputs), written[0], {"tables": tables, **weights, **starts},
        {
            "directions": tuple(node.attributes["directions"]), "hidden": hidden, "bits": bits,
            "length": time if lengths is None else int(min(lengths[0], time)),
            "clip": min(round(node.attributes["clip"] * 2**GATE_BITS), 32767) or 32767,
            "functions": numbers, "offsets": offsets, "activations": node.attributes["activations"],
            "threshold": float(node.attributes["clip"]), "state_scale": state.scale,
            "carried": int(kind.carried == "state"),
            "written": tuple(int(bool(name) and name in written) for name in (*node.outputs, "")[:3]),
            **places, **attributes,
        },
        requantizer, also=tuple(written[1:]),
    )  # fmt: skip


def refuse(lowering: Lowering, node: Node) -> None:
    """Raise ValueError for what has no integer form."""
    where = f"node {node.name} ({node.op})"
    constant = {*lowering.graph.constants, ""}
    run_time = [
        i for i, name in enumerate(node.inputs) if i in (W, R, B, LENGTHS, P) and name not in constant
    ]
    if run_time or node.attributes["batch_axis"] != -1:
        raise ValueError(
            f"{where}: in int8 its weights and lengths must be constants, and one example one sequence"
        )
    for functions in node.attributes["activations"]:
        if len(functions) > 1 and OFFSETS.get(functions[0][0]) != ONE:
            raise ValueError(f"{where}: in int8 its gates are Sigmoid or HardSigmoid, not {functions[0][0]}")
    for name, _, beta in (f for functions in node.attributes["activations"] for f in functions):
        if name not in OFFSETS or (name == "HardSigmoid" and beta != 0.5):
            known = ", ".join(OFFSETS)
            raise ValueError(
                f"{where}: int8 has the functions {known} (HardSigmoid with beta 0.5), not {name}"
            )
    if (kind := lowering.tensors[node.inputs[0]].dtype) not in ("int8", "int16"):
        raise ValueError(f"{where}: reads {kind}; it takes int8 or int16")


def constant_of(lowering: Lowering, node: Node, index: int) -> Array | None:
    """An optional constant input."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    return lowering.graph.constants.get(name) if name else None


def range_of(
    lowering: Lowering, node: Node, output: int, default: tuple[float, float]
) -> tuple[float, float]:
    """Observed range of an output, or one that always holds."""
    name = node.outputs[output] if output < len(node.outputs) else ""
    low, high = lowering.ranges.get(name, default) if name else default
    return min(low, -LEAST_RANGE), max(high, LEAST_RANGE)


def state_range(lowering: Lowering, node: Node) -> tuple[float, float]:
    """Range of the int8 state: what y was observed to be, and what it starts from."""
    low, high = range_of(lowering, node, 0, (-1.0, 1.0))
    name = node.inputs[INITIAL_H] if len(node.inputs) > INITIAL_H else ""
    start = lowering.graph.constants.get(name)
    if start is not None:
        return min(low, float(start.min())), max(high, float(start.max()))
    return (min(low, lowering.ranges[name][0]), max(high, lowering.ranges[name][1])) if name else (low, high)


def state_tensor(lowering: Lowering, node: Node, dtype: str) -> QuantizedTensor:
    """How the state that is multiplied, and read by others, is quantised."""
    low, high = state_range(lowering, node)
    hidden = (int(node.attributes["hidden"]),)
    if dtype == "int8":
        return QuantizedTensor("", hidden, *parameters_of(low, high))
    # A state stays below 1 where it starts there: no scale needs more room.
    most = max(1.0, largest_start(lowering, node, INITIAL_H), -low, high)
    return QuantizedTensor(
        "", hidden, *parameters_of_16(max(HEADROOM * low, -most), min(HEADROOM * high, most)), dtype
    )


def tables_of(
    node: Node,
) -> tuple[NDArray[np.int16], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Tables [k, 257] of the different functions; which of them each direction's functions are, and their offsets."""
    functions: Sequence[Sequence[Function]] = node.attributes["activations"]
    different = sorted({f for direction in functions for f in direction})
    numbers = tuple(tuple(different.index(f) for f in direction) for direction in functions)
    offsets = tuple(tuple(OFFSETS[f[0]] for f in direction) for direction in functions)
    return np.stack([function_table(f) for f in different]), numbers, offsets


def carried_bits(lowering: Lowering, node: Node, kind: Recurrence) -> int:
    """Fraction bits of the int16 cell or state; 0 where there is none. The cell has a bit to spare over its range."""
    if kind.carried == "cell":
        largest = max(map(abs, range_of(lowering, node, 3, CELL_RANGE)))
        largest = max(largest, largest_start(lowering, node, INITIAL_C))
        return int(np.clip(14 - np.ceil(np.log2(max(largest, 2.0**-4))), 0, 14))
    if kind.carried == "state":
        # |h| stays below 1 where it starts there: it is a weighted mean of functions that do.
        return int(np.clip(15 - np.ceil(np.log2(max(largest_start(lowering, node, INITIAL_H), 1.0))), 0, 15))
    return 0


def largest_start(lowering: Lowering, node: Node, index: int) -> float:
    """Greatest absolute value of an initial state."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    if not name:
        return 0.0
    if name in lowering.graph.constants:
        return float(np.abs(lowering.graph.constants[name]).max(initial=0.0))
    tensor = lowering.tensors[name]
    return float(np.abs(tensor.dequantize(np.array(tensor.limits))).max())


def weights_of(
    lowering: Lowering,
    node: Node,
    kind: Recurrence,
    sources: tuple[QuantizedTensor, QuantizedTensor],
    bits: int,
) -> dict[str, Array]:
    """Constants of the input rows (w), the recurrent rows (r) and the peepholes (p)."""
    w, r, b, p = (constant_of(lowering, node, index) for index in (W, R, B, P))
    assert w is not None
    assert r is not None
    size = kind.gates * int(node.attributes["hidden"])
    both = np.zeros((len(w), 2 * size), np.float32) if b is None else b
    own = np.zeros((len(w), size))
    if kind.late:
        own[:, -r.shape[2] :] = both[:, -r.shape[2] :]
    shared = both[:, :size].astype(np.float64) + both[:, size:] - own
    made: dict[str, Array] = {}
    for role, weight, bias, source in (("w", w, shared, sources[0]), ("r", r, own, sources[1])):
        rows = [quantize_rows(part, part_bias, source) for part, part_bias in zip(weight, bias, strict=True)]
        made |= project_constants(role, rows, source, f"node {node.name} ({node.op})")
    if p is not None and p.any():
        fraction = int(np.clip(14 - np.ceil(np.log2(np.abs(p).max())), max(13 - bits, 1), 15))
        codes = np.clip(np.rint(p.astype(np.float64) * 2.0**fraction), -32767, 32767).astype(np.int16)
        made |= {"p": codes, "p_bits": np.array([fraction], np.int32)}
    return made


def starts_of(
    lowering: Lowering,
    node: Node,
    kind: Recurrence,
    requantizer: Requantizer,
    carried: tuple[QuantizedTensor, int],
) -> tuple[dict[str, Array], tuple[str, ...], dict[str, Any]]:
    """Codes of the states before the first step; names of the inputs they come from; where among the inputs these are.

    For a constant [directions, hidden]; for an int8 input the table [256] that turns its codes into the state's, for an
    int16 one the multiplier and shift that do.
    """
    state, bits = carried
    shape = (len(node.attributes["directions"]), int(node.attributes["hidden"]))
    codes: dict[str, Array] = {}
    inputs: list[str] = []
    places: dict[str, Any] = {}
    sources = {"h": INITIAL_H} | (
        {"c": INITIAL_C if kind.carried == "cell" else INITIAL_H} if kind.carried else {}
    )
    for role, index in sources.items():
        name = node.inputs[index] if index < len(node.inputs) else ""
        real: Array = lowering.graph.constants.get(name, np.zeros(shape, np.float32))
        places[f"{role}_from"] = -1
        if name and name not in lowering.graph.constants:
            if name not in inputs:
                inputs.append(name)
            places[f"{role}_from"] = 1 + inputs.index(name)
            if state.dtype == "int16":
                unit = 2.0**-bits if role == "c" else float(state.scale)
                line = affine(float(lowering.tensors[name].scale) / unit, 0.0)
                places[f"{role}_line"] = (line["multiplier"], line["shift"])
            else:
                real = lowering.tensors[name].dequantize(np.arange(-128, 128))
        fine = np.clip(np.rint(real.astype(np.float64) * 2.0**bits), -32768, 32767).astype(np.int64)
        if role == "c":
            codes["c_start"] = fine.astype(np.int16)
        elif kind.carried == "state":
            codes["h_start"] = narrowed(requantizer, fine << UNIT_BITS).astype(state.dtype)
        else:
            codes["h_start"] = state.quantize(real)
    return codes, tuple(inputs), places


def outputs_of(lowering: Lowering, node: Node, state: QuantizedTensor) -> list[str]:
    """Declare the outputs that somebody reads: y and y_h in the state's codes, y_c in its own."""
    read = {*lowering.graph.consumers(), *lowering.graph.outputs}
    named = [name for name in node.outputs[:3] if name]
    written = [name for name in named if name in read] or named[:1]
    for i, name in enumerate(node.outputs[:3]):
        if name not in written:
            continue
        if i < 2:
            shape = lowering.graph.tensors[name].shape
            lowering.add_tensor(name, shape, state.scale, state.zero_point, state.dtype)
            continue
        shape, (low, high) = lowering.graph.tensors[name].shape, range_of(lowering, node, i, CELL_RANGE)
        wide = state.dtype == "int16"
        ends = parameters_of_16(HEADROOM * low, HEADROOM * high) if wide else parameters_of(low, high)
        lowering.add_tensor(name, shape, *ends, state.dtype)
    return written
