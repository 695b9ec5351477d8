"""Bring an ONNX model into the form that is lowered: onnxscript's optimiser, with what it leaves undone.

Functions are inlined, constants and shape arithmetic folded (the batch is 1 by now), pads and batch norms
folded into the layer before them, batch norms that stand alone written as Mul and Add, dead nodes removed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import numpy as np

from trine.compilers.loops import unrolled
from trine.compilers.onnx_attention import attention_spelled
from trine.compilers.onnx_quantized import spell_qlinear
from trine.devices.errors import InputError

# Elements. Weights that a constant subgraph computes (transposed, quantised) are folded up to this size, and
# nothing bigger is computed: a file of a few bytes could ask for any size.
LARGEST_FOLDED = 1 << 24


def normalise(model: Any, name: str) -> Any:
    """`onnx.ModelProto` to a normalised `onnx_ir.Model`; InputError when the file cannot be processed."""
    try:
        with quiet("onnxscript", "onnx_ir"):
            return _optimised(model)
    except Exception as reason:  # whatever a malformed file makes the library raise
        first = str(reason).strip().split("\n")[0]
        raise InputError(f"{name}: cannot be processed: {first or type(reason).__name__}") from reason


def _optimised(model: Any) -> Any:
    import onnx_ir
    from onnx_ir.passes import common
    from onnxscript.optimizer import optimize_ir
    from onnxscript.rewriter import RewritePass

    limits = {"input_size_limit": LARGEST_FOLDED, "output_size_limit": LARGEST_FOLDED}
    spell_qlinear(model)
    ir = onnx_ir.serde.deserialize_model(model)
    common.RemoveInitializersFromInputsPass()(ir)
    optimize_ir(ir, should_fold=_foldable, **limits)
    ir = attention_spelled(unrolled(ir))
    RewritePass(_rules())(ir)
    optimize_ir(ir, should_fold=_foldable, inline=False, **limits)
    return ir


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep libraries' warnings off stderr: what matters of them is raised, or reported by node."""
    before = {name: logging.getLogger(name).level for name in loggers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in loggers:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


# A few bytes of these ask for any amount of memory; the optimiser cannot always tell how much.
EXPANDING = frozenset({"ConstantOfShape", "Expand", "Pad", "Range", "Resize", "Tile"})


# An attribute of these asks for any amount of time.
ENDLESS = frozenset({"TfIdfVectorizer"})


def _foldable(node: Any) -> bool | None:
    """Whether the optimiser may compute a node of constants; None leaves it to its own rules."""
    if node.op_type == "DequantizeLinear":  # the reader keeps the integers
        return False
    if node.op_type in ENDLESS:
        return False
    shapes = [output.shape for output in node.outputs]
    known = all(shape is not None and all(isinstance(d, int) for d in shape) for shape in shapes)
    if known and sum(prod(shape) for shape in shapes) > LARGEST_FOLDED:
        return False
    return known if node.op_type in EXPANDING else None


@cache
def _rules() -> Any:
    """Our rules beside the library's: dense layers as Gemm, batch norms standing alone."""
    from onnxscript.rewriter import pattern

    class Dense(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # the library is untyped
        """x w + c of constant matrix and bias is a Gemm; the library's own rule takes activations for c too."""

        def pattern(self, op: Any, x: Any, w: Any, c: Any) -> Any:
            return op.Add(op.MatMul(x, w), c)

        def check(self, context: Any, x: Any, w: Any, c: Any) -> Any:
            result = pattern.MatchResult()
            if any(value.shape is None or len(value.shape) != 2 for value in (x, w)):
                return result.fail("no matrices")
            if w.const_value is None or c.const_value is None:
                return result.fail("computed at run time")
            return result

        def rewrite(self, op: Any, x: Any, w: Any, c: Any) -> Any:
            return op.Gemm(x, w, c)

    class LoneBatchNorm(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # the library is untyped
        """y = x * scale + offset, scale = gamma / sqrt(var + epsilon) (ONNX BatchNormalization-15)."""

        def pattern(self, op: Any, x: Any) -> Any:
            return op.BatchNormalization(x, _allow_other_inputs=True, _outputs=["normalised"])

        def check(self, context: Any, x: Any, normalised: Any) -> Any:
            node, result = normalised.producer(), pattern.MatchResult()
            if len(node.outputs) != 1 or node.attributes.get_int("training_mode", 0):
                return result.fail("training mode")
            if x.shape is None or any(p is None or p.const_value is None for p in node.inputs[1:]):
                return result.fail("parameters computed at run time")
            return result

        def rewrite(self, op: Any, x: Any, normalised: Any) -> Any:
            node = normalised.producer()
            gamma, beta, mean, variance = (p.const_value.numpy().astype(np.float64) for p in node.inputs[1:])
            scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
            shape = (-1,) + (1,) * (len(x.shape) - 2)
            return op.Add(
                op.Mul(x, _initializer(op, scale.reshape(shape), f"{normalised.name}.scale")),
                _initializer(op, (beta - mean * scale).reshape(shape), f"{normalised.name}.offset"),
            )

    return [Dense().rule(), LoneBatchNorm().rule()]


def _initializer(op: Any, value: Any, name: str) -> Any:
    import onnx_ir

    return op.initializer(onnx_ir.tensor(value.astype(np.float32)), name=name)
