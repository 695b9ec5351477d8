"""ONNX Attention (opset 23 to 25) spelled as the nodes it means: reshapes, MatMul, Mul, Softmax, MatMul.

Heads on an axis of their own (grouped queries, multi-query), past keys and values, soft caps, masks of truth values or
added ones, causal masks, sliding windows, padded caches. What is masked is a truth value for every score, so that
`compilers.attention` can make one `RowAttention` of it. A query without any key gives zeros, as ONNX says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from trine.compilers.attention import HIDDEN, LEAST, NEVER
from trine.compilers.graph import Array
from trine.compilers.loops import REFUSED

LARGEST_MASK = 1 << 22  # scores: a few bytes of a file could ask for more
BEFORE_MASK, WITH_MASK, WEIGHTS = (0, 1), 2, 3  # qk_matmul_output_mode


class _Refused(Exception):
    """Why a node stays."""


def attention_spelled(ir: Any) -> Any:
    """An `onnx_ir.Model` without Attention nodes; shapes must be inferred already."""
    import onnx
    import onnx_ir

    if not any(_is_attention(node) for node in ir.graph):
        return ir
    model = onnx.shape_inference.infer_shapes(onnx_ir.serde.serialize_model(ir))
    graph, kept = model.graph, []
    known = {v.name: _shape(v.type) for v in (*graph.input, *graph.value_info, *graph.output)}
    constants = {t.name: t for t in graph.initializer}
    known |= {name: tuple(t.dims) for name, t in constants.items()}
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    kinds |= {name: t.data_type for name, t in constants.items()}
    for index, node in enumerate(graph.node):
        if not _is_attention(node):
            kept.append(node)
            continue
        spelling = _Spelling(node, f"{node.name or 'Attention'}_{index}", known, kinds, constants)
        try:
            spelling.write()
        except _Refused as reason:
            node.attribute.append(onnx.helper.make_attribute(REFUSED, str(reason)))
            kept.append(node)
            continue
        kept += spelling.nodes
        graph.initializer.extend(spelling.constants)
    del graph.node[:]
    graph.node.extend(kept)
    return onnx_ir.serde.deserialize_model(model)


def _is_attention(node: Any) -> bool:
    return node.op_type == "Attention" and node.domain in ("", "ai.onnx")


def _shape(kind: Any) -> tuple[int, ...]:
    """Sizes, 0 for one that is open."""
    return tuple(int(d.dim_value) for d in kind.tensor_type.shape.dim)


class _Spelling:
    """One Attention node and the nodes that mean it."""

    def __init__(
        self, node: Any, name: str, known: Mapping[str, Sequence[int]], kinds: Mapping[str, int],
        given: Mapping[str, Any],
    ) -> None:  # fmt: skip
        from onnx import helper

        self.name, self.known, self.kinds, self.given = name, known, kinds, given
        self.inputs = [*node.input, *[""] * (7 - len(node.input))]
        self.outputs = [*node.output, *[""] * (4 - len(node.output))]
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.dtype = helper.tensor_dtype_to_np_dtype(kinds.get(node.input[0], 1))

    def emit(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append a node with one output; returns its name."""
        from onnx import helper

        output = output or f"{self.name}_{len(self.nodes)}_{op}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{output}_node", **attributes))
        return output

    def constant(self, value: Array) -> str:
        """Store an initialiser; returns its name."""
        from onnx import numpy_helper

        name = f"{self.name}_constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value: float) -> str:
        """A real constant."""
        return self.constant(np.array(value, self.dtype))

    def sizes(self, name: str, rank: Sequence[int]) -> tuple[int, ...]:
        """The shape of an input; all but its first axis must be known."""
        shape = tuple(self.known.get(name, ()))
        if len(shape) not in rank or any(size < 1 for size in shape[1:]):
            raise _Refused(f"the shape of {name} is not known, or not of {' or '.join(map(str, rank))} axes")
        return shape

    def split(self, name: str, heads: int) -> tuple[str, tuple[int, int, int]]:
        """An input as (batch, heads, length, size), and the last three of these."""
        shape = self.sizes(name, (3, 4))
        if len(shape) == 4:
            return name, (shape[1], shape[2], shape[3])
        if heads < 1 or shape[2] % heads:
            raise _Refused(f"{shape[2]} values of {name} are not those of {heads} heads")
        apart = self.emit("Reshape", [name, self.constant(np.array([0, 0, heads, -1], np.int64))])
        turned = self.emit("Transpose", [apart], perm=[0, 2, 1, 3])
        return turned, (heads, shape[1], shape[2] // heads)

    def write(self) -> None:
        """All nodes. Raises _Refused for what they cannot say."""
        a = self.attributes
        q, (heads, rows, size) = self.split(self.inputs[0], int(a.get("q_num_heads", 0)))
        k, (groups, keys, _) = self.split(self.inputs[1], int(a.get("kv_num_heads", 0)))
        v, _ = self.split(self.inputs[2], int(a.get("kv_num_heads", 0)))
        past = 0
        if self.inputs[4]:
            past = self.sizes(self.inputs[4], (4,))[2]
            k = self.emit("Concat", [self.inputs[4], k], self.outputs[1], axis=2)
            v = self.emit("Concat", [self.inputs[5], v], self.outputs[2], axis=2)
        else:
            for x, present in ((k, self.outputs[1]), (v, self.outputs[2])):
                if present:
                    self.emit("Identity", [x], present)
        if heads != groups:
            if heads % groups:
                raise _Refused(f"{heads} heads of queries on {groups} of keys")
            each = self.constant(np.repeat(np.arange(groups), heads // groups))
            k, v = (self.emit("Gather", [x, each], axis=1) for x in (k, v))
        scores = self.scores(q, k, float(a.get("scale", 0.0)) or size**-0.5)
        y = self.emit("MatMul", [self.weights(scores, rows, keys + past, past), v])
        if len(self.known[self.inputs[0]]) == 3:
            turned = self.emit("Transpose", [y], perm=[0, 2, 1, 3])
            joined = self.constant(np.array([0, 0, -1], np.int64))
            self.emit("Reshape", [turned, joined], self.outputs[0])
        else:
            self.nodes[-1].output[0] = self.outputs[0]

    def scores(self, q: str, k: str, scale: float) -> str:
        """Scaled and capped products of queries and keys."""
        scores = self.emit("MatMul", [q, self.emit("Transpose", [k], perm=[0, 1, 3, 2])])
        scores = self.emit("Mul", [scores, self.number(scale)])
        cap = float(self.attributes.get("softcap", 0.0))
        if cap > 0:
            bent = self.emit("Tanh", [self.emit("Div", [scores, self.number(cap)])])
            scores = self.emit("Mul", [bent, self.number(cap)])
        return scores

    def weights(self, scores: str, rows: int, keys: int, past: int) -> str:
        """What each key counts: softmax over those that are allowed."""
        mode, wanted = int(self.attributes.get("qk_matmul_output_mode", 0)), self.outputs[3]
        if wanted and mode in BEFORE_MASK:
            self.emit("Identity", [scores], wanted)
        allowed, some, bias = self.allowed(rows, keys, past)
        if bias:
            scores = self.emit("Add", [scores, bias])
        if wanted and mode == WITH_MASK:
            shown = self.emit("Where", [allowed, scores, self.number(-np.inf)]) if allowed else scores
            self.emit("Identity", [shown], wanted)
        if allowed:
            scores = self.emit("Where", [allowed, scores, self.number(HIDDEN)])
        weights = self.emit("Softmax", [scores], axis=-1)
        if allowed and not some:
            weights = self.emit("Where", [allowed, weights, self.number(NEVER)])
        if bias:  # a row of -inf
            weights = self.emit("Where", [self.emit("IsNaN", [weights]), self.number(NEVER), weights])
        if wanted and mode == WEIGHTS:
            self.emit("Identity", [weights], wanted)
        return weights

    def allowed(self, rows: int, keys: int, past: int) -> tuple[str, bool, str]:
        """Truth values of the keys that count ("" for all), whether every query surely has one, and what is added."""
        if rows * keys > LARGEST_MASK:
            raise _Refused(f"a mask of {rows} x {keys} values")
        count = self.inputs[6]
        fixed, parts = np.ones((rows, keys), bool), []
        ahead = np.arange(keys)[None, :] - np.arange(rows)[:, None]
        for most, sign in self.limits():  # sign * (key - query - offset) <= most
            if not count:
                fixed &= sign * (ahead - past) <= most
                continue
            offset = self.emit("Sub", [self.counts(count), self.constant(np.array(rows, np.int64))])
            bound = self.emit("Add", [offset, self.constant(np.array(sign * most, np.int64))])
            op = "LessOrEqual" if sign > 0 else "GreaterOrEqual"
            parts.append(self.emit(op, [self.constant(ahead), bound]))
        if count:
            parts.append(self.emit("Less", [self.constant(np.arange(keys)), self.counts(count)]))
        mask, truth, bias = self.mask(keys)
        if truth is not None:
            fixed = fixed & truth
        parts += [mask] if mask else []
        parts += [] if fixed.all() else [self.constant(fixed)]
        while len(parts) > 1:
            parts = [self.emit("And", parts[:2]), *parts[2:]]
        sure = not count and not mask and bool(fixed.any(axis=-1).all())
        return (parts[0] if parts else ""), sure, bias

    def limits(self) -> list[tuple[int, int]]:
        """(most, sign) of the causal mask and of both sides of a window."""
        left, right = (int(self.attributes.get(f"{side}_window_size", -1)) for side in ("left", "right"))
        found = [(0, 1)] if self.attributes.get("is_causal", 0) else []
        return [*found, *([(right, 1)] if right >= 0 else []), *([(left, -1)] if left >= 0 else [])]

    def counts(self, name: str) -> str:
        """Numbers of keys, one an example, beside the scores."""
        return self.emit("Reshape", [name, self.constant(np.array([-1, 1, 1, 1], np.int64))])

    def mask(self, keys: int) -> tuple[str, Array | None, str]:
        """The mask input: as computed truth values, as known ones, or as what is added."""
        from onnx import TensorProto, numpy_helper

        name = self.inputs[3]
        if not name:
            return "", None, ""
        shape = tuple(self.known.get(name, ()))
        truth = self.kinds.get(name) == TensorProto.BOOL
        missing = keys - shape[-1] if shape else 0
        if missing < 0 or prod(shape[:-1]) * keys > LARGEST_MASK:
            raise _Refused(f"mask {name} of shape {shape} for {keys} keys")
        if name in self.given:
            value = numpy_helper.to_array(self.given[name])
            after = [*[(0, 0)] * (value.ndim - 1), (0, missing)]
            value = np.pad(value, after, constant_values=False if truth else HIDDEN)
            if truth or bool(((value == 0) | (value <= LEAST)).all()):
                return "", value if truth else value == 0, ""
            return "", None, self.constant(np.maximum(value, np.array(HIDDEN, value.dtype)))
        if missing > 0 and not all(shape):
            raise _Refused(f"mask {name} is shorter than the keys")
        if missing > 0:
            rest = np.full((*shape[:-1], missing), False if truth else HIDDEN, bool if truth else self.dtype)
            name = self.emit("Concat", [name, self.constant(rest)], axis=-1)
        return (name, None, "") if truth else ("", None, name)
