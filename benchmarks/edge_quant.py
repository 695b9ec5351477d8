"""Trine's quantiser beside onnxruntime's and NNCF's: same network, same calibration examples, int8.

python benchmarks/edge_quant.py [--nncf PYTHON] [--only NETWORK ...]

PYTHON: of an environment with nncf, onnx and onnxruntime. NETWORK: rows to measure again, the others staying as stored.

Prints one table and writes benchmarks/results/edge_quant.json. SQNR in dB of the int8 network's output
against the float network's, on examples neither quantiser has seen: DS2 beats for the ECG network, every
other stored input for the MLPerf Tiny networks ("scores": with the closing Softmax cut off, where SQNR says
more). onnxruntime: QDQ, int8 activations and weights, per channel, after its own pre-processing, run with
session.qdqisint8allowed=1; its entropy calibrator's defaults (128 bins, 128 levels) never leave it a
narrower range than min-max. The one spindle recording is both calibrated on and judged by; the seizure network
sees spectrograms of that EEG with bursts added, not its own data. "trine int8x16": activations of 16 bits.
Trine computes all of a network in integers. The others leave parts in float32: `float_nodes` in the results counts
them. Needs the data folder named by TRINE_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from trine.compilers.datasets import write as write_dataset
from trine.compilers.graph import Array
from trine.compilers.onnx_reader import read_onnx
from trine.devices.errors import TrineError
from trine.edge.int16 import widest
from trine.edge.quantize import quantize
from trine.edge.quantize.replay import decibels, noise_ratio
from trine.edge.quantize.samples import spread_indices
from trine.edge.simplify import simplify

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
RESULT = ROOT / "benchmarks" / "results" / "edge_quant.json"
NNCF = """
import sys, numpy, onnx, nncf
model, data, out = sys.argv[1:]
stored = dict(numpy.load(data))
count = len(next(iter(stored.values())))
rows = [{name: x[i : i + 1] for name, x in stored.items()} for i in range(count)]
made = nncf.quantize(
    onnx.load(model), nncf.Dataset(rows), preset=nncf.QuantizationPreset.MIXED, subset_size=count,
    target_device=nncf.TargetDevice.CPU,
)
onnx.save(made, out)
print(nncf.__version__)
"""
MLPERF = ("kws_ref_model_float32", "kws_savedmodel_float32", "pretrainedResnet", "ad01_fp32")
MOVING = (
    "Slice",
    "Reshape",
    "Transpose",
    "Gather",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Flatten",
    "Pad",
    "Shape",
)
FUSED = {"Relu", "Clip"}  # become part of the integer layer before them
NO_CLASSES = ("ad01_fp32", "spindle detector")  # an autoencoder, and boxes
CALIBRATORS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
ECG_CALIBRATION, ECG_TEST = 1024, 4096


@dataclass(frozen=True)
class Row:
    """One network, by quantiser: SQNR in dB, share of examples of the float network's class, seconds."""

    network: str
    calibration_examples: int
    test_examples: int
    sqnr_db: dict[str, float]
    same_class: dict[str, float] | None
    seconds: dict[str, float]
    failed: dict[str, str]
    float_nodes: dict[str, dict[str, int]]
    load_average: float


@dataclass(frozen=True)
class InMemory:
    """Examples as both quantisers read them."""

    data: dict[str, Array]

    @property
    def count(self) -> int:
        return len(next(iter(self.data.values())))

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, Array]]:
        for start in range(0, self.count, size):
            yield {name: x[start : start + size] for name, x in self.data.items()}


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
    """The same examples for onnxruntime, one at a time."""

    def __init__(self, examples: InMemory) -> None:
        self.each = iter(examples.batches(1))

    def get_next(self) -> dict[str, Array] | None:
        return next(self.each, None)


def cut(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without its closing Softmax."""
    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    shorter = onnx.ModelProto()
    shorter.CopyFrom(model)
    shorter.graph.node.remove(
        next(n for n in shorter.graph.node if n.name == last.name and n.output == last.output)
    )
    shorter.graph.output[0].name = last.input[0]
    return shorter


def run_ort(path: Path, data: dict[str, Array]) -> Array:
    """Output of an ONNX file on all examples, default optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, batch)[0] for batch in InMemory(data).batches(1)]
    return np.concatenate(parts)


def float_nodes(path: Path) -> dict[str, int]:
    """Nodes of a QDQ file that compute in float32: those with an activation that no DequantizeLinear gives, and
    recurrent ones, which onnxruntime has in float alone."""
    graph = onnx.load(path).graph
    moving = {"QuantizeLinear", "DequantizeLinear", "Constant", *MOVING}
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    found: Counter[str] = Counter()
    for node in graph.node:
        read = {made_by.get(name, "DequantizeLinear") for name in node.input if name}
        if node.op_type not in moving | FUSED and (read - moving or node.op_type in ("LSTM", "GRU", "RNN")):
            found[node.op_type] += 1
    return dict(sorted(found.items()))


