"""Scan and Loop with a trip count known when compiling: unrolled, so that every pillar sees plain nodes.

Each step is a copy of the body whose names carry the loop's name and the step's number. What cannot be unrolled keeps
its node, with the reason in an attribute `refused`, which `operators.scan` and `operators.loop` show to the user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.state_space import recognised

LARGEST_UNROLLED = (
    20_000  # nodes of the whole network afterwards; a file of a few bytes could ask for any number
)
REFUSED = "refused"
KINDS = ("Scan", "Loop")


class _Refused(Exception):
    """Why a loop stays."""


def unrolled(ir: Any) -> Any:
    """An `onnx_ir.Model` without the loops that can be unrolled; shapes must be inferred already."""
    import onnx_ir

    if not any(_is_loop(node) for node in ir.graph):
        return ir
    model = onnx_ir.serde.serialize_model(ir)
    while _unroll_once(model):
        pass
    return onnx_ir.serde.deserialize_model(model)


def _is_loop(node: Any) -> bool:
    """A Scan or Loop of ONNX; either library's node."""
    attributes = node.attributes if hasattr(node, "attributes") else [a.name for a in node.attribute]
    return node.op_type in KINDS and node.domain in ("", "ai.onnx") and REFUSED not in attributes


def _unroll_once(model: Any) -> bool:
    """Replace every loop of the outer graph by its steps; whether there was any. Bodies may hold more."""
    from onnx import helper

    graph = model.graph
    if not any(_is_loop(node) for node in graph.node):
        return False
    known = _Known.of(graph)
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept: list[Any] = []
    for index, node in enumerate(graph.node):
        if not _is_loop(node):
            kept.append(node)
            continue
        known_form = recognised(node, known.constants, known.shapes, read) if node.op_type == "Scan" else None
        if known_form is not None:
            kept.append(known_form.node)
            graph.initializer.extend(known_form.constants)
            continue
        room = LARGEST_UNROLLED - len(kept) - (len(graph.node) - index)
        try:
            steps = _Unrolled(node, f"{node.name or node.op_type}_{index}", known, room)
            made = steps.scan() if node.op_type == "Scan" else steps.loop()
        except _Refused as reason:
            node.attribute.append(helper.make_attribute(REFUSED, str(reason)))
            kept.append(node)
            continue
        kept += made
        graph.initializer.extend(steps.constants)
    del graph.node[:]
    graph.node.extend(kept)
    return True


@dataclass(frozen=True)
class _Known:
    """Constants and shapes of a graph's values, by name."""

    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(graph: Any) -> _Known:
        """What a GraphProto says."""
        from onnx import numpy_helper

        constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        shapes = {name: tuple(value.shape) for name, value in constants.items()}
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)
        return _Known(constants, shapes)


