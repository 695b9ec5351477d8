"""Short vectors as values inside numba functions: 64 bytes of float64 or float32, operations written lane by lane.

LLVM cannot prove that the eight rows of a butterfly are apart, so it would not vectorise loops over them; with
these the order of loads and stores is ours. On processors with shorter registers LLVM splits each in two or four.
"""

from __future__ import annotations

import operator
from importlib import import_module
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.typing import signature
from numba.extending import intrinsic as _intrinsic
from numba.extending import lower_builtin, models, register_model, type_callable

ir: Any = import_module("llvmlite.ir")  # has no types, as numba
intrinsic: Any = _intrinsic  # numba has no types of its own
BYTES = 64


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """`lanes` numbers of one kind."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype} x {self.lanes})")


class VectorModel(models.PrimitiveModel):  # type: ignore[misc]  # as above
    """Held as an LLVM vector."""

    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _llvm(fe_type))


register_model(Vector)(VectorModel)


def _llvm(vector: Any) -> Any:
    scalar = ir.DoubleType() if vector.dtype.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(scalar, vector.lanes)


def _place(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: Any, lanes: int
) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    address = builder.gep(data, [index])
    return builder.bitcast(address, ir.VectorType(element, lanes).as_pointer())


def _call(builder: Any, name: str, vector: Any, args: Any) -> Any:
    """LLVM's own function `name` on vectors."""
    kind = _llvm(vector)
    full = f"llvm.{name}.v{vector.lanes}f{vector.dtype.bitwidth}"
    made = ir.FunctionType(kind, [kind] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, made, full), args)


def _spread(builder: Any, scalar: Any, kind: Any, lanes: int) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, first, zeros)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector at array[index:]; the array is contiguous."""
    made = Vector(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], args[0], args[1], _llvm(made).element, made.lanes)
        return builder.load(place, align=made.dtype.bitwidth // 8)

    return signature(made, array, types.intp), generate


@intrinsic
def load_as(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """The numbers at array[index:], unsigned integers or reals, as a vector of `like`'s kind."""
    kind = array.dtype

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = _llvm(like)
        element = context.get_value_type(kind)
        found = builder.load(
            _place(context, builder, sig.args[0], args[0], args[1], element, like.lanes),
            align=kind.bitwidth // 8,
        )
        if isinstance(kind, types.Integer):
            wide = ir.VectorType(ir.IntType(32), like.lanes)
            return builder.sitofp(builder.zext(found, wide), target)
        if kind.bitwidth == like.dtype.bitwidth:
            return found
        convert = builder.fpext if kind.bitwidth < like.dtype.bitwidth else builder.fptrunc
        return convert(found, target)

    return signature(like, array, types.intp, like), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """array[index:] = vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], args[0], args[1], _llvm(vector).element, vector.lanes)
        builder.store(args[2], place, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """The number in all lanes."""
    made = Vector(value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _spread(builder, args[0], _llvm(made), made.lanes)

    return signature(made, value), generate


@intrinsic
def constant(typing: Any, value: Any, like: Any) -> Any:
    """The float64 in all lanes of a vector of `like`'s kind."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = _llvm(like)
        scalar = args[0] if like.dtype.bitwidth == 64 else builder.fptrunc(args[0], kind.element)
        return _spread(builder, scalar, kind, like.lanes)

    return signature(like, types.float64, like), generate


@intrinsic
def flipped(typing: Any, vector: Any, mask: Any) -> Any:
    """Lane i takes lane i ^ mask; mask is a literal."""
    if not isinstance(mask, types.IntegerLiteral):
        return None
    order = [i ^ mask.literal_value for i in range(vector.lanes)]

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), order)
        return builder.shuffle_vector(args[0], args[0], lanes)

    return signature(vector, vector, mask), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "fma", a, args)

    return signature(c, a, b, c), generate


@intrinsic
def nearest_whole(typing: Any, a: Any) -> Any:
    """Each lane rounded to the nearest whole number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "rint", a, args)

    return signature(a, a), generate


@intrinsic
def lane_sum(typing: Any, a: Any) -> Any:
    """Sum of the lanes, as float64, pairwise."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.DoubleType(), a.lanes)
        value = args[0] if a.dtype.bitwidth == 64 else builder.fpext(args[0], wide)
        parts = [builder.extract_element(value, ir.IntType(32)(i)) for i in range(a.lanes)]
        while len(parts) > 1:
            parts = [builder.fadd(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
        return parts[0]

    return signature(types.float64, a), generate


def _binary(function: Any, name: str) -> None:
    """Lane-wise + - * of two vectors."""

    @type_callable(function)
    def typed(context: Any) -> Any:
        def typer(a: Any, b: Any) -> Any:
            return a if isinstance(a, Vector) and a == b else None

        return typer

    @lower_builtin(function, Vector, Vector)
    def lowered(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)


for _function, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _binary(_function, _name)
