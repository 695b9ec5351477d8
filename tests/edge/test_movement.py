"""Moves: the C made from where values come from equals the operator in NumPy, whatever the shapes and layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import drawn, ran_in_c

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.movement import origins
from trine.compilers.operators import operators
from trine.edge.c.moving import by_axes, join, joined, runs_of, stored_origins
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
COUNT = 20  # networks of one C file


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, tuple[int, ...], dict[str, Any], list[Array]]:
    """An operator that moves values, a shape, attributes and constants that fit."""
    shape = draw(SHAPES)
    op = draw(
        st.sampled_from(("Slice", "Pad", "Tile", "Expand", "Gather", "Trilu", "DepthToSpace", "Resize"))
    )
    integers = lambda low, high: tuple(draw(st.integers(low, high)) for _ in shape)  # noqa: E731  # reads as a phrase
    if op == "Slice":
        kept = []
        for size in shape:
            start = draw(st.integers(0, size - 1))
            step = draw(st.sampled_from((1, 1, 2, -1, -2)))
            most = (size - 1 - start) // step if step > 0 else start // -step
            kept.append((start, step, draw(st.integers(1, most + 1))))
        return (
            op,
            shape,
            dict(zip(("starts", "steps", "counts"), map(tuple, zip(*kept, strict=True)), strict=True)),
            [],
        )
    if op == "Pad":
        mode = draw(st.sampled_from(("constant", "edge", "reflect")))
        most = [size - 1 if mode == "reflect" else 3 for size in shape]
        pads = tuple(draw(st.integers(0, m)) for m in (*most, *most))
        return op, shape, {"pads": pads, "mode": mode, "value": 0.0}, []
    if op == "Tile":
        return op, shape, {"repeats": integers(1, 3)}, []
    if op == "Expand":
        before = tuple(draw(st.sampled_from((1, size))) for size in shape)
        wide = (*draw(SHAPES.filter(lambda s: len(s) < 3)), *shape) if draw(st.booleans()) else shape
        full = (1,) * (len(wide) - len(before)) + before
        return op, before, {"shape": wide, "before": full}, []
    if op == "Gather":
        axis = draw(st.integers(0, len(shape) - 1))
        indices = draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1, max_size=6))
        return op, shape, {"axis": axis, "constant": (False, True)}, [np.array(indices, np.int64)]
    if op == "Trilu":
        shape = (*shape, 4) if len(shape) < 2 else shape
        return (
            op,
            shape,
            {"k": draw(st.integers(-2, 2)), "upper": draw(st.integers(0, 1)), "matrix": shape[-2:]},
            [],
        )
    if op == "DepthToSpace":
        image = (4 * draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        return op, image, {"blocksize": 2, "mode": draw(st.sampled_from(("DCR", "CRD")))}, []
    return op, shape, nearest(draw, shape), []


def nearest(draw: st.DrawFn, shape: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a nearest Resize to sizes of any kind."""
    sizes = tuple(draw(st.integers(1, 8)) for _ in shape)
    return {
        "sizes": sizes, "scales": tuple(float(np.float32(s / o)) for s, o in zip(sizes, shape, strict=True)),
        "roi": ((0.0, 1.0),) * len(shape), "mode": "nearest", "cubic_coeff_a": -0.75, "exclude_outside": 0,
        "coordinate_transformation_mode": draw(st.sampled_from(("half_pixel", "asymmetric", "align_corners"))),
        "nearest_mode": draw(st.sampled_from(("round_prefer_floor", "floor", "ceil"))), "extrapolation_value": 0.0,
        "antialias": 0,
    }  # fmt: skip


def network(name: str, move: tuple[str, tuple[int, ...], dict[str, Any], list[Array]], last: bool) -> Graph:
    """The move alone, or between two Convs of one tap, which want their tensors channels last."""
    op, shape, attributes, constants = move
    stored = {f"{name}_c{i}": value for i, value in enumerate(constants)}
    node = Node(op, f"{name}_move", (f"{name}_x", *stored), (f"{name}_y",), attributes)
    (after,) = operators()[op].shapes(node, [shape, *(value.shape for value in constants)])
    tensors = [Tensor(f"{name}_x", shape), Tensor(f"{name}_y", after)]
    if not last or len(shape) != len(after) or len(shape) not in (2, 3):
        return Graph(name, (tensors[0],), (f"{name}_y",), (node,), stored, {t.name: t for t in tensors})
    rank = len(shape) - 1
    plain = {"strides": (1,) * rank, "dilations": (1,) * rank, "pads": (0,) * (2 * rank), "group": 1}
    stored |= {f"{name}_w": np.eye(shape[0], dtype=np.float32).reshape(shape[0], shape[0], *(1,) * rank)}
    stored |= {f"{name}_v": np.eye(after[0], dtype=np.float32).reshape(after[0], after[0], *(1,) * rank)}
    nodes = (
        Node("Conv", f"{name}_in", (f"{name}_a", f"{name}_w"), (f"{name}_x",), plain),
        node,
        Node("Conv", f"{name}_out", (f"{name}_y", f"{name}_v"), (f"{name}_z",), plain),
    )
    tensors += [Tensor(f"{name}_a", shape), Tensor(f"{name}_z", after)]
    return Graph(name, (tensors[2],), (f"{name}_z",), nodes, stored, {t.name: t for t in tensors})


