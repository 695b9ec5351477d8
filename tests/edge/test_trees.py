"""Tree ensembles in integers: keys order floats, classes are onnxruntime's, scores within the stated tolerance, and the
C of every form equals the definition bit for bit."""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from program_samples import Job, run_on_host
from tree_samples import SPECIAL, built, ensemble, inputs, model_of, reference

from trine.compilers.graph import Array, Graph
from trine.compilers.ml_ensembles import ensemble_of
from trine.compilers.ml_models import Ensemble
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.program_file import load_program, save_program
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.target import EdgeTarget
from trine.edge.trees.choice import FORMS
from trine.edge.trees.exponential import ONE, decay, sigmoid
from trine.edge.trees.fixed import Forest, columns, forest_of, keys, leaves, run
from trine.edge.trees.fixing import fix

MODELS = [path for path in sorted((Path(__file__).parent / "trees").glob("*.onnx")) if path.stem not in
          ("sk_logistic", "sk_softmax_text_labels", "sk_ridge")]  # fmt: skip
FLOATS = st.one_of(st.floats(width=32), st.sampled_from(SPECIAL.tolist()))


@given(a=FLOATS, b=FLOATS)
def test_keys_order_as_numbers_do(a: float, b: float) -> None:
    key_a, key_b = (int(keys(np.array([x], np.float32))[0]) for x in (a, b))
    if np.isnan(a) or np.isnan(b):
        return
    assert (key_a < key_b) == (a < b or (a == b == 0 and struct.pack("f", a) > struct.pack("f", b)))


@given(st.integers(0, 2**31 - 1), st.integers(-20, 60))
def test_decay_and_sigmoid_are_close_to_the_functions(distance: int, bits: int) -> None:
    x = np.ldexp(float(distance), -bits)
    assert abs(int(decay(np.array([distance]), bits)[0]) / ONE - np.exp(-min(x, 700))) < 1.1e-8
    assert abs(int(sigmoid(np.array([-distance]), bits)[0]) / ONE - 1 / (1 + np.exp(min(x, 700)))) < 1.1e-8


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_classes_are_onnxruntimes_and_scores_within_the_tolerance(first: int) -> None:
    decided: Counter[str] = Counter()
    for seed in range(first, first + 50):
        op, attributes, features = ensemble(seed, (1, 3, 10, 100))
        made = built(op, attributes, features)
        forest, p = fix(made)
        x = inputs(seed, 100, features, made.value)
        wanted = reference(model_of(op, attributes, features).SerializeToString(), x)
        label, scores = run(forest, p, x)
        if made.classes:
            np.testing.assert_array_equal(label, wanted["label"], err_msg=f"seed {seed}")
            decided["by class"] += 1
        real = ~np.isnan(wanted["scores"]).any(axis=1)  # SOFTMAX_ZERO of zeros alone is 0 / 0 there, 0 here
        assert np.abs(scores - wanted["scores"])[real].max(initial=0) <= p["tolerance"], f"seed {seed}"
    assert decided["by class"] > 10


def test_near_ties_are_decided_as_float32_sums_decide_them() -> None:
    """Ten votes of 0.1: five of them are 0.5 in float32 but more in exact arithmetic, and 0.5 is not above 0.5."""
    votes = np.full(10, 0.1, np.float32)
    total = np.float32(0)
    for vote in votes[:5]:
        total += vote
    assert total == np.float32(0.5)
    assert float(votes[:5].astype(np.float64).sum()) > 0.5
    rows = range(10)
    attributes = {
        "nodes_treeids": [t for t in rows for _ in range(3)], "nodes_nodeids": [0, 1, 2] * 10,
        "nodes_featureids": [t for t in rows for _ in range(3)], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 10,
        "nodes_values": [0.5, 0.0, 0.0] * 10, "nodes_truenodeids": [1, 0, 0] * 10, "nodes_falsenodeids": [2, 0, 0] * 10,
        "class_treeids": [t for t in rows for _ in range(2)], "class_nodeids": [1, 2] * 10, "class_ids": [0] * 20,
        "class_weights": [0.0, float(np.float32(0.1))] * 10, "classlabels_int64s": [0, 1], "post_transform": "NONE",
    }  # fmt: skip
    made = built("TreeEnsembleClassifier", attributes, 10)
    x = np.array([[1.0] * k + [0.0] * (10 - k) for k in range(11)], np.float32)
    label, _ = run(*fix(made), x)
    wanted = reference(model_of("TreeEnsembleClassifier", attributes, 10).SerializeToString(), x)["label"]
    np.testing.assert_array_equal(label, wanted)
    forest, p = fix(made)
    assert (
        run(forest, p | {"band": -1}, x)[0].tolist() != wanted.tolist()
    )  # the integer sums alone would not do


