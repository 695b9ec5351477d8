"""C of the operators that work element by element, in floats, integers or truth values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.compilers.operators.gelu import CUBE
from trine.devices.errors import InputError
from trine.edge.c.literals import c_literal
from trine.edge.c.loops import broadcast_loops
from trine.edge.c.writer import C_TYPES
from trine.edge.float32 import Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Attributes = Mapping[str, Any]


def number(value: float, dtype: str = "float32") -> str:
    """A C literal of a type."""
    return c_literal(np.dtype(dtype).type(value))


def _clip(a: Attributes, dtype: str) -> str:
    kind, text = np.dtype(dtype), "x"
    least, most = (-np.inf, np.inf) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    if a["min"] > least:
        low = number(a["min"], dtype)
        text = f"(x < {low} ? {low} : x)"
    if a["max"] < most:
        high = number(a["max"], dtype)
        text = f"({text} > {high} ? {high} : {text})"
    return text


def _magnitude(a: Attributes, dtype: str) -> str:
    if np.dtype(dtype).kind == "u":
        return "x"
    return "(x < 0 ? -x : x)" if dtype.startswith("float") else f"(x < 0 ? {_negative(a, dtype)} : x)"


def _negative(a: Attributes, dtype: str) -> str:
    return "-x" if dtype.startswith("float") else f"({C_TYPES[dtype]})((uint64_t)0 - (uint64_t)x)"


def _sign(a: Attributes, dtype: str) -> str:
    kind = np.dtype(dtype).kind
    if kind == "u":
        return "x > 0"
    return "x != x ? x : (x > 0) - (x < 0)" if kind == "f" else "(x > 0) - (x < 0)"


def _gelu(a: Attributes, dtype: str) -> str:
    if a["approximate"] == "tanh":
        inner = f"trine_tanhf({number(sqrt(2 / pi))} * (x + {number(CUBE)} * x * x * x))"
    else:
        inner = f"trine_erff(x / {number(sqrt(2))})"
    return f"0.5f * x * (1.0f + {inner})"


def _infinite(a: Attributes, dtype: str) -> str:
    signs = [text for name, text in (("detect_negative", "x < 0"), ("detect_positive", "x > 0")) if a[name]]
    return f"x == x && x - x != 0 && ({' || '.join(signs)})" if signs else "0 * (x > 0)"


def _function(name: str) -> Callable[[Attributes, str], str]:
    return lambda a, dtype: f"trine_{name}f(x)"


def _text(template: str) -> Callable[[Attributes, str], str]:
    """An expression in x; {name} is an attribute as a literal."""
    return lambda a, dtype: template.format(
        **{name: number(value) for name, value in a.items() if name != "align"}
    )


SOFTPLUS = "(x > 0.0f ? x : 0.0f) + trine_log1pf(trine_expf(-trine_absf(x)))"

# By operator: the C of one value x, from the attributes and the NumPy type.
UNARY: Mapping[str, Callable[[Attributes, str], str]] = {
    "Abs": _magnitude,
    "Ceil": _function("ceil"),
    "Celu": _text("x < 0.0f ? {alpha} * trine_expm1f(x / {alpha}) : x"),
    "Clip": _clip,
    "Cos": _function("cos"),
    "Elu": _text("x < 0.0f ? {alpha} * trine_expm1f(x) : x"),
    "Erf": _function("erf"),
    "Exp": _function("exp"),
    "Floor": _function("floor"),
    "Gelu": _gelu,
    "HardSigmoid": _text("trine_clipf({alpha} * x + {beta}, 0.0f, 1.0f)"),
    "HardSwish": lambda a, dtype: f"x * trine_clipf({number(1 / 6)} * x + 0.5f, 0.0f, 1.0f)",
    "IsInf": _infinite,
    "IsNaN": _text("x != x"),
    "LeakyRelu": _text("x < 0.0f ? {alpha} * x : x"),
    "Log": _function("log"),
    "Mish": _text(f"x * trine_tanhf({SOFTPLUS})"),
    "Neg": _negative,
    "Not": _text("!x"),
    "Reciprocal": _text("1.0f / x"),
    "Relu": _text("x < 0 ? 0 : x"),
    "Round": _function("round"),
    "Selu": _text("{gamma} * (x < 0.0f ? {alpha} * trine_expm1f(x) : x)"),
    "Sigmoid": _function("sigmoid"),
    "Sign": _sign,
    "Sin": _function("sin"),
    "Softplus": _text(SOFTPLUS),
    "Softsign": _text("x / (1.0f + trine_absf(x))"),
    "Sqrt": _function("sqrt"),
    "Swish": _text("x * trine_sigmoidf({alpha} * x)"),
    "Tanh": _function("tanh"),
    "ThresholdedRelu": _text("x > {alpha} ? x : 0.0f"),
}


def unary_layer(layer: LayerWriter, step: Step) -> None:
    x, y = layer.tensor(step.inputs[0]), layer.tensor(step.output)
    text = UNARY[step.attributes["op"]](step.attributes["of"], x.dtype)
    need_functions(layer, step, text)
    layer.line(f"for (int32_t i = 0; i < {x.size}; i++) {{")
    layer.line(f"    {C_TYPES[x.dtype]} x = x0[i];")
    layer.line(f"    y[i] = ({C_TYPES[y.dtype]})({text});")
    layer.line("}")


def need_functions(layer: LayerWriter, step: Step, text: str) -> None:
    """Ask for the elementary functions if the text calls any. InputError where they would be wanted in float64."""
    if "trine_" not in text:
        return
    layer.need("float_math")
    doubles = [n for n in (*step.inputs, *step.outputs) if layer.tensor(n).dtype == "float64"]
    if doubles and "f(" in text:
        raise InputError(
            f"node {step.name} ({step.attributes['op']}): {doubles[0]} is float64; the C has this function in float32"
        )


def _wrapping(sign: str) -> Callable[[Attributes, str], str]:
    """+, - or *; of integers by their unsigned counterparts, which wrap."""
    return lambda a, dtype: f"a {sign} b" if dtype.startswith("float") else f"(uint64_t)a {sign} (uint64_t)b"


def _quotient(a: Attributes, dtype: str) -> str:
    kind = np.dtype(dtype).kind
    return {"f": "a / b", "u": "b == 0 ? 0 : a / b", "i": "trine_divide(a, b)"}[kind]


def _remainder(a: Attributes, dtype: str) -> str:
    kind, fmod = np.dtype(dtype).kind, a["fmod"]
    if kind == "u":
        return "b == 0 ? 0 : a % b"
    return f"trine_{'fmod' if fmod else 'mod'}{'' if kind == 'f' else '_whole'}(a, b)"


# By operator: the C of values a and b, from the attributes and the NumPy type.
BINARY: Mapping[str, Callable[[Attributes, str], str]] = {
    "Add": _wrapping("+"),
    "And": _text("a && b"),
    "Div": _quotient,
    "Equal": _text("a == b"),
    "Greater": _text("a > b"),
    "GreaterOrEqual": _text("a >= b"),
    "Less": _text("a < b"),
    "LessOrEqual": _text("a <= b"),
    "Mod": _remainder,
    "Mul": _wrapping("*"),
    "Or": _text("a || b"),
    "PRelu": _text("a < 0 ? b * a : a"),
    "Pow": _text("trine_powd((double)a, (double)b)"),
    "Sub": _wrapping("-"),
    "Xor": _text("!a != !b"),
}
POWERS = {2.0: "a * a", 0.5: "trine_sqrtf(a)"}  # by a constant exponent, of float32


def places(layer: LayerWriter, step: Step) -> tuple[list[str], list[str], str]:
    """The element of each operand and its NumPy type, and the indent of the loops' body."""
    values = [value for value in operands(layer, step) if value is not None]
    at, indent = broadcast_loops(layer, layer.tensor(step.output).shape, [value.shape for value in values])
    elements = [f"{value.pointer}[{place}]" for value, place in zip(values, at, strict=True)]
    return elements, [value.dtype for value in values], indent


