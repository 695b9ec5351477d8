"""Tree ensembles, linear models and what exporters wrap around them: read as onnxruntime runs them, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tree_samples import built, ensemble, inputs, model_of, reference

from trine.compilers.ml_attributes import names_of, stump
from trine.compilers.ml_exports import before
from trine.compilers.ml_models import AGGREGATES, MODES, TRANSFORMS
from trine.compilers.onnx_reader import UnsupportedNodes, read_onnx
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import Unsupported

MODELS = sorted((Path(__file__).parent.parent / "edge" / "trees").glob("*.onnx"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_exported_models_are_read_as_onnxruntime_runs_them(path: Path) -> None:
    graph = read_onnx(path)
    x = np.random.default_rng(0).normal(0, 2, (300, graph.inputs[0].size)).astype(np.float32)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan if "sk_" not in path.stem else 0
    found = graph.run({graph.inputs[0].name: x})
    for name, wanted in reference(path.read_bytes(), x).items():
        if wanted.dtype == object:  # text labels leave as their index
            names = (
                next(names for node in graph.nodes if (names := names_of(node)))
                if "forest" in path.stem
                else None
            )
            known = names or tuple(np.unique(wanted))
            wanted = np.array([known.index(label) for label in wanted])
        if wanted.dtype.kind == "i":
            np.testing.assert_array_equal(found[name].ravel(), wanted.ravel())
        else:
            room = 2e-6 * max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(found[name].reshape(wanted.shape), wanted, rtol=0, atol=room)


def test_text_labels_are_kept_by_name() -> None:
    (node,) = read_onnx(next(path for path in MODELS if path.stem == "sk_forest_text_labels")).nodes
    assert names_of(node) == ("setosa", "versicolor", "virginica")


def test_a_scaler_before_trees_is_folded_away() -> None:
    graph = read_onnx(next(path for path in MODELS if path.stem == "sk_scaled_forest"))
    assert [node.op for node in graph.nodes] == ["TreeEnsembleClassifier"]


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_random_ensembles_have_onnxruntimes_bits(first: int) -> None:
    for seed in range(first, first + 40):
        op, attributes, features = ensemble(seed, (1, 3, 10, 100))
        made = built(op, attributes, features)
        x = inputs(seed, 60, features, made.value)
        wanted = reference(model_of(op, attributes, features).SerializeToString(), x)
        label, scores = made.run(x)
        if made.classes:
            np.testing.assert_array_equal(label, wanted["label"], err_msg=f"seed {seed}")
        exact = attributes["post_transform"] == "NONE"  # no exp: nothing that could round in another way
        np.testing.assert_allclose(
            scores, wanted["scores"], rtol=0, atol=0 if exact else 3e-7, err_msg=f"seed {seed}"
        )


def test_a_read_ensemble_is_written_as_it_was(tmp_path: Path) -> None:
    for seed in range(30):
        op, attributes, features = ensemble(seed)
        onnx.save(model_of(op, attributes, features), tmp_path / "model.onnx")
        graph = read_onnx(tmp_path / "model.onnx")
        onnx.save(write_onnx(graph), tmp_path / "again.onnx")
        again, x = read_onnx(tmp_path / "again.onnx"), inputs(seed, 20, features)
        for name, values in graph.run({"x": x}).items():
            np.testing.assert_array_equal(again.run({"x": x})[name], values)


def five(rng: np.random.Generator, members: bool) -> dict[str, Any]:
    """Attributes of TreeEnsemble (ai.onnx.ml 5): four trees of depth two, some nodes testing for membership."""
    modes = rng.choice([0, 1, 2, 3, 6] if members else [0, 1, 2, 3, 4, 5], 12).astype(np.uint8)
    sets = [
        value for _ in range(int((modes == 6).sum())) for value in (*rng.integers(-2, 3, 2).tolist(), np.nan)
    ]
    leaves = np.arange(16)
    splits = np.round(rng.normal(size=12)).astype(np.float32)
    inner = [[1, 2], [0, 1], [2, 3]]
    rows = [
        (3 * t + child if i == 0 else 4 * t + child) for t in range(4) for i in range(3) for child in inner[i]
    ]
    attributes: dict[str, Any] = {
        "n_targets": 2, "aggregate_function": int(rng.integers(0, 2)), "post_transform": int(rng.choice([0, 3])),
        "tree_roots": [0, 3, 6, 9], "nodes_featureids": rng.integers(0, 3, 12).tolist(),
        "nodes_splits": numpy_helper.from_array(splits, "s"), "nodes_modes": numpy_helper.from_array(modes, "m"),
        "nodes_truenodeids": rows[0::2], "nodes_falsenodeids": rows[1::2],
        "nodes_trueleafs": [0, 1, 1] * 4, "nodes_falseleafs": [0, 1, 1] * 4,
        "leaf_targetids": (leaves % 2).tolist(),
        "leaf_weights": numpy_helper.from_array(rng.normal(size=16).astype(np.float32), "w"),
    }  # fmt: skip
    if sets:
        attributes["membership_values"] = numpy_helper.from_array(np.array(sets, np.float32), "v")
    return attributes


@pytest.mark.parametrize("members", [False, True], ids=["compared", "members"])
def test_the_newest_tree_operator(members: bool, tmp_path: Path) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = model_of("TreeEnsemble", five(rng, members), 3, 5)
        onnx.save(model, tmp_path / "model.onnx")
        x = np.round(rng.normal(0, 1.5, (100, 3))).astype(np.float32)
        found = read_onnx(tmp_path / "model.onnx").run({"x": x})["scores"]
        np.testing.assert_allclose(
            found, reference(model.SerializeToString(), x)["scores"], rtol=0, atol=3e-7
        )


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32)


@settings(max_examples=300, deadline=None)
@given(
    threshold=FLOATS, offset=FLOATS, scale=FLOATS.filter(lambda s: s != 0), mode=st.sampled_from(MODES[:4]),
    x=FLOATS, steps=st.integers(-3, 3),
)  # fmt: skip
def test_a_threshold_scaled_back_decides_every_float_alike(
    threshold: np.float32, offset: np.float32, scale: np.float32, mode: str, x: np.float32, steps: int
) -> None:
    decide = {
        "BRANCH_LEQ": np.less_equal, "BRANCH_LT": np.less, "BRANCH_GTE": np.greater_equal, "BRANCH_GT": np.greater,
    }  # fmt: skip
    turned = {
        "BRANCH_LEQ": "BRANCH_GTE",
        "BRANCH_LT": "BRANCH_GT",
        "BRANCH_GTE": "BRANCH_LEQ",
        "BRANCH_GT": "BRANCH_LT",
    }
    moved = before(threshold, mode, offset, scale)
    word = turned[mode] if scale < 0 else mode
    near = np.float32(moved)
    for _ in range(abs(steps)):
        with np.errstate(over="ignore"):
            near = np.nextafter(near, np.float32(np.copysign(np.inf, steps)))
    with np.errstate(over="ignore", invalid="ignore"):
        for value in (x, near, np.float32(np.inf), np.float32(-np.inf)):
            y = np.float32(np.float32(value - offset) * scale)
            assert decide[mode](y, threshold) == decide[word](value, moved)


def changed(op: str = "TreeEnsembleClassifier", **attributes: Any) -> dict[str, Any]:
    """Attributes of three classes (or two targets) as ONNX has them, some changed."""
    made = stump("class" if op.endswith("Classifier") else "target", 3 if op.endswith("Classifier") else 2)
    made |= {"nodes_modes": tuple(MODES[mode] for mode in made["nodes_modes"])}
    made |= {"post_transform": TRANSFORMS[made["post_transform"]]}
    if "aggregate_function" in made:
        made["aggregate_function"] = AGGREGATES[made["aggregate_function"]]
    return {k: v for k, v in (made | attributes).items() if v is not None and k != "features"}


REFUSALS = [
    ("PROBIT", {"post_transform": "PROBIT"}, "post_transform PROBIT"),
    ("mode", {"nodes_modes": ("BRANCH_SOMETIMES",) * 56}, "node mode BRANCH_SOMETIMES"),
    ("columns", {"nodes_values": (0.5,)}, "nodes_values does not have one value a node"),
    ("no_nodes", {f"nodes_{n}": () for n in ("modes", "values", "treeids", "nodeids", "featureids", "truenodeids",
                                             "falsenodeids")}, "it has no nodes"),
    ("feature", {"nodes_featureids": (7,) * 56}, "feature 7 of an input with 3"),
    ("cycle", {"nodes_truenodeids": (0,) * 56}, "two parents"),
    ("absent", {"nodes_falsenodeids": (99,) * 56}, "has no node 99"),
    ("twice", {"nodes_nodeids": (0,) * 56}, "is stated twice"),
    ("interleaved", {"nodes_treeids": (0, 1) * 28, "nodes_nodeids": tuple(range(56))}, "interleaved"),
    ("no_labels", {"classlabels_int64s": ()}, "no class labels"),
    ("class_outside", {"class_ids": (5,) * 96}, "class 5 of 3"),
    ("lengths", {"class_ids": (1,)}, "differ in length"),
    ("weight_nan", {"class_weights": (float("nan"),) * 96}, "NaN"),
    ("base", {"base_values": (1.0,)}, "1 base values for 3 classes"),
    ("twice_weighted", {"class_ids": (1,) * 96}, "adds to class 1 twice"),
    ("threshold_nan", {"nodes_values": (float("nan"),) * 56}, "threshold is NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "words"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_damaged_and_unsupported_trees_are_refused_by_name(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        built("TreeEnsembleClassifier", changed(**attributes), 3)


def test_where_onnxruntime_and_onnx_disagree_the_model_is_refused() -> None:
    one = changed("TreeEnsembleRegressor", n_targets=1, target_ids=(0,) * 64, post_transform="LOGISTIC")
    for name in ("target_treeids", "target_nodeids", "target_ids", "target_weights"):
        one[name] = one[name][::2]
    with pytest.raises(Unsupported, match="with one target: onnxruntime leaves it out"):
        built("TreeEnsembleRegressor", one, 3)
    two = changed(**{k: v for k, v in stump("class", 2).items() if k.startswith("class")})
    with pytest.raises(Unsupported, match="two classes with two sums"):
        built("TreeEnsembleClassifier", two | {"classlabels_int64s": (4, 5)}, 3)


def ml_model(
    op: str, features: int, opset: int, inits: dict[str, np.ndarray] | None = None, **attributes: Any
) -> Any:
    """A model of one node of ONNX-ML, float32 in."""
    outs = ["label", "scores"] if op == "LinearClassifier" else ["y"]
    kinds = [TensorProto.INT64, TensorProto.FLOAT] if len(outs) == 2 else [TensorProto.FLOAT]
    node = helper.make_node(op, ["x", *(inits or {})], outs, "n", domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node], "m", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outs, kinds, strict=True)],
        [numpy_helper.from_array(value, name) for name, value in (inits or {}).items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


LINEAR: list[tuple[str, dict[str, Any], dict[str, np.ndarray]]] = [
    ("Scaler", {"offset": [1.0, -2.0, 0.5], "scale": [2.0, 0.5, -1.0]}, {}),
    ("Scaler", {"offset": [1.5], "scale": [3.0]}, {}),
    ("Normalizer", {"norm": "L1"}, {}),
    ("Normalizer", {"norm": "L2"}, {}),
    ("LinearRegressor", {"coefficients": [1.0, -2.0, 0.5, 0.25, 3.0, 1.0], "intercepts": [0.5, -1.0],
      "targets": 2}, {}),
    ("LinearRegressor", {"coefficients": [1.0, -2.0, 0.5]}, {}),
    ("LinearClassifier", {"coefficients": [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0],
                          "intercepts": [0.5, -1.0, 0.0],
                          "classlabels_ints": [3, 5, 4], "post_transform": "SOFTMAX", "multi_class": 1}, {}),
    ("LinearClassifier", {"coefficients": [-1.0, 2.0, 1.0, 1.0, -2.0, -1.0], "intercepts": [0.5, -0.5],
                          "classlabels_ints": [0, 1], "post_transform": "LOGISTIC"}, {}),
    ("ArrayFeatureExtractor", {}, {"index": np.array([2, 0, 2], np.int64)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "attributes", "inits"), LINEAR, ids=[f"{n}-{row[0]}" for n, row in enumerate(LINEAR)]
)
@pytest.mark.parametrize("opset", [9, 17, 18])
def test_linear_models_become_onnxs_own_operators(
    op: str, attributes: dict[str, Any], inits: dict[str, np.ndarray], opset: int, tmp_path: Path
) -> None:
    model = ml_model(op, 3, opset, inits, **attributes)
    onnx.save(model, tmp_path / "model.onnx")
    x = np.random.default_rng(3).normal(0, 2, (50, 3)).astype(np.float32)
    x[0] = 0
    found = read_onnx(tmp_path / "model.onnx").run({"x": x})
    for name, wanted in reference(model.SerializeToString(), x).items():
        np.testing.assert_allclose(found[name].reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("LinearClassifier", {"coefficients": [1.0, 2.0, 3.0], "intercepts": [0.0], "classlabels_ints": [0, 1]}),
        ("LinearRegressor", {"coefficients": [1.0, 2.0, 3.0], "post_transform": "PROBIT"}),
        ("Normalizer", {"norm": "L7"}),
        ("Scaler", {}),
        ("Binarizer", {"threshold": 0.5}),
    ],
)  # fmt: skip
def test_other_ml_operators_are_refused_by_name(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    onnx.save(ml_model(op, 3, 17, **attributes), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedNodes, match=rf"ai\.onnx\.ml\.{op}"):
        read_onnx(tmp_path / "model.onnx")
