"""Trine's C of tree ensembles beside emlearn's: instructions, flash, RAM, and whether the class is the source model's.

    pip install scikit-learn skl2onnx emlearn          # in an environment of its own, named by --peer
    python benchmarks/trees.py --peer ENV/bin/python   # prints the table and writes benchmarks/results/trees.json

One scikit-learn forest each, fitted on float32 features; both sides answer with the class alone.
- trine: the ONNX export, float32 features, in each of its forms (docs/trees.md); its class is compared with
  onnxruntime's. Scores are left out, because emlearn's `predict` gives none.
- emlearn: `convert(model, method)` of the same forest fitted on features scaled to int16 (it has no float32 trees), its
  `inline` and `loadable` code; it lets whole trees vote, where scikit-learn and ONNX add their probabilities. Its count
  is given as called with int16, and with the loop that makes int16 of the float32 features, which a device whose
  features are floats needs.
Same compiler (zig -O2) and emulated core. RAM = static data + deepest stack, the caller's buffers not counted; Trine's
stack is that of an example with missing values too, which takes most. Instructions: mean of EXAMPLES examples, evenly
spread.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from record import keep, machine

from trine.compilers.graph import Array
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.emulate import Entry, emulator_for
from trine.edge.lower import lower
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.trees.choice import FORMS

CORES = ("cortex-m4f", "cortex-m0plus")
EXAMPLES = 24
MODELS = ("cancer_10_trees", "cancer_100_trees", "digits_20_trees")

MAKE = """
import sys, warnings
warnings.filterwarnings("ignore")
import emlearn, numpy as np
from pathlib import Path
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from skl2onnx import to_onnx
out = Path(sys.argv[1])
forests = {
    "cancer_10_trees": (load_breast_cancer, dict(n_estimators=10)),
    "cancer_100_trees": (load_breast_cancer, dict(n_estimators=100, max_depth=6)),
    "digits_20_trees": (load_digits, dict(n_estimators=20, max_depth=10)),
}
for name, (load, size) in forests.items():
    x, y = load(return_X_y=True)
    x = x.astype(np.float32)
    most = np.abs(x).max(axis=0)
    scale = (32000 / np.where(most > 0, most, 1)).astype(np.float32)
    q = (x * scale).astype(np.int16)
    forest = RandomForestClassifier(random_state=0, **size).fit(x, y)
    (out / f"{name}.onnx").write_bytes(to_onnx(forest, x[:1], options={"zipmap": False}).SerializeToString())
    fixed = RandomForestClassifier(random_state=0, **size).fit(q, y)
    for method in ("inline", "loadable"):
        code = emlearn.convert(fixed, method=method, dtype="int16_t").save(name="m", format="c", inference=[method])
        (out / f"{name}_{method}.h").write_text(code)
    np.savez(out / f"{name}.npz", x=x, q=q, scale=scale, source=fixed.predict(q))
folder = Path(emlearn.__file__).parent
for header in folder.glob("eml_*.h"):
    (out / header.name).write_text(header.read_text())
import importlib.metadata as m
(out / "versions.txt").write_text("\\n".join(f"{p} {m.version(p)}" for p in ("emlearn", "scikit-learn", "skl2onnx")))
"""


def measure(
    core: str, source: str, header: str, entry: Entry, rows: Array, hard: Array | None = None
) -> tuple[dict[str, Any], Array]:
    """Cost of a C file on a core, and its outputs; rows: int8 [n, input bytes]; hard: a row that needs more stack."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "m.c").write_text(source)
        (Path(folder) / "m.h").write_text(header)
        with emulator_for(core).load(Path(folder), entry) as program:
            few = rows[np.linspace(0, len(rows) - 1, EXAMPLES).astype(int)]
            profiles = [program.profile([row[None]]) for row in few]
            stack = [program.profile([row]).stack_bytes for row in ([] if hard is None else [hard])]
            (outputs,) = program.run([rows])
            cost = {
                "instructions": round(float(np.mean([p.instructions for p in profiles]))),
                "most_instructions": max(p.instructions for p in profiles),
                "flash_bytes": program.sizes.flash_bytes,
                "ram_bytes": program.sizes.ram_bytes + max(*stack, *(p.stack_bytes for p in profiles)),
            }
    return cost, outputs.view(np.int64)[:, 0]


def label_program(model: Path, form: str) -> IntegerProgram:
    """The label alone, in a form."""
    graph = read_onnx(model)
    program = lower(replace(graph, name="m"), {}).program
    (step,) = program.steps
    attributes = {**step.attributes, "puts": (0,), "form": FORMS.index(form)}
    step = replace(step, also=(), attributes=attributes)
    tensors = {n: t for n, t in program.tensors.items() if n in (*step.inputs, step.output)}
    return replace(program, steps=(step,), outputs=(step.output,), tensors=tensors)