def program_of(made: Ensemble, form: str, name: str = "trees") -> IntegerProgram:
    """A program of one trees step, printed in a form."""
    forest, attributes = fix(made)
    puts = (0, 1) if made.classes else (1,)
    tensors = {
        "x": QuantizedTensor("x", (made.features,), dtype="float32"),
        "label": QuantizedTensor("label", (), dtype="int64"),
        "scores": QuantizedTensor("scores", (made.scores,), dtype="float32"),
    }
    outputs = ("label", "scores") if made.classes else ("scores",)
    values = {**attributes, "puts": puts, "form": FORMS.index(form)}
    step = Step("trees", "trees", ("x",), outputs[0], forest.arrays(), values, also=outputs[1:])
    kept = {n: t for n, t in tensors.items() if n == "x" or n in outputs}
    return IntegerProgram(name, ("x",), outputs, (step,), kept)


def same_bits(found: dict[str, Array], wanted: dict[str, Array]) -> bool:
    return all(
        found[name].tobytes() == np.ascontiguousarray(value).tobytes() for name, value in wanted.items()
    )


def alone(program: IntegerProgram) -> IntegerProgram:
    """The label and not the scores."""
    (step,) = program.steps
    step = replace(step, output="label", also=(), attributes={**step.attributes, "puts": (0,)})
    tensors = {name: tensor for name, tensor in program.tensors.items() if name != "scores"}
    return replace(program, steps=(step,), tensors=tensors, outputs=("label",), name=f"{program.name}_alone")


def test_c_of_every_form_equals_the_definition(tmp_path: Path) -> None:
    """34 random ensembles x 3 forms x 100 inputs, under address and undefined-behaviour sanitizers.

    Printed for a core that adds and compares floats and for one that does not, with scores and the label alone.
    """
    jobs, printed = [], Counter[str]()
    for seed in range(34):
        op, attributes, features = ensemble(1000 + seed)
        if seed % 3 == 0:  # features far from each other
            features, far = features * 40, attributes["nodes_featureids"]
            attributes["nodes_featureids"] = [feature * 40 for feature in far]
        made = built(op, attributes, features)
        x = inputs(seed, 100, features, made.value)
        for form in FORMS:
            program = program_of(made, form, f"t{seed}_{form}")
            program = alone(program) if made.classes and seed % 4 < 3 else program
            sources = emit_c(program, ("cortex-m4f", "cortex-m0plus")[seed % 2])
            jobs.append(Job(program, sources, {"x": x}))
            printed["float branches"] += "const float *c = x0" in sources.source
            printed["integer branches"] += "const int32_t *c" in sources.source and form == "branches"
            printed["far features"] += "*d = c + " in sources.source
            printed["several tables"] += len(set(re.findall(r"thresholds_\d+", sources.source))) > 1
            printed["float sums"] += "float sums[" in sources.source
            printed["rows of several sums"] += "_add_float(sums" in sources.source
            printed["close decisions"] += "float close[" in sources.source
    wrong = [
        job.program.name
        for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True)
        if not same_bits(found, job.program.run(job.inputs))
    ]
    assert wrong == []
    assert len(printed) == 7
    assert min(printed.values()) > 0, printed


