"""Resize as one banded matrix an axis: every output is a weighted sum of a few neighbouring inputs (ONNX Resize-19).

Nearest, linear and cubic, antialiased or not, in every coordinate mode: they differ in the weights only. Coordinates
are float32, as in onnxruntime; where a coordinate falls on an input, its neighbours to the left come first (ONNX).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node

Float = NDArray[np.float32]
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
)  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Axis:
    """One axis: output i is sum_k weights[i, k] * x[indices[i, k]]; outside[i]: its coordinate leaves the input."""

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]
    outside: NDArray[np.bool_]

    @property
    def plain(self) -> bool:
        """Whether every output is one input as it is."""
        return bool(self.weights.shape[1] == 1)


def coordinates(mode: str, size: int, out: int, scale: float, roi: tuple[float, float]) -> Float:
    """Where each output lies among the inputs: float32 [out]."""
    x, s = np.arange(out, dtype=np.float32), np.float32(scale)
    one, half = np.float32(1), np.float32(0.5)
    if mode == "asymmetric":
        return np.asarray(x / s, np.float32)
    if mode == "align_corners":
        wide = np.float32(out) if abs(out - scale * size) < 1e-3 else s * np.float32(size)
        return (
            np.zeros_like(x) if wide == 1 else np.asarray(x * np.float32(size - 1) / (wide - one), np.float32)
        )
    if mode == "tf_crop_and_resize":
        begin, end = np.float32(roi[0]), np.float32(roi[1])
        last = np.float32(size - 1)
        if out == 1:
            return np.asarray(half * (begin + end) * last * np.ones_like(x), np.float32)
        return np.asarray(begin * last + x * (end - begin) * last / np.float32(out - 1), np.float32)
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros_like(x)
    middle = np.asarray((x + half) / s - half, np.float32)
    if mode == "half_pixel_symmetric":
        adjusted = np.float32(out) / (s * np.float32(size))
        middle = np.asarray(np.float32(size / 2) * (one - adjusted) + middle, np.float32)
    return middle


def cubic(distance: Array, a: float) -> Array:
    """Keys' kernel (1981) with its free parameter a."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def axis_of(node: Node, axis: int, size: int) -> Axis:
    """The matrix of one axis of one example, `size` inputs long."""
    a = node.attributes
    out, scale, mode = a["sizes"][axis], a["scales"][axis], a["mode"]
    if out == size and scale == 1.0 and a["coordinate_transformation_mode"] != "tf_crop_and_resize":
        every = np.arange(size)[:, None]
        return Axis(every, np.ones((size, 1)), np.zeros(size, bool))
    x = coordinates(a["coordinate_transformation_mode"], size, out, scale, a["roi"][axis]).astype(np.float64)
    outside = np.zeros(out, bool)
    if a["coordinate_transformation_mode"] == "tf_crop_and_resize":
        outside = (x < 0) | (x > size - 1)
    if mode == "nearest":
        return Axis(np.clip(nearest(x, a["nearest_mode"]), 0, size - 1)[:, None], np.ones((out, 1)), outside)
    left = np.ceil(x) - 1
    ratio = (x - left)[:, None]
    narrow = min(scale, 1.0) if a["antialias"] else 1.0
    support = 1.0 if mode == "linear" else 2.0
    start = int(np.floor(-support / narrow)) + 1
    taps = np.arange(start, 2 - start)[None, :]
    distance = (taps - ratio) * narrow
    linear = mode == "linear"
    weights = np.clip(1 - np.abs(distance), 0, 1) if linear else cubic(distance, a["cubic_coeff_a"])
    indices = left[:, None].astype(np.int64) + taps
    if a["exclude_outside"]:
        weights = np.where((indices >= 0) & (indices < size), weights, 0.0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return shortened(Axis(np.clip(indices, 0, size - 1), weights, outside))


def nearest(x: Array, mode: str) -> NDArray[np.int64]:
    """The input that each coordinate takes."""
    if mode == "floor":
        return np.floor(x).astype(np.int64)
    if mode == "ceil":
        return np.ceil(x).astype(np.int64)
    return (np.ceil(x - 0.5) if mode == "round_prefer_floor" else np.floor(x + 0.5)).astype(np.int64)


def shortened(axis: Axis) -> Axis:
    """Without the taps that no output uses."""
    used = np.flatnonzero(np.any(axis.weights != 0, axis=0))
    keep = slice(used[0], used[-1] + 1)
    return Axis(axis.indices[:, keep], axis.weights[:, keep], axis.outside)


def resized(node: Node, x: Array) -> Array:
    """The whole operator on x [n, *shape], axis after axis, in double."""
    plain = all(axis_of(node, i, size).plain for i, size in enumerate(x.shape[1:]))
    y = x if plain else x.astype(np.float64)
    outside = np.zeros((1,) * x.ndim, bool)
    for i, size in enumerate(x.shape[1:]):
        axis = axis_of(node, i, size)
        if axis.plain:
            y = np.take(y, axis.indices[:, 0], axis=i + 1)
        else:
            y = np.moveaxis(np.moveaxis(y, i + 1, -1)[..., axis.indices] * axis.weights, -2, i + 1).sum(
                axis=-1
            )
        outside = outside | axis.outside.reshape(-1, *(1,) * (x.ndim - 2 - i))
    if outside.any():
        y = np.where(outside, np.asarray(node.attributes["extrapolation_value"]).astype(x.dtype), y)
    return np.ascontiguousarray(y, x.dtype)
