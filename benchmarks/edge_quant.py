"""Trine's quantiser beside onnxruntime's and NNCF's: same network, same calibration examples, int8.

python benchmarks/edge_quant.py [--nncf PYTHON]      PYTHON: of an environment with nncf, onnx and onnxruntime

Prints one table and writes benchmarks/results/edge_quant.json. SQNR in dB of the int8 network's output
against the float network's, on examples neither quantiser has seen: DS2 beats for the ECG network, every
other stored input for the MLPerf Tiny networks ("scores": with the closing Softmax cut off, where SQNR says
more). onnxruntime: QDQ, int8 activations and weights, per channel, after its own pre-processing, run with
session.qdqisint8allowed=1; its entropy calibrator's defaults (128 bins, 128 levels) never leave it a
narrower range than min-max. The one spindle recording is both calibrated on and judged by. Needs the data
folder named by TRINE_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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
NO_CLASSES = ("ad01_fp32",)  # an autoencoder
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


def cut(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model without a closing Softmax, or None if it has none."""
    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    if last.op_type != "Softmax":
        return None
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
    sqnr, same, seconds, failed = {}, {}, {}, {}

    def note(quantizer: str, y: Array, since: float) -> None:
        sqnr[quantizer] = round(decibels(noise_ratio(exact, y.reshape(exact.shape))), 2)
        same[quantizer] = round(float(np.mean(y.reshape(exact.shape).argmax(1) == exact.argmax(1))), 4)
        seconds[quantizer] = round(since, 1)

    started = time.perf_counter()
    program = quantize(graph, calibration).program
    note("trine", program.run_float(test)[graph.outputs[0]], time.perf_counter() - started)
    for label, method in CALIBRATORS.items():
        started = time.perf_counter()
        try:
            quantized = by_ort(path, folder, calibration, method)
            spent = time.perf_counter() - started
            note(f"onnxruntime {label}", run_ort(quantized, test), spent)
        except Exception as reason:  # whatever a quantiser makes of a network it does not know
            failed[f"onnxruntime {label}"] = str(reason).strip().split("\n")[-1][:200]
    if nncf:
        started = time.perf_counter()
        try:
            quantized = by_nncf(nncf, path, folder, calibration)
            spent = time.perf_counter() - started
            note("nncf", run_ort(quantized, test), spent)
        except Exception as reason:
            error = getattr(reason, "stderr", b"") or str(reason).encode()
            failed["nncf"] = error.decode(errors="replace").strip().split("\n")[-1][:200]
    classes = None if name in NO_CLASSES else same
    return Row(name, calibration.count, len(exact), sqnr, classes, seconds, failed)


def spindle(folder: Path, nncf: str | None) -> Row:
    """One real recording of 30 s."""
    with np.load(DATA / "models_eeg_onnx" / "spindle_eeg_sample.npz") as stored:
        data = {name: stored[name].astype(np.float32) for name in ("raw_signal", "spectrogram")}
    path = DATA / "models_eeg_onnx" / "spindle-detector-eeg.onnx"
    return compare("spindle detector", path, InMemory(data), data, folder, nncf)


def mlperf(folder: Path, nncf: str | None) -> Iterator[Row]:
    """Calibrated on every other stored input, tested on the rest."""
    for name in MLPERF:
        path = DATA / "models_mlperf_tiny" / f"{name}.onnx"
        model = onnx.load(path)
        x = np.load(path.with_suffix(".npz"))["x"].astype(np.float32)
        data = {model.graph.input[0].name: x}
        calibration, test = ({n: v[start::2] for n, v in data.items()} for start in (0, 1))
        shorter = cut(model)
        if shorter is not None:
            onnx.save(shorter, folder / "scores.onnx")
            yield compare(
                f"{name} (scores)", folder / "scores.onnx", InMemory(calibration), test, folder, nncf
            )
        yield compare(name, path, InMemory(calibration), test, folder, nncf)


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
    nncf = parser.parse_args().nncf
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [ecg(folder, nncf), *mlperf(folder, nncf), spindle(folder, nncf)]
    quantizers = ["trine", *(f"onnxruntime {label}" for label in CALIBRATORS), *(["nncf"] if nncf else [])]
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
    RESULT.write_text(json.dumps({"machine": machine(), "rows": [asdict(r) for r in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