def test_the_onnx_print_of_every_comparison() -> None:
    """Complemented columns, tests for equality and zeros that rows leave out are spelled again as ONNX."""
    for seed in range(2000, 2030):
        made = built(*ensemble(seed))
        program = program_of(made, "tables")
        x = inputs(seed, 60, made.features, made.value)
        found, wanted = run_qdq(to_qdq(program), program, {"x": x}), program.run({"x": x})
        if made.classes:
            np.testing.assert_array_equal(found["label"], wanted["label"], err_msg=f"seed {seed}")
        real = ~np.isnan(found["scores"]).any(axis=1)
        room = program.steps[0].attributes["tolerance"]
        assert np.abs(found["scores"] - wanted["scores"])[real].max(initial=0) <= room, f"seed {seed}"


@cache
def lowered(path: Path) -> tuple[Graph, IntegerProgram]:
    graph = read_onnx(path)
    return graph, lower(graph, {}).program


def hard(graph: Graph) -> Array:
    """Features around the model's own thresholds, some of them missing."""
    made = ensemble_of(graph.nodes[0])
    return inputs(7, 300, made.features, made.value[made.mode != 6])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_exported_models_keep_their_class_and_survive_the_file(path: Path, tmp_path: Path) -> None:
    graph, program = lowered(path)
    x = hard(graph)
    (name,) = program.inputs
    found = program.run({name: x})
    save_program(program, tmp_path / "program.npz")
    again = load_program(tmp_path / "program.npz")
    assert same_bits(again.run({name: x}), found)
    assert emit_c(again, "cortex-m4f").source == emit_c(program, "cortex-m4f").source
    assert to_qdq(again) == to_qdq(program)
    if "text" in path.stem:
        assert "0 setosa, 1 versicolor, 2 virginica" in emit_c(program, "cortex-m4f").source
    printed = run_qdq(to_qdq(program), program, {name: x})
    wanted = reference(path.read_bytes(), x)
    for output, values in found.items():
        if values.dtype == np.int64:
            np.testing.assert_array_equal(printed[output], values)
            if wanted[output].dtype == np.int64:
                np.testing.assert_array_equal(values, wanted[output])
        else:
            room = program.steps[0].attributes["tolerance"]
            assert np.abs(values - wanted[output].reshape(values.shape)).max() <= room
            assert np.abs(values - printed[output]).max() <= room


def test_exported_models_in_c(tmp_path: Path) -> None:
    jobs = []
    for path in MODELS:
        graph, program = lowered(path)
        name = program.inputs[0]
        for form in range(len(FORMS)):
            step = replace(program.steps[0], attributes={**program.steps[0].attributes, "form": form})
            made = replace(program, name=f"{path.stem}_{form}", steps=(step,))
            jobs.append(Job(made, emit_c(made, "cortex-m4f"), {name: hard(graph)}))
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        assert same_bits(found, job.program.run(job.inputs)), job.program.name


def test_a_deployment_keeps_class_and_scores_and_verifies(tmp_path: Path) -> None:
    """`trine compile`, `verify` and `simulate` with missing values among the examples: no value differs."""
    pytest.importorskip("unicorn")
    pytest.importorskip("ziglang")
    from trine.compilers.deploy import deploy
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Job as Request
    from trine.devices import EdgeDevice, load_device
    from trine.edge.passes import EdgeOptions
    from trine.edge.simulate import simulate, verify

    path = next(path for path in MODELS if path.stem == "xgboost_classes")
    x = np.random.default_rng(0).normal(3, 2, (40, 4)).astype(np.float32)
    x[::5, 1] = np.nan  # a missing value
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(40) % 3)
    device = load_device("stm32l4r5")
    assert isinstance(device, EdgeDevice)
    made = deploy(Request(path, device, tmp_path / "out", tmp_path / "x.npz"), EdgeTarget())
    against = [parity["against"] for parity in made.record["parity"]]
    assert len(against) == 4
    assert all(parity["differing"] == 0 for parity in made.record["parity"])
    assert made.record["accuracy"]["disagreements"] == 0
    found = verify(Deployment(made.folder, made.record), device, EdgeOptions())
    assert all(parity["differing"] == 0 for parity in found["parity"])
    ran = simulate(Deployment(made.folder, made.record), device, tmp_path / "x.npz", EdgeOptions())
    assert ran["results"]["accuracy"]["examples"] == 40