def program_of(graph: Graph) -> IntegerProgram:
    """The graph in int8, every range one with zero inside."""
    return lower(graph, dict.fromkeys(graph.tensors, (-1.5, 2.0))).program


# A failing file of networks names the network: shrinking it would compile for minutes.
LAWS = settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip


@LAWS
@given(
    cases=st.lists(st.tuples(moves(), st.booleans()), min_size=COUNT, max_size=COUNT),
    seed=st.integers(0, 999),
)
def test_any_move_in_c_equals_numpy(tmp_path_factory: Any, cases: list[tuple[Any, bool]], seed: int) -> None:
    """8 files of 20 networks of 80 examples: 12,800 random cases, alone and between channels-last layers."""
    programs = [program_of(network(f"n{i}", move, last)) for i, (move, last) in enumerate(cases)]
    ran_in_c(programs, tmp_path_factory.mktemp("moves"), 80, seed)


@settings(max_examples=150, deadline=None)
@given(move=moves())
def test_origins_say_what_the_operator_does(
    move: tuple[str, tuple[int, ...], dict[str, Any], list[Array]],
) -> None:
    op, shape, attributes, constants = move
    node = Node(op, "n", ("x", *(f"c{i}" for i in range(len(constants)))), ("y",), attributes)
    places = origins(operators()[op].run, node, [shape, *constants])
    x = np.random.default_rng(0).integers(1, 100, (1, *shape)).astype(np.int64)
    wanted = operators()[op].run(node, [x, *constants])[0][0]
    assert np.array_equal(np.where(places < 0, 0, x.ravel()[places]), wanted)


@settings(max_examples=150, deadline=None)
@given(move=moves())
def test_axes_and_runs_add_up_to_the_origins(
    move: tuple[str, tuple[int, ...], dict[str, Any], list[Array]],
) -> None:
    op, shape, attributes, constants = move
    node = Node(op, "n", ("x", *(f"c{i}" for i in range(len(constants)))), ("y",), attributes)
    places = origins(operators()[op].run, node, [shape, *constants])
    separate = by_axes(places)
    if separate is None:
        assert op == "Trilu" or not (places >= 0).any()
        return
    for term in separate[1]:
        rebuilt = [
            np.full(run.count, np.iinfo(np.int64).min) if run.stride is None
            else run.start + run.stride * np.arange(run.count)
            for run in runs_of(term)
        ]  # fmt: skip
        assert np.array_equal(np.concatenate(rebuilt), term)


def test_a_pad_that_wraps_round_is_printed_for_onnxruntime() -> None:
    pad = {"pads": (0, 2, 0, 3), "mode": "wrap", "value": 0.0}
    program = program_of(network("n", ("Pad", (3, 5), pad, []), False))
    codes = drawn(program, 8, 0)
    feed = {"n_x": program.tensors["n_x"].dequantize(codes["n_x"])}
    assert np.array_equal(run_qdq(to_qdq(program), program, feed)["n_y"], program.run(codes)["n_y"])


def test_a_slice_along_time_of_a_channels_last_signal_is_one_copy() -> None:
    """Joined axes: what lies in one piece is copied in one piece."""
    kept = {"starts": (0, 2), "steps": (1, 1), "counts": (6, 5)}
    places = origins(operators()["Slice"].run, Node("Slice", "s", ("x",), ("y",), kept), [(6, 9)])
    stored = stored_origins(places, (6, 9), True)
    assert np.array_equal(stored.ravel(), np.arange(12, 42))
    separate = by_axes(stored)
    assert separate is not None
    from trine.edge.c.moving import axis_of

    (axis,) = joined([axis_of(term) for term in separate[1]])
    assert [(run.count, run.stride) for run in axis.runs] == [(30, 1)]
    assert join(axis, axis) is None


def test_a_slice_of_the_c_file_is_a_single_call(tmp_path: Path) -> None:
    kept = {"starts": (2, 0), "steps": (1, 1), "counts": (3, 7)}
    program = program_of(network("one", ("Slice", (6, 7), kept, []), False))
    (text,) = ran_in_c([program], tmp_path, 5, 0)
    body = text.split("TRINE_NOINLINE static void")[-1]
    assert "for (" not in body.split("int trine_")[0]
    assert ", 21);" in body
