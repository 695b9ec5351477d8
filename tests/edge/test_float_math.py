"""The elementary functions of the float32 C against float64, in units of the last place; and their special values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from trine.edge.c.writer import kernel_text
from trine.edge.emulate.host import HostCompiler

Floats = NDArray[np.float32]
# Greatest error in units of the last place over all finite inputs tried, and the function in float64.
FUNCTIONS: dict[str, tuple[float, Callable[..., NDArray[np.float64]]]] = {
    "ceil": (0, np.ceil), "cos": (1.6, np.cos), "erf": (2.8, special.erf), "exp": (1.0, np.exp),
    "expm1": (1.5, np.expm1), "floor": (0, np.floor), "log": (0.9, np.log), "log1p": (2.5, np.log1p),
    "round": (0, np.rint), "sigmoid": (2.4, special.expit), "sin": (1.6, np.sin), "sqrt": (0.8, np.sqrt),
    "tanh": (1.4, np.tanh), "trunc": (0, np.trunc),
}  # fmt: skip
LARGEST_ANGLE = 1e6  # beyond, sin and cos lose places
SPECIAL = np.array(
    [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-45, 1e-39, 3.4e38, -3.4e38, 88.7, 88.73,
     -103.9, -87.4, 8388607.5, 0.625, 4, 2, 3, -3, 64, 65],
    np.float32,
)  # fmt: skip


@cache
def library() -> ctypes.CDLL:
    """Loops over every function, as a shared library."""
    text = ["#include <stdint.h>\n#define TRINE_PAIRED 0\n#define TRINE_WIDE 0\n"]
    text += [kernel_text("common"), kernel_text("float_math")]
    for name in FUNCTIONS:
        text.append(
            f"void each_{name}(const float *x, float *y, int64_t n);\n"
            f"void each_{name}(const float *x, float *y, int64_t n)\n"
            f"{{\n    for (int64_t i = 0; i < n; i++)\n        y[i] = trine_{name}f(x[i]);\n}}\n"
        )
    for name, kind, call in (
        ("pow", "float", "trine_powf"),
        ("fmod", "double", "trine_fmod"),
        ("mod", "double", "trine_mod"),
    ):
        text.append(
            f"void each_{name}(const {kind} *a, const {kind} *b, {kind} *y, int64_t n);\n"
            f"void each_{name}(const {kind} *a, const {kind} *b, {kind} *y, int64_t n)\n"
            f"{{\n    for (int64_t i = 0; i < n; i++)\n        y[i] = {call}(a[i], b[i]);\n}}\n"
        )
    folder = Path(mkdtemp(prefix="trine-float-"))
    (folder / "each.c").write_text("".join(text))
    return ctypes.CDLL(str(HostCompiler().compile([folder / "each.c"], folder)))


def call(name: str, *arguments: NDArray[np.floating]) -> NDArray[np.floating]:
    result = np.empty_like(arguments[0])
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*arguments, result)]
    getattr(library(), f"each_{name}")(*pointers, ctypes.c_int64(result.size))
    return result


def samples() -> Iterator[Floats]:
    rng = np.random.default_rng(0)
    yield rng.integers(0, 2**32, 300_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    yield rng.uniform(-20, 20, 300_000).astype(np.float32)
    yield rng.normal(0, 1, 300_000).astype(np.float32)
    yield SPECIAL


def error(found: Floats, exact: NDArray[np.float64]) -> float:
    """Greatest error in units of the last place; infinities and NaN must stand where they should."""
    nearest = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(nearest))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(nearest))
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(np.sign(found[~finite]), np.sign(nearest[~finite]))
    unit = np.maximum(np.spacing(np.abs(nearest[finite])).astype(np.float64), 2.0**-149)
    return float((np.abs(found[finite].astype(np.float64) - exact[finite]) / unit).max(initial=0))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.filterwarnings("ignore")
def test_a_function_is_within_its_error(name: str) -> None:
    allowed, function = FUNCTIONS[name]
    for x in samples():
        x = x[~(np.abs(x) > LARGEST_ANGLE)] if name in ("sin", "cos") else x
        assert error(call(name, x), function(x.astype(np.float64))) <= allowed


@pytest.mark.filterwarnings("ignore")
def test_powers_are_correctly_rounded_and_signed() -> None:
    rng = np.random.default_rng(1)
    pairs = [
        (rng.uniform(0, 20, 200_000), rng.uniform(-10, 10, 200_000)),
        (rng.uniform(-5, 5, 200_000), rng.integers(-20, 20, 200_000)),
        (np.repeat(SPECIAL, len(SPECIAL)), np.tile(SPECIAL, len(SPECIAL))),
    ]
    for base, exponent in pairs:
        a, b = np.asarray(base, np.float32), np.asarray(exponent, np.float32)
        assert error(call("pow", a, b), np.power(a.astype(np.float64), b.astype(np.float64))) <= 0.501


def test_remainders_are_exact() -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.normal(0, 1, 20_000) * 10.0 ** rng.integers(-10, 10, 20_000) for _ in range(2))
    np.testing.assert_array_equal(call("fmod", a, b), np.fmod(a, b))
    np.testing.assert_array_equal(call("mod", a, b), np.mod(a, b))