def test_large_trees_take_wider_tables(tmp_path: Path) -> None:
    """A tree of 300 splits, one after the other, each with a leaf of its own: sixteen bits number its children."""
    count = 300
    modes = ["BRANCH_LT"] * count + ["LEAF"] * (count + 1)
    ids = list(range(2 * count + 1))
    attributes = {
        "nodes_treeids": [0] * len(ids), "nodes_nodeids": ids, "nodes_featureids": [0] * len(ids), "nodes_modes": modes,
        "nodes_values": [float(i) for i in range(count)] + [0.0] * (count + 1),
        "nodes_truenodeids": [count + i for i in range(count)] + [0] * (count + 1),
        "nodes_falsenodeids": [*range(1, count), 2 * count] + [0] * (count + 1),
        "target_treeids": [0] * (count + 1), "target_nodeids": list(range(count, 2 * count + 1)),
        "target_ids": [0] * (count + 1), "target_weights": [float(i) for i in range(count + 1)], "n_targets": 1,
    }  # fmt: skip
    made = built("TreeEnsembleRegressor", attributes, 1)
    x = np.arange(-3, 310, dtype=np.float32)[:, None] * np.float32(0.97)
    jobs = []
    for form in FORMS[:2]:
        program = program_of(made, form, f"long_{form}")
        jobs.append(Job(program, emit_c(program, "host"), {"x": x}))
        assert "uint16_t yes, no" in jobs[-1].sources.source
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        assert same_bits(found, job.program.run(job.inputs))
        np.testing.assert_allclose(found["scores"][:, 0], np.clip(np.floor(x[:, 0]) + 1, 0, count), atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
@example(357)  # all leaves zero
def test_each_leaf_is_reached_as_the_source_says(seed: int) -> None:
    op, attributes, features = ensemble(seed)
    made = built(op, attributes, features)
    forest, p = fix(made)
    x = inputs(seed, 40, features, made.value)
    rows = leaves(forest, columns(forest, x))
    table = forest.dense(forest.row_float)
    np.testing.assert_array_equal(table[rows], made.weights[made.leaves(x)])
    assert p["tolerance"] < 1e-3


def test_layers_between_integers_and_trees_are_refused_by_name() -> None:
    """A Relu behind the scores, in int8: an obstacle that names the node."""
    from trine.compilers.cases import case_graph
    from trine.compilers.graph import Node, Tensor
    from trine.compilers.operators import operators
    from trine.devices import load_device

    graph = case_graph("TreeEnsembleRegressor", operators()["TreeEnsembleRegressor"].cases[0])
    relu = Node("Relu", "after", ("y",), ("z",))
    mixed = replace(
        graph, nodes=(*graph.nodes, relu), outputs=("z",), tensors={**graph.tensors, "z": Tensor("z", (2,))}
    )
    (obstacle,) = EdgeTarget().obstacles(mixed, load_device("stm32l4r5"))
    assert "after (Relu): reads floats here" in obstacle
    assert EdgeTarget("float32").obstacles(mixed, load_device("stm32l4r5")) == []


def test_the_forest_of_a_step_is_what_was_stored() -> None:
    made = built(*ensemble(3))
    program = program_of(made, "tables")
    assert set(program.steps[0].constants) == set(Forest.__dataclass_fields__)
    assert forest_of(program.steps[0].constants).row_count == fix(made)[0].row_count
