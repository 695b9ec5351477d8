"""The committed ECG network: small and plain enough for an MCU, as good as its README says."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trine.compilers import datasets
from trine.compilers.metrics import Accuracy, score

EXAMPLE = Path(__file__).parents[2] / "examples" / "ecg"
SHARED = Path(os.environ.get("TRINE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PLAIN = {"Conv", "Relu", "AveragePool", "Reshape", "Gemm", "Concat"}


def script(name: str) -> ModuleType:
    """A script of the example, imported from its file."""
    spec = importlib.util.spec_from_file_location(f"ecg_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> Any:
    import onnx

    return onnx.load(str(EXAMPLE / "ecg.onnx"), load_external_data=False)


def readme_number(pattern: str) -> float:
    found = re.search(pattern, (EXAMPLE / "README.md").read_text("utf-8"))
    assert found, f"README.md says nothing like {pattern}"
    return float(found[1].replace(",", ""))


def test_the_network_is_inference_only_and_carries_its_weights(model: Any) -> None:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= PLAIN
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"beat": ["batch", 2, 128], "rr": ["batch", 8], "logits": ["batch", 5]}
    # No path of the machine it was made on.
    assert not re.search(rb"/(home|root|tmp|work|usr)/", model.SerializeToString())


def test_size_is_within_the_budget_and_as_the_readme_says(model: Any) -> None:
    import onnx

    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model)
    length = {v.name: v.type.tensor_type.shape.dim[-1].dim_value for v in inferred.graph.value_info}
    macs = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            macs += weights[node.input[1]].size * (length[node.output[0]] if node.op_type == "Conv" else 1)
    parameters = sum(w.size for w in weights.values() if w.dtype == np.float32)
    assert macs == readme_number(r"([\d,]+) multiply-accumulates") <= 1_000_000
    assert parameters == readme_number(r"([\d,]+) parameters") <= 60_000


def test_a_beat_has_the_same_logits_alone_and_in_a_batch() -> None:
    chance = np.random.default_rng(0)
    inputs = {
        "beat": chance.normal(0, 0.5, (5, 2, 128)).astype(np.float32),
        "rr": chance.normal(0, 0.2, (5, 8)).astype(np.float32),
    }
    logits = script("evaluate").logits
    together = logits(EXAMPLE / "ecg.onnx", inputs)
    assert together.shape == (5, 5)
    for i in range(5):
        alone = logits(EXAMPLE / "ecg.onnx", {name: values[i : i + 1] for name, values in inputs.items()})
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def ds2(tmp_path_factory: pytest.TempPathFactory) -> Accuracy:
    if not (SHARED / "mitbih").is_dir():
        pytest.skip("TRINE_DATA has no mitbih")
    folder = tmp_path_factory.mktemp("mitbih")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRINE_DATA", str(SHARED))
        datasets.write("mitbih", folder)
    with np.load(folder / "test.npz") as file:
        inputs = {name: file[name] for name in ("beat", "rr")}
        guess = script("evaluate").logits(EXAMPLE / "ecg.onnx", inputs).argmax(axis=1)
        return score(file["y"], guess, file["classes"].tolist(), file["group"])


def test_the_result_on_ds2_is_the_one_in_the_readme(ds2: Accuracy) -> None:
    assert ds2.accuracy == pytest.approx(readme_number(r"accuracy (0\.\d{4})\n"), abs=2e-4)
    assert ds2.macro_f1 == pytest.approx(readme_number(r"macro-F1 (0\.\d{3}), "), abs=2e-3)
    for one in ds2.per_class:
        row = rf"\| {one.name} \| %s \| %s \| [-\d.]+ \| {one.support} \|"
        if one.recall is not None:
            assert one.recall == pytest.approx(readme_number(row % (r"([\d.]+)", r"[-\d.]+")), abs=2e-3)
        if one.precision is not None:
            assert one.precision == pytest.approx(readme_number(row % (r"[-\d.]+", r"([\d.]+)")), abs=2e-3)


def test_v_recall_on_ds2_reaches_its_aim(ds2: Accuracy) -> None:
    recall = {one.name: one.recall or 0.0 for one in ds2.per_class}
    assert recall["V"] >= 0.90


@pytest.mark.xfail(reason="aim missed: 0.899 on DS2, for false S beats; the README says so", strict=True)
def test_accuracy_on_ds2_reaches_its_aim(ds2: Accuracy) -> None:
    assert ds2.accuracy >= 0.94


# --- the training script ---


@pytest.fixture(scope="module")
def training() -> ModuleType:
    torch = pytest.importorskip("torch", reason="extra torch")
    torch.set_num_threads(1)
    return script("train")


def few_beats(training: ModuleType) -> Any:
    """Two made-up patients; S differs from N by its timing, V by its shape."""
    import torch

    chance = np.random.default_rng(1)
    y: npt.NDArray[np.int64] = np.tile([0, 0, 1, 2, 3], 40)
    beat = 0.1 * chance.normal(size=(200, 2, 128)).astype(np.float32)
    beat[y == 2, :, 40:60] += 1
    rr = np.zeros((200, 8), np.float32)
    rr[y == 1, 0] = -0.5
    patient = np.repeat([1, 2], 100)
    return training.Beats(torch.from_numpy(beat), torch.from_numpy(rr), y, patient, tuple("NSVFQ"))


def test_training_is_repeatable_and_learns_shape_and_timing(training: ModuleType) -> None:
    import torch

    beats, rows = few_beats(training), np.arange(200)
    recipe = training.Recipe(steps=100, batch=64, averaging=0.9, shares=(0.4, 0.3, 0.3, 0.0, 0.0))
    first, second = (training.train(beats, rows, recipe, 3, "test") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    guess = training.predict(first, beats, rows)
    for k in (0, 1, 2):
        assert (guess[beats.y == k] == k).mean() > 0.9


def test_the_exported_network_is_the_trained_one_without_its_training_parts(
    training: ModuleType, tmp_path: Path
) -> None:
    import torch

    beats = few_beats(training)
    net = training.train(beats, np.arange(200), training.Recipe(steps=5, batch=32), 0, "test")
    for name in ("a.onnx", "b.onnx"):
        training.export(net, beats, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    inputs = {"beat": beats.beat.numpy(), "rr": beats.rr.numpy()}
    with torch.no_grad():
        expected = net(beats.beat, beats.rr).numpy()
    np.testing.assert_allclose(
        script("evaluate").logits(tmp_path / "a.onnx", inputs), expected, rtol=1e-3, atol=1e-4
    )


def test_folds_hold_out_every_patient_with_rare_beats_once_and_only_ds1(training: ModuleType) -> None:
    from trine.compilers.datasets.mitbih import DS1

    held_out = [patient for fold in training.FOLDS for patient in fold]
    assert sorted(held_out) == list(DS1)
