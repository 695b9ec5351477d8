"""LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization in integers.

`edge.normalising` says what is computed: exact integer sums, a reciprocal square root in fixed point, gamma and beta
with the output's scale in one multiplier a channel. The print in ONNX is float32: it differs by at most one step, and
only where the exact value lies next to a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trine.compilers.graph import Array, Node
from trine.compilers.normalisation import Runs, runs_of
from trine.compilers.onnx_writer import spelled
from trine.edge.c.normalise import normalise_layer
from trine.edge.lower import Lowering
from trine.edge.normalising import Rule, normalise, rule_of
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import OPSET, QdqWriter

NORMALISATIONS = ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization")


def lower(lowering: Lowering, node: Node) -> Step:
    if any(node.outputs[1:]):
        raise ValueError(f"{node.name}: its mean and deviation are read; only float32 computes them")
    x, y = lowering.tensors[node.inputs[0]], lowering.add_ranged(node.outputs[0])
    real = [lowering.graph.constants[name] for name in node.inputs[1:]]
    try:
        rule = rule_of(runs_of(node, x.shape), real[0], real[1] if len(real) > 1 else None, x, y)
    except ValueError as reason:
        raise ValueError(f"{node.name}: {reason}") from None
    constants = {f"i{i}": value for i, value in enumerate(real, 1)}
    constants |= {"multiplier": rule.multiplier, "addend": rule.addend, "shift": rule.shift}
    attributes = {
        "op": node.op, "of": dict(node.attributes), "narrowing": rule.narrowing, "fraction": rule.fraction,
        "epsilon": rule.epsilon, "low": y.limits[0], "high": y.limits[1],
    }  # fmt: skip
    return Step("normalise", node.name, (x.name,), y.name, constants, attributes)


def node_of(step: Step) -> Node:
    """The operator that a step stands for; its constants are named i1, i2."""
    names = sorted(name for name in step.constants if name[1:].isdigit())
    return Node(
        step.attributes["op"], step.name, (step.inputs[0], *names), (step.output,), step.attributes["of"]
    )


def parts_of(program: IntegerProgram, step: Step) -> tuple[Runs, Rule]:
    """How a step cuts its input, and its numbers."""
    a, c = step.attributes, step.constants
    numbers = (a["narrowing"], a["fraction"], a["epsilon"], c["multiplier"], c["addend"], c["shift"])
    return runs_of(node_of(step), program.tensors[step.inputs[0]].shape), Rule(*numbers)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    zero_point = program.tensors[step.inputs[0]].zero_point
    return normalise(
        inputs[0], zero_point, *parts_of(program, step), step.attributes["low"], step.attributes["high"]
    )


def qdq(writer: QdqWriter, step: Step) -> None:
    node, real = node_of(step), f"{step.output}_real"
    constants: dict[str, Array] = {name: step.constants[name] for name in node.inputs[1:]}
    part = replace(step, output=real, constants=constants)
    writer.spell(part, spelled(replace(node, outputs=(real,)), OPSET))
    writer.output(step, writer.value(real))


KERNEL = Kernel(
    "normalise", NORMALISATIONS, lower, run, qdq, normalise_layer, layout="row", in_place=True, int16=True
)
