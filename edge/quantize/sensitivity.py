"""How much each layer alone, at each width of its weights, and each activation adds to the noise of the scores.

One layer at a time is rounded, as well as `sequential` and `adaround` round it, in the otherwise float network, and the
rest is run on. Errors of different layers are nearly independent, so their noises nearly add up: the assumption of
HAWQ-V3 (Yao et al. 2021, arXiv 2011.10680, equation 9), there with curvature in place of measured noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.edge.fusing import observed
from trine.edge.int16 import HEADROOM, parameters_of_16, widest
from trine.edge.lower import parameters_of
from trine.edge.program import QuantizedTensor
from trine.edge.quantize.adaround import Levels, descend
from trine.edge.quantize.bias import channel_means, with_biases
from trine.edge.quantize.equalize import equalize
from trine.edge.quantize.layers import by_channel, packable, rounded_weight
from trine.edge.quantize.moments import layer_of
from trine.edge.quantize.replay import Reference, evaluate, fake_quantize, scored
from trine.edge.quantize.samples import Batches, Progress, affordable, gather, silent
from trine.edge.quantize.sequential import best_clip

EXAMPLES = 512
BUDGET_MACS = 4e10


def sensitivity(
    graph: Graph, examples: Batches, widths: Sequence[int], progress: Progress = silent
) -> dict[str, dict[int, float]]:
    """{weight name: {bits: noise ratio of the scores}} for every weight that may have fewer than 8 bits."""
    ready = with_biases(equalize(scored(graph)).graph)
    nodes = packable(ready)
    runs = max(len(nodes) * len(widths), 1)
    samples = gather(examples, 64, affordable(ready, runs, EXAMPLES, BUDGET_MACS))
    reference = Reference.of(ready, samples)
    found: dict[str, dict[int, float]] = {}
    for i, node in enumerate(nodes):
        found[node.inputs[1]] = {
            bits: reference.noise_with(rounded_alone(reference, node, bits)) for bits in widths
        }
        progress("measuring sensitivity", i + 1, len(nodes))
    return found


def activation_sensitivity(
    graph: Graph, examples: Batches, progress: Progress = silent
) -> dict[str, dict[int, float]]:
    """{activation: {8: noise ratio of the scores, 16: the same}} for every activation that may have either width.

    One activation at a time goes through its integers in the otherwise float network, with the range it has there.
    """
    ready = equalize(scored(graph)).graph
    may, names = widest(ready), observed(ready)
    names = tuple(name for name in names if may.get(name) == 16)
    samples = gather(examples, 64, affordable(ready, max(2 * len(names), 1), EXAMPLES, BUDGET_MACS))
    reference = Reference.of(ready, samples)
    found: dict[str, dict[int, float]] = {}
    for i, name in enumerate(names):
        x = reference.values[name]
        low, high = float(x.min()), float(x.max())
        tensors = {
            8: QuantizedTensor(name, x.shape[1:], *parameters_of(low, high)),
            16: QuantizedTensor(
                name, x.shape[1:], *parameters_of_16(HEADROOM * low, HEADROOM * high), "int16"
            ),
        }
        found[name] = {bits: reference.noise_with({name: fake_quantize(t, x)}) for bits, t in tensors.items()}
        progress("measuring activations", i + 1, len(names))
    return found


def rounded_alone(reference: Reference, node: Node, bits: int) -> Mapping[str, Array]:
    """A layer's rounded weight, and its bias with the mean of the error taken out, on the float network's inputs."""
    graph, (source, name, *rest) = reference.graph, node.inputs
    weight = np.ascontiguousarray(by_channel(node, graph.constants[name]))
    if bits == 8:
        changed: dict[str, Array] = {name: rounded_weight(node, graph.constants[name])}
    else:
        layer = layer_of(node, weight, reference.values[source], reference.values[source], bool(rest))
        clip, real = best_clip(layer, bits)
        levels = Levels.of(layer, clip, bits)
        level = np.rint(real / levels.step - levels.offset)
        real = levels.real(descend(layer, levels, level))
        changed = {
            name: np.ascontiguousarray(by_channel(node, real.reshape(weight.shape).astype(np.float32)))
        }
    if rest and len(graph.consumers()[rest[0]]) == 1:
        (result, *_) = evaluate(node, graph, reference.values, changed)
        off = channel_means(reference.values[node.output]) - channel_means(result)
        changed[rest[0]] = (graph.constants[rest[0]] + off).astype(np.float32)
    return changed