def power_text(step: Step, dtype: str) -> str | None:
    """A shorter way to a constant power."""
    constant = step.constants.get("i1")
    if constant is None or constant.size != 1 or dtype != "float32":
        return None
    return POWERS.get(float(constant.reshape(())))


def binary_layer(layer: LayerWriter, step: Step) -> None:
    op, of = step.attributes["op"], step.attributes["of"]
    elements, types, indent = places(layer, step)
    text = (power_text(step, types[0]) if op == "Pow" else None) or BINARY[op](of, types[0])
    if "trine_" in text:
        layer.need("float_math")
    kinds = [C_TYPES[dtype] for dtype in types]
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    {kinds[0]} a = {elements[0]};")
    if re.search(r"\bb\b", text):
        layer.line(f"{indent}    {kinds[1]} b = {elements[1]};")
    layer.line(f"{indent}    *y++ = ({layer.kind(step.output)})({text});")
    layer.line(f"{indent}}}")


def extreme_layer(layer: LayerWriter, step: Step) -> None:
    """Min or Max; NaN wins."""
    elements, types, indent = places(layer, step)
    sign = "<" if step.attributes["op"] == "Min" else ">"
    kind, unordered = C_TYPES[types[0]], " || v != v" if types[0].startswith("float") else ""
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    {kind} best = {elements[0]};")
    for i, element in enumerate(elements[1:]):
        layer.line(f"{indent}    {'' if i else kind + ' '}v = {element};")
        layer.line(f"{indent}    best = v {sign} best{unordered} ? v : best;")
    layer.line(f"{indent}    *y++ = best;")
    layer.line(f"{indent}}}")


def where_layer(layer: LayerWriter, step: Step) -> None:
    elements, _, indent = places(layer, step)
    layer.line(f"{indent}*y++ = {elements[0]} ? {elements[1]} : {elements[2]};")


def cast_layer(layer: LayerWriter, step: Step) -> None:
    """Integers wrap into a narrower type; floats saturate, NaN becomes 0."""
    x, to = layer.tensor(step.inputs[0]), np.dtype(step.attributes["of"]["to"])
    kind = C_TYPES[to.name]
    if to.kind == "b":
        text = "x != 0"
    elif to.kind == "f" or np.dtype(x.dtype).kind != "f":
        text = f"({kind})x"
    else:
        ends = np.iinfo(to)
        low, high = (number(float(v), x.dtype) for v in (ends.min, ends.max + 1.0))
        text = f"x != x ? 0 : x >= {high} ? {c_literal(ends.max + to.type(0))} : "
        text += f"x <= {low} ? {c_literal(ends.min + to.type(0))} : ({kind})x"
    layer.line(f"for (int32_t i = 0; i < {x.size}; i++) {{")
    layer.line(f"    {C_TYPES[x.dtype]} x = x0[i];")
    layer.line(f"    y[i] = ({kind})({text});")
    layer.line("}")


FLOAT32: Mapping[str, Write] = {
    **dict.fromkeys(UNARY, unary_layer),
    **dict.fromkeys(BINARY, binary_layer),
    **dict.fromkeys(("Min", "Max"), extreme_layer),
    "Cast": cast_layer,
    "Where": where_layer,
}
IN_PLACE = frozenset({*UNARY, *BINARY, "Min", "Max", "Where"}) - {
    "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual",
}  # fmt: skip
