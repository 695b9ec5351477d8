"""GroupNormalization: groups of channels of one example, each with its own gamma and beta (ONNX GroupNormalization-21).

Normal form: inputs (x (channels, *spatial), gamma, beta), constants of one value a channel; attributes num_groups,
channels and epsilon. Opset 18's form, one value a group, is read too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.normalisation import groups_by_parts, normalised, runs_of
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.layernormalization import parameters

BY_CHANNEL = 21  # the first opset whose gamma and beta have an entry a channel


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    shape, groups = source.shape(), source.integer("num_groups", 0)
    if len(shape) < 2 or groups < 1 or shape[0] % groups:
        raise Unsupported(f"{groups} groups on shape {shape} an example")
    names = []
    for index, what in ((1, "the scale"), (2, "the bias")):
        value = source.constant(index, what)
        by_group = source.opset < BY_CHANNEL
        if value.shape != ((groups,) if by_group else shape[:1]):
            raise Unsupported(f"{what} {value.shape} for {shape[0]} channels in {groups} groups")
        each = np.repeat(value, shape[0] // groups) if by_group else value
        names.append(source.define(what.replace(" ", "_"), each) if by_group else source.inputs[index])
    if source.integer("stash_type", 1) != 1:
        raise Unsupported(f"stash_type {source.integer('stash_type', 1)}; 1 (float32) is supported")
    attributes = {
        "num_groups": groups, "channels": shape[0], "epsilon": float(source.attributes.get("epsilon", 1e-5)),
    }  # fmt: skip
    return Node("GroupNormalization", source.name, (source.inputs[0], *names), source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, gamma, beta = arguments
    return [normalised(x, gamma, beta, runs_of(node, x.shape[1:]))]


def spell(node: Node, opset: int) -> list[Spelled]:
    if opset < BY_CHANNEL:
        return groups_by_parts(node)
    given = {name: node.attributes[name] for name in ("num_groups", "epsilon")}
    return [Spelled(node.op, node.inputs, node.outputs, given)]


def _in(groups: int, channels: int, epsilon: float = 1e-5) -> dict[str, object]:
    return {"num_groups": groups, "channels": channels, "epsilon": epsilon}


OPERATOR = Operator(
    "GroupNormalization", read, same_shape, run,
    (
        Case("signal", ((6, 9),), _in(2, 6), parameters("signal", 6)),
        Case("image", ((4, 5, 3),), _in(4, 4, 1e-2), parameters("image", 4)),
        Case("one_group", ((3, 8),), _in(1, 3), parameters("one_group", 3)),
    ),
    forms=(
        Form("default_epsilon", ((4, 9),), {"num_groups": 2}, dict(enumerate(parameters("d", 4), 1)),
             (BY_CHANNEL, 999)),
    ),
    spell=spell,
)  # fmt: skip
