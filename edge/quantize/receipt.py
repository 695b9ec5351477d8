"""The receipt of each layer: what quantisation did to it, and how much of the final error is its doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.edge.fusing import SHARES_INPUT, fusions
from trine.edge.lowbit import bits_of
from trine.edge.lower import Lowered
from trine.edge.program import QuantizedTensor, Step
from trine.edge.quantize.choose import Choice, WeightChoice
from trine.edge.quantize.layers import Clips
from trine.edge.quantize.replay import Reference, decibels, evaluate, fake_quantize, noise_ratio

DOMINANT = 0.5  # share of the final error from which one layer is called dominant
CLIPPING = 1e-3  # fraction of clipped values from which clipping is named as the likely cause
UNEVEN = 30.0  # ratio of largest to smallest weight scale from which the channels are called uneven


@dataclass(frozen=True)
class LayerReceipt:
    """One step of the program (or one input's quantisation).

    low, high: the real range its output's codes reach. method: how that range was chosen ("forced" by
    the operator, or "shared" with its input). weight_scale_min, weight_scale_max: over channels; weight_bits: width;
    all None without weights. sqnr_db: of its output in the integer program against the float network. own_sqnr_db: of
    its output when only this layer is quantised. share: of the final output's squared error, when each layer is
    quantised alone. clipped: fraction of its float output outside the range. nudged: channels whose scale was
    moved so that integer requantisation is exact. candidates: {method: dB at the network's output with only
    this tensor quantised}.
    """

    layer: str
    kernel: str
    output: str
    low: float
    high: float
    method: str
    scale: float
    zero_point: int
    weight_scale_min: float | None
    weight_scale_max: float | None
    weight_clip: str | None
    sqnr_db: float
    own_sqnr_db: float
    share: float
    clipped: float
    channels: int
    nudged: int
    weight_bits: int | None = None
    suggestion: str | None = None
    candidates: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is infinite (no noise at all) becomes None."""
        plain = asdict(self)
        plain["candidates"] = {name: _finite(value) for name, value in self.candidates.items()}
        return {key: _finite(value) for key, value in plain.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclass(frozen=True)
class Findings:
    """What the search settled on, and the float network (of the same ranges) on the examples to report on."""

    reference: Reference
    lowered: Lowered
    choices: Mapping[str, Choice]
    methods: Mapping[str, str]
    weight_choices: Mapping[str, WeightChoice]
    clips: Clips
    weights: Mapping[str, Array]  # as the program has them, dequantised


def receipts(findings: Findings) -> tuple[LayerReceipt, ...]:
    """One receipt an input and a step, in the program's order."""
    reference, program = findings.reference, findings.lowered.program
    nodes = {node.name: node for node in reference.graph.nodes}
    weights = findings.weights
    quantized = program.quantize(reference.samples)
    made: list[LayerReceipt] = []
    caused: list[float] = []
    for name in program.inputs:
        own = fake_quantize(program.tensors[name], reference.values[name])
        caused.append(reference.noise_with({name: own}))
        made.append(_receipt(findings, Step("quantize", name, (), name), None, quantized[name], own))
    for step, codes in program.trace(quantized):
        node = nodes.get(step.name)
        if node is None or not program.tensors[step.output].quantized or step.output not in reference.values:
            continue  # an index, a truth value, or one of several steps of a node: it has no error of its own
        own = alone(reference, program.tensors[step.output], step, node, weights)
        caused.append(reference.noise_with({step.output: own}))
        made.append(_receipt(findings, step, node, codes, own))
    return _with_shares(made, caused)


def alone(
    reference: Reference, tensor: QuantizedTensor, step: Step, node: Node, weights: Mapping[str, Array]
) -> Array:
    """A step's output when only it is quantised; a step that only moves values adds nothing."""
    if node.op in SHARES_INPUT:
        return reference.values[step.output]
    graph = reference.graph
    results = dict(zip(node.outputs, evaluate(node, graph, reference.values, weights), strict=True))
    if step.output not in results:
        activation = fusions(graph)[node.name]
        results[step.output] = evaluate(activation, graph, reference.values, results)[0]
    return fake_quantize(tensor, results[step.output])


def _receipt(findings: Findings, step: Step, node: Node | None, codes: Array, own: Array) -> LayerReceipt:
    """One receipt without its share. codes: what the program made; own: what the step alone makes."""
    tensor = findings.lowered.program.tensors[step.output]
    exact = findings.reference.values[step.output]
    low, high = (float(tensor.dequantize(np.array(q))) for q in tensor.limits)
    half = float(tensor.scale) / 2
    choice = findings.choices.get(step.output)
    certificate = findings.lowered.certificates.get(step.name)
    scales = step.constants.get("weight_scale")
    weight = findings.weight_choices.get(node.inputs[1]) if node and len(node.inputs) > 1 else None
    given = "shared" if node and node.op in SHARES_INPUT else "forced"
    return LayerReceipt(
        layer=step.name,
        kernel=step.kernel,
        output=step.output,
        low=low,
        high=high,
        method=findings.methods.get(step.output, given),
        scale=float(tensor.scale),
        zero_point=int(tensor.zero_point),
        weight_scale_min=None if scales is None else float(scales.min()),
        weight_scale_max=None if scales is None else float(scales.max()),
        weight_bits=None if scales is None else bits_of(step),
        weight_clip=None if weight is None else "mse" if weight.weight in findings.clips else "max",
        sqnr_db=decibels(noise_ratio(exact, tensor.dequantize(codes))),
        own_sqnr_db=decibels(noise_ratio(exact, own)),
        share=0.0,
        clipped=float(np.mean((exact < low - half) | (exact > high + half))),
        channels=certificate.channels if certificate else 0,
        nudged=certificate.nudged if certificate else 0,
        candidates=choice.candidates if choice else {},
    )


def _with_shares(made: list[LayerReceipt], caused: list[float]) -> tuple[LayerReceipt, ...]:
    """The receipts with each layer's part of the sum of all, and advice for the one that dominates."""
    finite = [value if np.isfinite(value) else 0.0 for value in caused]
    total = sum(finite)
    found = []
    for receipt, value in zip(made, finite, strict=True):
        share = value / total if total > 0 else 0.0
        advice = suggestion(receipt) if share >= DOMINANT and len(made) > 1 else None
        found.append(replace(receipt, share=share, suggestion=advice))
    return tuple(found)


def suggestion(receipt: LayerReceipt) -> str:
    """What to try for a layer that causes most of the final error."""
    where = f"{receipt.layer} ({receipt.kernel}) causes most of the final error"
    if receipt.kernel == "quantize":
        return f"{where}: {receipt.low:.4g}..{receipt.high:.4g} is wide for 8 bits; scale or filter the input"
    if receipt.clipped > CLIPPING:
        return (
            f"{where}: {receipt.clipped:.2%} of its values exceed {receipt.low:.4g}..{receipt.high:.4g}; "
            "calibrate on examples nearer to what the device sees, or train with a Clip behind it"
        )
    low, high = receipt.weight_scale_min, receipt.weight_scale_max
    if low is not None and high is not None and high > UNEVEN * low:
        spread = high / max(low, 1e-30)
        return f"{where}: its channels' weight scales differ {spread:.0f} times; train it with weight decay"
    return f"{where}: fine-tune with quantisation in the loop, or give it more channels"