def trine(folder: Path, name: str, form: str, core: str) -> dict[str, Any]:
    """Trine's cost, and how many classes are onnxruntime's."""
    import onnxruntime

    program = label_program(folder / f"{name}.onnx", form)
    x = np.load(folder / f"{name}.npz")["x"]
    sources = emit_c(program, core)
    missing = as_bytes(np.full_like(x[:1], np.nan))
    cost, found = measure(core, sources.source, sources.header, entry_of(program, "m"), as_bytes(x), missing)
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    wanted = session.run(["label"], {"X": x})[0]
    return cost | {"examples": len(x), "other_class_than_source": int((found != wanted).sum())}


def emlearn(folder: Path, name: str, method: str, core: str, convert: bool) -> dict[str, Any]:
    """emlearn's cost, and how many classes are those of the forest it was made of."""
    data = np.load(folder / f"{name}.npz")
    features = data["x"].shape[1]
    scales = ", ".join(f"{float(s).hex()}f" for s in data["scale"])
    loop = f"""
static const float scale[{features}] = {{{scales}}};
int trine_m_run(const float *in, int64_t *out);
int trine_m_run(const float *in, int64_t *out) {{
  int16_t q[{features}];
  for (int i = 0; i < {features}; i++) q[i] = (int16_t)(in[i] * scale[i]);
  *out = m_predict(q, {features});
  return 0;
}}
"""
    call = f"""
int trine_m_run(const int16_t *in, int64_t *out);
int trine_m_run(const int16_t *in, int64_t *out) {{ *out = m_predict(in, {features}); return 0; }}
"""
    source = inlined(folder, (folder / f"{name}_{method}.h").read_text()) + (loop if convert else call)
    rows = as_bytes(data["x"] if convert else data["q"])
    cost, found = measure(core, source, "", Entry("trine_m_run", (rows.shape[1],), (8,), 8), rows)
    return cost | {"examples": len(rows), "other_class_than_source": int((found != data["source"]).sum())}


def inlined(folder: Path, text: str) -> str:
    """emlearn's headers put in; the standard library it includes is not there and not called."""
    once: set[str] = set()

    def put(match: re.Match[str]) -> str:
        if match[1] in once:
            return ""
        once.add(match[1])
        return re.sub(r'#include [<"](eml_\w+\.h)[>"]', put, (folder / match[1]).read_text())

    text = re.sub(r'#include [<"](eml_\w+\.h)[>"]', put, text)
    text = re.sub(r"#include <(?!stdint|stddef|stdbool)[^>]*>", "", text)
    return f'#include <stddef.h>\n#define NAN __builtin_nanf("")\n{text}'


def main() -> None:
    """Measure everything, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--peer", default=sys.executable, help="Python with scikit-learn, skl2onnx and emlearn"
    )
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as made:
        folder = Path(made)
        subprocess.run([given.peer, "-c", MAKE, made], check=True, env={"PATH": "/usr/bin:/bin"})
        versions = (folder / "versions.txt").read_text().splitlines()
        sides: dict[str, Callable[[str, str], dict[str, Any]]] = {
            "trine, branches": lambda name, core: trine(folder, name, "branches", core),
            "trine, tables": lambda name, core: trine(folder, name, "tables", core),
            "trine, ranks": lambda name, core: trine(folder, name, "ranks", core),
            "emlearn, inline, int16 given": lambda name, core: emlearn(folder, name, "inline", core, False),
            "emlearn, inline, from float32": lambda name, core: emlearn(folder, name, "inline", core, True),
            "emlearn, loadable, int16 given": lambda name, core: emlearn(
                folder, name, "loadable", core, False
            ),
        }
        for core in CORES:
            for name in MODELS:
                for side, run in sides.items():
                    row = {"core": core, "model": name, "side": side, **run(name, core)}
                    rows.append(row)
                    costs = f"{row['instructions']:7} instructions, {row['flash_bytes']:6} B flash"
                    wrong = f"{row['other_class_than_source']} of {row['examples']} classes differ"
                    print(
                        f"{core:14} {name:17} {side:31} {costs}, {row['ram_bytes']:4} B RAM, {wrong}",
                        flush=True,
                    )
    print(
        keep(
            "trees",
            {
                "machine": machine("onnx", "onnxruntime", "unicorn", "ziglang"),
                "peers": versions,
                "rows": rows,
            },
        )
    )


if __name__ == "__main__":
    main()
