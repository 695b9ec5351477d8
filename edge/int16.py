"""16-bit activations: their scales, and how sums become them. Symmetric, zero point 0, as TensorFlow Lite's 16x8.

(https://www.tensorflow.org/lite/performance/quantization_spec; ONNX QuantizeLinear takes int16 from opset 21 on.) The
step is 2^-15 of the range, finer than float32 sums of products are exact, so no float rule is imitated: the integer
rule is the definition, and onnxruntime's float sums come within one step of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Graph, Node
from trine.edge.fusing import SHARES_INPUT, fusions
from trine.edge.lowbit import SMALLEST_SCALE
from trine.edge.program import QuantizedTensor, Step
from trine.edge.requantize import MAX_SHIFT_INT16, Requantizer, reduced_multiplier, split_ratio_tflite

ActivationBits = Mapping[str, int]  # 8 or 16 by the activation's name; 8 where nothing is said
LARGEST = 32767
HEADROOM = (
    2.0  # of a scale over what calibration saw: one of 16 bits, so that what it did not see saturates less
)
UNIT = np.float32(2.0**-15)  # scale of what lies within +-1: Softmax, Sigmoid, Tanh
FINEST = 2.0**-13  # of an operand's step: a finer output would show nothing more
FINE = 4  # bits of an output step that stay below the point while it is rounded
INT32 = 2**31 - 1


def parameters_of_16(low: float, high: float, least: float = 0.0) -> tuple[np.float32, int]:
    """(scale, zero point) of int16 for a real range; `least`: of the scale."""
    largest = max(abs(float(low)), abs(float(high)))
    scale = np.float32(largest / LARGEST) if largest else np.float32(1)
    return np.float32(max(scale, SMALLEST_SCALE, np.float32(least))), 0


def chunk_of(weight: NDArray[np.int8]) -> int:
    """The most neighbouring taps, a multiple of 4, whose products with int16 stay inside int32 for every row; weight
    [rows, taps] in the order of the sum."""
    total = np.cumsum(np.pad(np.abs(weight.astype(np.int64)), ((0, 0), (1, 0))), axis=1)
    taps = weight.shape[1]
    for chunk in range(taps + -taps % 4, 4, -4):
        starts = np.arange(0, taps, chunk)
        sums = total[:, np.minimum(starts + chunk, taps)] - total[:, starts]
        if int(sums.max(initial=0)) * 32768 <= INT32:
            return chunk
    return 4


def requantizer_16(
    ratio: NDArray[np.float64], largest: int, bounds: tuple[int, int], rule: str = "exact"
) -> Requantizer:
    """How sums within +-largest become int16, or int8 within `bounds`, by the real ratios [channels].

    `left` negative: the sum has more than 32 bits and is shifted right first. Raises ValueError where the ratio is so
    large that the output could only saturate.
    """
    as_float = ratio.astype(np.float32)
    if rule == "tflite":
        multiplier, right = split_ratio_tflite(ratio)
        return Requantizer(
            as_float, reduced_multiplier(multiplier), right + 15, 0, 0, *bounds, "int16_tflite"
        )
    room = 31 - max(int(largest).bit_length(), 1)
    exponent = int(
        np.floor(-np.log2(float(ratio.max())) - 1.0)
    )  # shift of the largest ratio, nothing shifted first
    left = min(room, max(FINE - exponent, 0))
    scaled = ratio * 2.0**-left
    shift = np.clip(np.floor(-np.log2(scaled) - 1.0), 1, MAX_SHIFT_INT16).astype(np.int64)
    multiplier = np.rint(scaled * 2.0 ** (32 + shift)).astype(np.int64)
    shift = np.where(multiplier >= 2**31, shift - 1, shift)
    multiplier = np.rint(scaled * 2.0 ** (32 + shift)).astype(np.int64)
    if multiplier.max() > INT32 or shift.min() < 1:
        raise ValueError(f"ratio {ratio.max():.3g} with sums up to {largest} leaves int32")
    return Requantizer(
        as_float, multiplier.astype(np.int32), shift.astype(np.int32), left, 0, *bounds, "int16"
    )


def least_scale(unit: float, largest: int) -> float:
    """The least scale of an output that sums within +-largest, in units of `unit`, can be requantised to."""
    return unit * 2.0 ** (3 - (31 - max(int(largest).bit_length(), 1)))


def every_activation(graph: Graph, bits: int = 16) -> dict[str, int]:
    """The same width for every activation of a graph that has a scale."""
    return dict.fromkeys((name for name, t in graph.tensors.items() if t.dtype == "float32"), bits)


def widths_of(graph: Graph, bits: ActivationBits) -> dict[str, int]:
    """The width of every activation: of the graph's inputs, and of what its nodes write (behind a fused activation)."""
    fused = fusions(graph)
    found: dict[str, int] = {t.name: bits.get(t.name, 8) for t in graph.inputs}
    for node in graph.nodes:
        shares = node.op in SHARES_INPUT and node.inputs[0] in found
        # Of the states that calibration watches beside a recurrent layer's outputs nothing is said.
        last = fused[node.name].outputs if node.name in fused else [n for n in node.outputs if n]
        width = found[node.inputs[0]] if shares else max(bits.get(n, 8) for n in last)
        found |= dict.fromkeys((*node.outputs, *last), width)
    return found


