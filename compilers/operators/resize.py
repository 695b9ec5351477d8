"""Resize: nearest, linear, cubic, over any axes of one example (ONNX Resize-19).

Normal form: inputs (x); attributes sizes and scales (one an axis; scales as onnxruntime takes them), roi (begin and
end, one pair an axis), and ONNX's mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, exclude_outside,
extrapolation_value, antialias. `compilers.resizing` says what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import example_values, text, with_batch
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.resizing import COORDINATES, NEAREST, resized

AXES_OPSET = 18  # the first whose sizes and scales may leave axes out
POLICIES = ("stretch", "not_larger", "not_smaller")


def read(source: SourceNode) -> Node:
    shape = source.file_shape()
    axes = [int(axis) % len(shape) for axis in source.attributes.get("axes", range(len(shape)))]
    sizes, scales = _targets(source, shape, axes)
    roi = [(0.0, 1.0)] * len(shape)
    coordinates = text(source, "coordinate_transformation_mode", "half_pixel")
    if coordinates == "tf_crop_and_resize":
        given = source.constant(1, "the region of interest").reshape(2, -1)
        for i, axis in enumerate(axes if given.shape[1] == len(axes) else range(len(shape))):
            roi[axis] = (float(given[0, i]), float(given[1, i]))
    mode, nearest = text(source, "mode", "nearest"), text(source, "nearest_mode", "round_prefer_floor")
    if mode not in ("nearest", "linear", "cubic") or coordinates not in COORDINATES or nearest not in NEAREST:
        raise Unsupported(f"mode {mode}, {coordinates}, {nearest}")
    attributes: dict[str, Any] = {
        "sizes": example_values(source, sizes, 1, "resizes to"), "mode": mode,
        "scales": example_values(source, scales, 1.0, "scales by"),
        "roi": example_values(source, roi, (0.0, 1.0), "crops"), "nearest_mode": nearest,
        "coordinate_transformation_mode": coordinates,
        "cubic_coeff_a": float(source.attributes.get("cubic_coeff_a", -0.75)),
        "extrapolation_value": float(source.attributes.get("extrapolation_value", 0.0)),
        "exclude_outside": source.integer("exclude_outside", 0), "antialias": source.integer("antialias", 0),
    }  # fmt: skip
    if min(attributes["sizes"], default=1) < 1:
        raise Unsupported(f"sizes {attributes['sizes']}: the result is empty")
    if attributes["sizes"] == source.shape() and coordinates != "tf_crop_and_resize" and set(scales) == {1.0}:
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    return Node("Resize", source.name, source.inputs[:1], source.outputs, attributes)


def _targets(source: SourceNode, shape: Shape, axes: list[int]) -> tuple[list[int], list[float]]:
    """Output size and scale of every axis of the file."""
    sizes, scales = list(shape), [1.0] * len(shape)
    if source.has(3):
        given = [int(v) for v in source.constant(3, "the sizes").reshape(-1)]
        if len(given) != len(axes):
            raise Unsupported(f"sizes {given} for {len(axes)} axes")
        policy = text(source, "keep_aspect_ratio_policy", "stretch")
        if policy not in POLICIES:
            raise Unsupported(f"keep_aspect_ratio_policy {policy}")
        ratios = [np.float32(size) / np.float32(shape[axis]) for size, axis in zip(given, axes, strict=True)]
        if policy != "stretch":
            one = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [one] * len(axes)
            given = [int(np.floor(float(one) * shape[axis] + 0.5)) for axis in axes]
        for axis, size, ratio in zip(axes, given, ratios, strict=True):
            sizes[axis], scales[axis] = size, float(ratio)
        return sizes, scales
    if not source.has(2):
        raise Unsupported("has neither scales nor sizes")
    values = [float(v) for v in source.constant(2, "the scales").reshape(-1)]
    if len(values) != len(axes) or min(values) <= 0:
        raise Unsupported(f"scales {values} for {len(axes)} axes")
    crop = text(source, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    region = source.constant(1, "the region of interest").reshape(2, -1) if crop else None
    for i, (axis, scale) in enumerate(zip(axes, values, strict=True)):
        part = float(region[1, i] - region[0, i]) if region is not None else 1.0
        sizes[axis], scales[axis] = int(np.floor(np.float32(shape[axis] * part) * np.float32(scale))), scale
    return sizes, scales


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(node.attributes["sizes"])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [resized(node, arguments[0])]


def spell(node: Node, opset: int) -> list[Spelled]:
    """By sizes where the batch axis can be left out; by scales before, and where a scale is not size over size."""
    a, rank = dict(node.attributes), len(node.attributes["sizes"])
    sizes, scales, roi = a.pop("sizes"), a.pop("scales"), a.pop("roi")
    if opset < AXES_OPSET:
        a.pop("antialias")
    crop = a["coordinate_transformation_mode"] == "tf_crop_and_resize"
    made: dict[str, Array] = {}
    inputs = [node.inputs[0], "", "", ""]
    if crop:
        ends = (*with_batch([begin for begin, _ in roi], 0.0), *with_batch([end for _, end in roi], 1.0))
        inputs[1] = f"{node.name}.roi"
        made[inputs[1]] = np.array(ends[: 1 + rank] + ends[1 + rank :], np.float32)
    if crop and opset >= AXES_OPSET:
        a["axes"] = list(range(1, rank + 1))
        made[inputs[1]] = np.array([v for part in zip(*roi, strict=True) for v in part], np.float32)
        inputs[3] = f"{node.name}.sizes"
        made[inputs[3]] = np.array(sizes, np.int64)
    else:
        inputs[2] = f"{node.name}.scales"
        made[inputs[2]] = np.array(with_batch(scales, 1.0), np.float32)
        inputs.pop()
    return [Spelled("Resize", inputs, node.outputs, a, made)]


def _case(name: str, shape: Shape, scales: tuple[float, ...], **attributes: object) -> Case:
    sizes = tuple(
        int(np.floor(np.float32(size) * np.float32(s))) for size, s in zip(shape, scales, strict=True)
    )
    full = {
        "sizes": sizes, "scales": scales, "roi": ((0.0, 1.0),) * len(shape), "mode": "linear",
        "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor", "cubic_coeff_a": -0.75,
        "exclude_outside": 0, "extrapolation_value": 0.0, "antialias": 0, **attributes,
    }  # fmt: skip
    return Case(name, (shape,), full)


def _scales(*values: float) -> dict[int, Array | None]:
    return {1: None, 2: np.array(values, np.float32)}


OPERATOR = Operator(
    "Resize", read, shapes, run,
    (
        _case("nearest_signal", (3, 7), (1.0, 2.0), mode="nearest", coordinate_transformation_mode="asymmetric",
              nearest_mode="floor"),
        _case("nearest_image", (2, 4, 5), (1.0, 1.5, 2.0), mode="nearest"),
        _case("linear_signal", (3, 7), (1.0, 2.0)),
        _case("linear_down", (3, 12), (1.0, 0.5), coordinate_transformation_mode="pytorch_half_pixel"),
        _case("linear_image", (2, 4, 5), (1.0, 2.0, 3.0), coordinate_transformation_mode="align_corners"),
        _case("linear_by_three", (2, 5), (1.0, 3.0), coordinate_transformation_mode="asymmetric"),
        _case("cubic_image", (1, 4, 4), (1.0, 2.0, 2.0), mode="cubic"),
    ),
    forms=(
        Form("default_mode", ((3, 7),), {}, _scales(1, 1, 2)),
        Form("sizes", ((3, 7),), {"mode": "linear", "axes": (1, 2)},
             {1: None, 2: None, 3: np.array([3, 10], np.int64)}, (18, 999)),
        Form("axes", ((3, 7),), {"mode": "linear", "axes": (2,)}, _scales(2), (18, 999)),
        Form("not_larger", ((3, 4, 5),), {"axes": (2, 3), "keep_aspect_ratio_policy": "not_larger"},
             {1: None, 2: None, 3: np.array([8, 9], np.int64)}, (18, 999)),
    ),
    spell=spell,
)  # fmt: skip