@dataclass
class _Unrolled:
    """One loop as plain nodes. constants: the initialisers they need."""

    node: Any
    prefix: str
    known: _Known
    room: int
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the loop."""
        from onnx import helper

        found = [a for a in self.node.attribute if a.name == name]
        return helper.get_attribute_value(found[0]) if found else default

    def constant(self, role: str, value: Array) -> str:
        """A new initialiser."""
        from onnx import numpy_helper

        name = f"{self.prefix}.{role}"
        if all(tensor.name != name for tensor in self.constants):
            self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A new node; returns its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{output}.node", **attributes))
        return output

    def scan(self) -> list[Any]:
        """Scan-11: states and slices in, states and slices out."""
        body, count = self.attribute("body"), int(self.attribute("num_scan_inputs"))
        states, scanned = list(self.node.input[:-count]), list(self.node.input[-count:])
        if len(self.node.input) != len(body.input) or "" in self.node.input:
            raise _Refused(
                "it is written as opset 8 has it, with sequence lengths; export it with a newer opset"
            )
        slices = len(body.output) - len(states)
        axes = list(self.attribute("scan_input_axes", [0] * count))
        backwards = list(self.attribute("scan_input_directions", [0] * count))
        trips = {self.length(name, axis) for name, axis in zip(scanned, axes, strict=True)}
        if len(trips) != 1:
            raise _Refused(f"its inputs are scanned over {sorted(trips)} steps")
        (trip,) = trips
        self.bound(trip, body)
        collected: list[list[str]] = [[] for _ in range(slices)]
        for t in range(trip):
            parts = []
            for i, (name, axis, back) in enumerate(zip(scanned, axes, backwards, strict=True)):
                at = trip - 1 - t if back else t
                index = self.constant(f"at.{at}", np.array(at, np.int64))
                parts.append(self.add("Gather", [name, index], f"{self.prefix}.{t}.in.{i}", axis=axis))
            outputs = self.step(body, t, [*states, *parts])
            states = outputs[: len(states)]
            for values, name in zip(collected, outputs[len(states) :], strict=True):
                values.append(name)
        self.finish(states, collected, self.attribute("scan_output_axes", [0] * slices),
                    self.attribute("scan_output_directions", [0] * slices))  # fmt: skip
        return self.nodes

    def loop(self) -> list[Any]:
        """Loop-13 whose trip count is a constant and whose condition stays true."""
        body, names = self.attribute("body"), [*self.node.input, "", ""][: max(len(self.node.input), 2)]
        if not names[0]:
            raise _Refused("it has no trip count: only loops of a fixed number of steps are unrolled")
        if names[0] not in self.known.constants:
            raise _Refused(f"its trip count ({names[0]}) is computed at run time; it must be a constant")
        trip = int(self.known.constants[names[0]].reshape(-1)[0])
        if names[1] and not self.known.constants.get(names[1], np.array(False)).all():
            raise _Refused(f"its condition ({names[1]}) is computed at run time or false; it must be true")
        self.refuse_condition(body)
        self.bound(trip, body)
        states = list(names[2:])
        collected: list[list[str]] = [[] for _ in range(len(body.output) - 1 - len(states))]
        true = self.constant("true", np.array(True))
        for t in range(trip):
            outputs = self.step(body, t, [self.constant(f"at.{t}", np.array(t, np.int64)), true, *states])[1:]
            states = outputs[: len(states)]
            for values, name in zip(collected, outputs[len(states) :], strict=True):
                values.append(name)
        self.finish(states, collected, [0] * len(collected), [0] * len(collected))
        return self.nodes

    def refuse_condition(self, body: Any) -> None:
        """The condition a step hands on must be true, or the one that it was given."""
        known = _Known.of(body).constants
        source, producers = body.output[0].name, {n: node for node in body.node for n in node.output}
        while source in producers and producers[source].op_type == "Identity":
            source = producers[source].input[0]
        constant = known.get(source, self.known.constants.get(source))
        if source != body.input[1].name and (constant is None or not constant.all()):
            raise _Refused(
                "it may stop early, by a condition that is computed; only fixed trip counts are unrolled"
            )

    def length(self, name: str, axis: int) -> int:
        """Steps along the scanned axis of a value."""
        shape = self.known.shapes.get(name)
        if shape is None or not -len(shape) <= axis < len(shape) or shape[axis] < 0:
            raise _Refused(f"the length of {name} along axis {axis} is not known when compiling")
        return shape[axis]

    def bound(self, trip: int, body: Any) -> None:
        """Refuse no steps at all, and too many."""
        if trip < 1:
            raise _Refused(f"it runs {trip} steps")
        total = trip * (len(body.node) + len(body.input) + len(body.output))
        if total > self.room:
            raise _Refused(
                f"unrolled it would be {total} nodes ({trip} steps); there is room for {self.room}"
            )

    def step(self, body: Any, t: int, arguments: Sequence[str]) -> list[str]:
        """One copy of the body; returns the names of its outputs."""
        renamed = {value.name: name for value, name in zip(body.input, arguments, strict=True)}
        renamed |= {name: f"{self.prefix}.{t}.{name}" for node in body.node for name in node.output if name}
        for tensor in body.initializer:
            renamed[tensor.name] = f"{self.prefix}.{tensor.name}"
            if t == 0:
                copy = type(tensor)()
                copy.CopyFrom(tensor)
                copy.name = renamed[tensor.name]
                self.constants.append(copy)
        for node in body.node:
            copy = type(node)()
            copy.CopyFrom(node)
            copy.name = f"{self.prefix}.{t}.{node.name or node.output[0]}"
            _rename(copy, renamed)
            self.nodes.append(copy)
        return [renamed.get(value.name, value.name) for value in body.output]

    def finish(
        self,
        states: Sequence[str],
        collected: Sequence[Sequence[str]],
        axes: Sequence[int],
        back: Sequence[int],
    ) -> None:
        """Give the last states and the joined slices the names that the loop's outputs had."""
        for name, output in zip(states, self.node.output, strict=False):
            if output:
                self.add("Identity", [name], output)
        for values, output, axis, reverse in zip(
            collected, self.node.output[len(states) :], axes, back, strict=False
        ):
            if not output:
                continue
            where = self.constant(f"axis.{axis}", np.array([axis], np.int64))
            parts = [self.add("Unsqueeze", [n, where], f"{output}.{t}") for t, n in enumerate(values)]
            self.add("Concat", parts[::-1] if reverse else parts, output, axis=axis)


def _rename(node: Any, renamed: Mapping[str, str]) -> None:
    """Other names for what a node reads and writes, in the graphs it holds too (there only what comes from outside)."""
    node.input[:] = [renamed.get(name, name) for name in node.input]
    node.output[:] = [renamed.get(name, name) for name in node.output]
    for graph in _graphs(node):
        own = {value.name for value in (*graph.input, *graph.initializer)}
        own |= {name for inner in graph.node for name in inner.output}
        outside = {name: new for name, new in renamed.items() if name not in own}
        for inner in graph.node:
            _rename(inner, outside)
        for value in graph.output:
            value.name = outside.get(value.name, value.name)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