def missing_int16(graph: Graph, bits: ActivationBits) -> list[str]:
    """A line for every node that is asked to compute in int16 and has no kernel that does."""
    widths, swallowed, found = widths_of(graph, bits), {n.name for n in fusions(graph).values()}, []
    for node in graph.nodes:
        if node.name in swallowed or not lacks_int16(graph, node):
            continue
        reals = [n for n in node.outputs if n and graph.dtype(n) == "float32"]
        # What writes an index or a truth value has the width of what it reads, unless 8 is said of it.
        read = [n for n in node.inputs if n in widths and graph.dtype(n) == "float32"]
        if any(widths[n] == 16 for n in (reals or read)) and not (set(node.outputs) & set(bits) - set(reals)):
            found.append(
                f"node {node.name} ({node.op}): no int16 kernel; --precision int8 and mixed have one"
            )
    return found


def widest(graph: Graph) -> dict[str, int]:
    """16 bits for every activation that can have them, 8 for what a node writes that has no int16 kernel."""
    fused = fusions(graph)
    bits = every_activation(graph)
    for node in graph.nodes:
        if lacks_int16(graph, node):
            names = (*node.outputs, *(fused[node.name].outputs if node.name in fused else ()))
            bits |= dict.fromkeys(filter(None, names), 8)
    return bits


def lacks_int16(graph: Graph, node: Node) -> bool:
    """Whether a node has an integer kernel, but none for int16."""
    from trine.edge.operators import kernel_for

    kernel = kernel_for(graph, node)
    return kernel is not None and not kernel.floats and kernel.name != "float32" and not kernel.wide(node.op)


SHORTEST_SHIFT, LONGEST_SHIFT, PRODUCT_BITS = 1, 40, 46


def affine(factor: float, offset: float) -> dict[str, int]:
    """multiplier, offset, shift of (x * multiplier + offset + half) >> shift, for x of 17 bits."""
    shift = min(int(PRODUCT_BITS - 17 - np.ceil(np.log2(max(abs(factor), 2.0**-20)))), LONGEST_SHIFT)
    shift = min(shift, int(61 - np.ceil(np.log2(max(abs(offset), 1.0)))))
    if shift < SHORTEST_SHIFT:
        raise ValueError(f"a factor of {factor:.3g} between two scales leaves 64 bits")
    return {"multiplier": round(factor * 2.0**shift), "offset": round(offset * 2.0**shift), "shift": shift}


def rescaled(
    name: str,
    x: QuantizedTensor,
    y: QuantizedTensor,
    factor: float = 1.0,
    offset: float = 0.0,
    bounds: tuple[int, int] | None = None,
) -> Step:
    """The step that makes y = factor x + offset, in reals, saturated at y's limits or the bounds given."""
    low, high = bounds or y.limits
    numbers = affine(factor * float(x.scale) / float(y.scale), offset / float(y.scale))
    attributes = {"op": "Identity", **numbers, "low": low, "high": high}
    return Step("rescale", name, (x.name,), y.name, {}, attributes)