def by_nncf(python: str, path: Path, folder: Path, calibration: InMemory) -> Path:
    """The file quantised by NNCF, in an environment of its own. Its defaults: mixed preset, fast bias correction."""
    data, out, program = folder / "nncf.npz", folder / "nncf.onnx", folder / "by_nncf.py"
    np.savez(data, **calibration.data)
    program.write_text(NNCF)
    subprocess.run([python, str(program), str(path), str(data), str(out)], check=True, capture_output=True)
    return out


def by_ort(path: Path, folder: Path, calibration: InMemory, method: CalibrationMethod) -> Path:
    """The file quantised by onnxruntime."""
    prepared, out = folder / "prepared.onnx", folder / f"{method.name}.onnx"
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, out, Reader(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, calibrate_method=method,
    )  # fmt: skip
    return out


def compare(
    name: str, path: Path, calibration: InMemory, test: dict[str, Array], folder: Path, nncf: str | None
) -> Row:
    """One row: every quantiser on one network, by its first output."""
    graph = simplify(read_onnx(path, {n: (1, *x.shape[1:]) for n, x in test.items()}))
    exact = graph.run(test)[graph.outputs[0]]
    sqnr, same, seconds, failed, floats = {}, {}, {}, {}, {}

    def note(quantizer: str, y: Array, since: float) -> None:
        sqnr[quantizer] = round(decibels(noise_ratio(exact, y.reshape(exact.shape))), 2)
        same[quantizer] = round(float(np.mean(y.reshape(exact.shape).argmax(-1) == exact.argmax(-1))), 4)
        seconds[quantizer] = round(since, 1)

    started = time.perf_counter()
    program = quantize(graph, calibration).program
    note("trine", program.run_float(test)[graph.outputs[0]], time.perf_counter() - started)
    started = time.perf_counter()
    try:
        program = quantize(graph, calibration, activation_bits=widest(graph)).program
        note("trine int8x16", program.run_float(test)[graph.outputs[0]], time.perf_counter() - started)
    except TrineError as reason:  # a layer without an int16 kernel
        failed["trine int8x16"] = str(reason)[:200]
    for label, method in CALIBRATORS.items():
        started = time.perf_counter()
        try:
            quantized = by_ort(path, folder, calibration, method)
            spent = time.perf_counter() - started
            note(f"onnxruntime {label}", run_ort(quantized, test), spent)
            floats[f"onnxruntime {label}"] = float_nodes(quantized)
        except Exception as reason:  # whatever a quantiser makes of a network it does not know
            failed[f"onnxruntime {label}"] = str(reason).strip().split("\n")[-1][:200]
    if nncf:
        started = time.perf_counter()
        try:
            quantized = by_nncf(nncf, path, folder, calibration)
            spent = time.perf_counter() - started
            note("nncf", run_ort(quantized, test), spent)
            floats["nncf"] = float_nodes(quantized)
        except Exception as reason:
            error = getattr(reason, "stderr", b"") or str(reason).encode()
            failed["nncf"] = error.decode(errors="replace").strip().split("\n")[-1][:200]
    classes = None if name in NO_CLASSES else same
    load = round(os.getloadavg()[0], 1)
    return Row(name, calibration.count, len(exact), sqnr, classes, seconds, failed, floats, load)


def spindle(folder: Path, nncf: str | None) -> Row:
    """One real recording of 30 s."""
    with np.load(DATA / "models_eeg_onnx" / "spindle_eeg_sample.npz") as stored:
        data = {name: stored[name].astype(np.float32) for name in ("raw_signal", "spectrogram")}
    path = DATA / "models_eeg_onnx" / "spindle-detector-eeg.onnx"
    return compare("spindle detector", path, InMemory(data), data, folder, nncf)


