"""A chain of NIR's stateless nodes as one projection.

Pooling behind a convolution, or before one, joins it exactly where the padding allows; any other mixture becomes the
matrix that it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import VARIANTS
from trine.neuromorphic.engine.definition import projected
from trine.neuromorphic.net import Array, Projection, Shape
from trine.neuromorphic.nir_graph import Node, output_shape, window

LARGEST_MATRIX: Final = 1 << 26  # entries of a matrix made from a chain; 256 MiB in float32


@dataclass(frozen=True)
class Linear:
    """kind, weight, attributes as `Projection` has them; delay_s: sum of the Delay nodes on the way."""

    kind: str
    weight: Array
    attributes: dict[str, Any]
    source: Shape
    target: Shape
    delay_s: float = 0.0


def chain(nodes: Sequence[tuple[str, Node]], source: Shape) -> Linear:
    """One linear map from named stateless nodes in order; biases are left to `apply_chain`.

    Raises InputError for delays that differ between neurons and matrices beyond LARGEST_MATRIX entries.
    """
    made = Linear("identity", np.ones((), np.float32), {}, source, source)
    for i, (name, node) in enumerate(nodes):
        if node.kind == "Delay":
            delay = np.asarray(node.values["delay"], np.float64)
            if delay.size and (delay != delay.flat[0]).any():
                raise InputError(
                    f"node {name!r}: delays that differ between neurons; give each its own Delay node"
                )
            made = replace(made, delay_s=made.delay_s + float(delay.flat[0]) if delay.size else made.delay_s)
            continue
        target = output_shape(node, made.target)
        joined = _join(made, node, target)
        if joined is None:
            joined = replace(
                made, kind="dense", weight=_matrix(nodes[: i + 1], source, target), attributes={}
            )
        made = replace(joined, target=target)
    return made


def _join(made: Linear, node: Node, target: Shape) -> Linear | None:
    """A further node joined to a map, where that is no plain matrix; None otherwise."""
    values = node.values
    plain = made.kind == "identity" and made.weight.size == 1
    if node.kind == "Flatten":
        return made if made.kind in ("identity", "dense") or target == made.target else None
    if node.kind == "Scale":
        return _scaled(made, np.asarray(values["scale"]))
    if node.kind in ("Affine", "Linear"):
        if made.kind == "identity":
            weight = (
                values["weight"] if plain and made.weight == 1 else values["weight"] * made.weight.reshape(-1)
            )
            return replace(made, kind="dense", weight=weight, attributes={})
        return replace(made, weight=values["weight"] @ made.weight) if made.kind == "dense" else None
    kernel, stride, dilation, pads = window(node, made.target)
    here: dict[str, Any] = {"strides": stride, "pads": pads}
    if node.kind.startswith("Conv"):
        here |= {"dilations": dilation, "group": int(values["groups"])}
        if plain:
            return replace(made, kind="conv", weight=values["weight"] * made.weight, attributes=here)
        return _conv_of_pool(made, values["weight"], here) if made.kind == "pool" else None
    share = np.float32(1 / np.prod(kernel)) if node.kind == "AvgPool2d" else np.float32(1)
    if plain:
        weight = np.asarray(made.weight * share)
        return replace(made, kind="pool", weight=weight, attributes={"kernel_shape": kernel, **here})
    if made.kind == "conv" and not any(pads):
        return _pool_of_conv(made, kernel, stride, share)
    return None


def _scaled(made: Linear, scale: Array) -> Linear | None:
    """A map followed by factors, one a neuron."""
    if made.kind == "identity":
        return replace(made, weight=made.weight.reshape(-1)[:1].reshape(()) * scale if made.weight.size == 1
                       else made.weight * scale.reshape(made.weight.shape))  # fmt: skip
    if made.kind == "dense":
        return replace(made, weight=made.weight * scale.reshape(-1, 1))
    if (scale == scale.flat[0]).all():
        return replace(made, weight=np.asarray(made.weight * scale.flat[0]))
    return None


def _conv_of_pool(made: Linear, weight: Array, here: dict[str, Any]) -> Linear | None:
    """Sum windows, then convolution, as one convolution; None where padding or cut-off rows would differ."""
    kernel, stride, pads = (tuple(made.attributes[k]) for k in ("kernel_shape", "strides", "pads"))
    axes, inner = len(kernel), here["dilations"]
    whole = all(n == m * s for n, m, s in zip(made.source[1:], made.target[1:], stride))
    if any(pads) or (any(here["pads"]) and not (whole and kernel == stride)):
        return None
    size = tuple((k - 1) * d * s + p for k, d, s, p in zip(weight.shape[2:], inner, stride, kernel))
    wide = np.zeros((*weight.shape[:2], *size), weight.dtype)
    for at in np.ndindex(*weight.shape[2:]):
        first = [i * d * s for i, d, s in zip(at, inner, stride)]
        spread: tuple[Any, ...] = (..., *(slice(f, f + p) for f, p in zip(first, kernel)))
        tap: tuple[Any, ...] = (..., *(slice(i, i + 1) for i in at))
        wide[spread] += (weight * made.weight)[tap]
    attributes = {
        "strides": tuple(a * s for a, s in zip(here["strides"], stride)),
        "pads": tuple(p * s for p, s in zip(here["pads"], stride * 2)),
        "dilations": (1,) * axes,
        "group": here["group"],
    }
    return replace(made, kind="conv", weight=wide, attributes=attributes)


def _pool_of_conv(made: Linear, kernel: Shape, stride: Shape, share: Any) -> Linear:
    """Convolution, then sum windows without padding, as one convolution."""
    a, weight = made.attributes, np.asarray(made.weight * share)
    moved, inner = tuple(a["strides"]), tuple(a["dilations"])
    size = tuple((p - 1) * s + (k - 1) * d + 1 for p, s, k, d in zip(kernel, moved, weight.shape[2:], inner))
    wide = np.zeros((*weight.shape[:2], *size), weight.dtype)
    for at in np.ndindex(*kernel):
        ends = zip(at, moved, weight.shape[2:], inner)
        taps: tuple[Any, ...] = (..., *(slice(i * s, i * s + (k - 1) * d + 1, d) for i, s, k, d in ends))
        wide[taps] += weight
    attributes = {
        **a,
        "strides": tuple(s * m for s, m in zip(stride, moved)),
        "dilations": (1,) * len(kernel),
    }
    return replace(made, kind="conv", weight=wide, attributes=attributes)


def _matrix(nodes: Sequence[tuple[str, Node]], source: Shape, target: Shape) -> Array:
    """The matrix of a chain, by sending every unit vector through it."""
    n, m = int(np.prod(source)), int(np.prod(target))
    if n * m > LARGEST_MATRIX:
        names = " -> ".join(name for name, _ in nodes)
        raise InputError(f"nodes {names}: together a {m} x {n} matrix, too large; put neurons between them")
    rows = apply_chain(nodes, np.eye(n, dtype=np.float64).reshape(n, *source))
    return np.ascontiguousarray(rows.reshape(n, m).T).astype(np.float32)


def apply_chain(nodes: Sequence[tuple[str, Node]], x: Array) -> Array:
    """The linear parts of stateless nodes on [batch, *shape], float64; Delays pass."""
    for name, node in nodes:
        shape = tuple(x.shape[1:])
        if node.kind != "Delay":
            one = chain([(name, node)], shape) if node.kind != "Flatten" else None
            target = output_shape(node, shape)
            if one is not None:
                p = Projection(name, "", "", one.kind, one.weight, one.attributes, graded=True)
                x = projected(p, x, target, VARIANTS["lava"], np.float64)
            x = x.reshape(len(x), *target)
    return x


def constant(node: Node, target: Shape) -> Array | None:
    """What a node adds by itself, [*target] float64; None for nothing."""
    if "bias" not in node.values or not np.any(node.values["bias"]):
        return None
    bias = np.asarray(node.values["bias"], np.float64)
    return np.broadcast_to(bias.reshape(-1, *(1,) * (len(target) - 1)), target)
