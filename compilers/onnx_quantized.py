"""Models that arrive quantised: QLinear operators spelled as Dequantize, the float operator, Quantize.

That is what ONNX and onnxruntime say they mean. The integers of their weights stay at hand in `Graph.stored`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Form:
    """Where a QLinear operator has what: (value, scale, zero point) of each operand, the bias, the output's scale."""

    op: str
    operands: tuple[tuple[int, int, int], ...]
    output: int
    bias: int | None = None


_ONE, _TWO = ((0, 1, 2),), ((0, 1, 2), (3, 4, 5))
_FORMS = {
    "QLinearConv": _Form("Conv", _TWO, 6, bias=8),
    "QLinearMatMul": _Form("MatMul", _TWO, 6),
    "QGemm": _Form("Gemm", _TWO, 7, bias=6),
    "QLinearAdd": _Form("Add", _TWO, 6),
    "QLinearMul": _Form("Mul", _TWO, 6),
    "QLinearSigmoid": _Form("Sigmoid", _ONE, 3),
    "QLinearLeakyRelu": _Form("LeakyRelu", _ONE, 3),
    "QLinearGlobalAveragePool": _Form("GlobalAveragePool", _ONE, 3),
    "QLinearAveragePool": _Form("AveragePool", _ONE, 3),
    "QLinearSoftmax": _Form("Softmax", _ONE, 3),
}
_OWN = {"channels_last", "opset"}  # attributes that only onnxruntime's forms have


def spell_qlinear(model: Any) -> None:
    """Replace every QLinear operator in place; others stay for the reader to name."""
    nodes = []
    for index, node in enumerate(model.graph.node):
        name = f"{node.name or node.op_type}_{index}"
        if node.domain not in ("", "ai.onnx", "com.microsoft") or any(
            a.name == "channels_last" and a.i for a in node.attribute
        ):
            nodes.append(node)
        elif node.op_type in _FORMS:
            nodes += _Spelling(node, name).nodes(_FORMS[node.op_type])
        elif node.op_type == "QLinearConcat":
            triples = tuple((i, i + 1, i + 2) for i in range(2, len(node.input) - 2, 3))
            nodes += _Spelling(node, name).nodes(_Form("Concat", triples, 0))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Spelling:
    """One QLinear operator."""

    def __init__(self, node: Any, name: str) -> None:
        self.node, self.name = node, name
        self.attributes = {a.name: a for a in node.attribute if a.name not in _OWN}

    def nodes(self, form: _Form) -> list[Any]:
        """The nodes in order."""
        from onnx import helper

        made = [
            self.dequantize(f"value{i}", self.given(places), self.axis(form.op) if i else {})
            for i, places in enumerate(form.operands)
        ]
        if form.bias is not None and self.given([form.bias]):
            scale = f"{self.name}_bias_scale"
            made.append(helper.make_node("Mul", [self.node.input[1], self.node.input[4]], [scale], scale))
            made.append(self.dequantize("bias", [self.node.input[form.bias], scale], {"axis": 0}))
        values = [node.output[0] for node in made if node.op_type == "DequantizeLinear"]
        attributes = {key: helper.get_attribute_value(a) for key, a in self.attributes.items()}
        real = f"{self.name}_real"
        made.append(helper.make_node(form.op, values, [real], self.name, **attributes))
        ends = self.given(range(form.output, form.output + 2))
        if not ends:  # QGemm without an output scale: a float output
            made[-1].output[0] = self.node.output[0]
            return made
        return [*made, helper.make_node("QuantizeLinear", [real, *ends], list(self.node.output), f"{real}_q")]

    def given(self, places: Sequence[int]) -> list[str]:
        """The inputs that are there."""
        return [self.node.input[k] for k in places if k < len(self.node.input) and self.node.input[k]]

    def axis(self, op: str) -> dict[str, int]:
        """Which axis of the second operand has a scale of its own for each place, where it has them."""
        turned = op == "Gemm" and "transB" in self.attributes and self.attributes["transB"].i
        axes = {"Conv": 0, "MatMul": -1, "Gemm": 0 if turned else 1}
        return {"axis": axes[op]} if op in axes else {}

    def dequantize(self, role: str, inputs: Sequence[str], axis: dict[str, int]) -> Any:
        """A DequantizeLinear of one operand."""
        from onnx import helper

        name = f"{self.name}_{role}"
        return helper.make_node("DequantizeLinear", list(inputs), [name], name, **axis)