def spectrograms(count: int, steps: int) -> Array:
    """Log spectrograms, float32 [count, 100, steps], of the one real EEG, half of them with bursts."""
    with np.load(DATA / "models_eeg_onnx" / "spindle_eeg_sample.npz") as stored:
        eeg = stored["raw_signal"].ravel() / stored["raw_signal"].std()
    rng, made, length = np.random.default_rng(0), [], 125 * (steps + 1)
    for i in range(count):
        signal = np.roll(eeg, rng.integers(len(eeg)))[:length] * np.exp(0.3 * rng.normal())
        if i % 2:
            size = int(rng.integers(length // 4, length // 2))
            at, rate = rng.integers(length - size), rng.uniform(2.5, 8)
            burst = np.sign(np.sin(2 * np.pi * rate * np.arange(size) / 250)) * np.hanning(size)
            signal[at : at + size] += rng.uniform(2, 8) * burst
        windows = np.lib.stride_tricks.sliding_window_view(signal, 250)[::125] * np.hanning(250)
        made.append(np.log10(np.abs(np.fft.rfft(windows, axis=1)[:, 1:101]) ** 2 + 1e-3).T)
    return ((np.stack(made) + 0.3) / 1.6).astype(np.float32)  # near zero mean and unit deviation


def seizure(folder: Path, nncf: str | None) -> Row:
    """Calibrated on 32 spectrograms of 8 half seconds, tested on 64 others."""
    path = folder / "seizure.onnx"
    model = onnx.load(DATA / "models_eeg_onnx" / "seizure_modelA.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 8
    onnx.save(model, path)
    name, x = model.graph.input[0].name, spectrograms(96, 8)
    return compare("seizure states", path, InMemory({name: x[:32]}), {name: x[32:]}, folder, nncf)


def mlperf(name: str, scores: bool, folder: Path, nncf: str | None) -> Row:
    """Calibrated on every other stored input, tested on the rest; scores: the closing Softmax cut off."""
    path = DATA / "models_mlperf_tiny" / f"{name}.onnx"
    model = onnx.load(path)
    x = np.load(path.with_suffix(".npz"))["x"].astype(np.float32)
    data = {model.graph.input[0].name: x}
    calibration, test = ({n: v[start::2] for n, v in data.items()} for start in (0, 1))
    if not scores:
        return compare(name, path, InMemory(calibration), test, folder, nncf)
    onnx.save(cut(model), folder / "scores.onnx")
    return compare(f"{name} (scores)", folder / "scores.onnx", InMemory(calibration), test, folder, nncf)


def ecg(folder: Path, nncf: str | None) -> Row:
    """Calibrated on DS1 beats, tested on DS2 beats."""
    os.environ.setdefault("TRINE_DATA", str(DATA))  # or the loader would fall back to synthetic beats
    write_dataset("mitbih", folder)
    sets = []
    for file, wanted in (("calib.npz", ECG_CALIBRATION), ("test.npz", ECG_TEST)):
        with np.load(folder / file) as stored:
            picked = spread_indices(len(stored["beat"]), wanted)
            sets.append({name: stored[name][picked].astype(np.float32) for name in ("beat", "rr")})
    path = ROOT / "examples" / "ecg" / "ecg.onnx"
    return compare("ecg", path, InMemory(sets[0]), sets[1], folder, nncf)


def networks(folder: Path, nncf: str | None) -> dict[str, Callable[[], Row]]:
    """What measures a row, by the row's name."""
    rows: dict[str, Callable[[], Row]] = {"ecg": partial(ecg, folder, nncf)}
    for name in MLPERF:
        if name not in NO_CLASSES:
            rows[f"{name} (scores)"] = partial(mlperf, name, True, folder, nncf)
        rows[name] = partial(mlperf, name, False, folder, nncf)
    rows["seizure states"] = partial(seizure, folder, nncf)
    rows["spindle detector"] = partial(spindle, folder, nncf)
    return rows


def machine() -> dict[str, Any]:
    """What the seconds were measured on, and with which versions."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": ort.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nncf", help="the Python of an environment with nncf")
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK", help="measure these rows again")
    given = parser.parse_args()
    nncf = given.nncf
    with tempfile.TemporaryDirectory() as name:
        wanted = networks(Path(name), nncf)
        rows = [wanted[network]() for network in given.only or wanted]
    before = json.loads(RESULT.read_text())["rows"] if given.only else []
    stored = {row["network"]: row for row in before} | {row.network: asdict(row) for row in rows}
    quantizers = ["trine", "trine int8x16", *(f"onnxruntime {label}" for label in CALIBRATORS)]
    quantizers += ["nncf"] if nncf else []
    print(f"{'SQNR in dB (same class)':34}" + "".join(f"{q:>26}" for q in quantizers))
    for row in rows:
        same = {q: f"{share:.1%}" for q, share in (row.same_class or {}).items()}
        cells = [
            f"{row.sqnr_db[q]:.1f} ({same.get(q, '-')}, {row.seconds[q]:.0f} s)"
            if q in row.sqnr_db
            else "failed"
            for q in quantizers
        ]
        print(f"{row.network:34}" + "".join(f"{cell:>26}" for cell in cells))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(
        json.dumps({"machine": machine(), "rows": [stored[n] for n in wanted if n in stored]}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
