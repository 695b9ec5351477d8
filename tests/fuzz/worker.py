"""Runs cases under a memory limit: reads "SEED FOLDER" lines, answers each with one JSON line.

Of a model everything is done that `trine check` and a compilation do before anything is compiled: read, run, lower in
int8 and float32, plan memory, print C and ONNX. Verdict: "ok", "refused" with the message, or "finding" with the
traceback.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
MEMORY = 2 << 30
MOST_MACS = 20_000_000
MOST_VALUES = 2_000_000


def main() -> None:
    """Serve until standard input ends."""
    import numpy  # noqa: F401 - loaded before the limit, like what follows
    import onnx  # noqa: F401
    import onnxscript.optimizer  # noqa: F401
    from corpus import models

    models()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        seed, folder = line.rstrip("\n").split(" ", 1)
        answers.write(json.dumps(judge(int(seed), Path(folder))) + "\n")
        answers.flush()


def judge(seed: int, folder: Path) -> dict[str, Any]:
    """Make and run one case."""
    from mutate import case

    kind, data = case(seed)
    path = folder / ("case.npz" if kind == "npz" else "case.onnx")
    path.write_bytes(data)
    return verdict(seed, kind, path)


def verdict(seed: int, kind: str, path: Path) -> dict[str, Any]:
    """Run a file."""
    from trine.devices.errors import AnswerIsNo, InputError

    answer: dict[str, Any] = {"seed": seed, "kind": kind, "verdict": "ok", "message": ""}
    try:
        use_examples(path) if path.suffix == ".npz" else use_model(path)
    except (InputError, AnswerIsNo) as error:
        answer |= {"verdict": "refused", "message": str(error)[:300]}
        if not str(error).strip():
            answer |= {"verdict": "finding", "message": "an error without a message"}
    except BaseException:
        answer |= {"verdict": "finding", "message": traceback.format_exc()[-3000:]}
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if used > MEMORY:
        answer |= {"verdict": "finding", "message": f"{used >> 20} MiB of memory; {answer['message']}"}
    return answer


def use_model(path: Path) -> None:
    """Everything short of compiling C."""
    import numpy as np

    from trine.compilers.cases import draw
    from trine.compilers.onnx_reader import read_onnx
    from trine.compilers.onnx_writer import write_onnx
    from trine.devices import load_device
    from trine.devices.errors import InputError
    from trine.edge.c.emit import emit_c
    from trine.edge.checking import check_edge
    from trine.edge.float32 import float_program
    from trine.edge.target import EdgeTarget

    graph = read_onnx(path)
    device = load_device("stm32l4r5")
    if graph.macs() <= MOST_MACS and sum(t.size for t in graph.tensors.values()) <= MOST_VALUES:
        with np.errstate(all="ignore"):
            graph.run(draw(graph, 2))
    write_onnx(graph)
    if not EdgeTarget("float32").obstacles(graph, device):
        emit_c(float_program(graph), device.core)
    try:
        check_edge(path, device, {})
    except InputError as error:
        if not str(error).strip():
            raise


def use_examples(path: Path) -> None:
    """What calibration does with a file, down to the integer program and its accuracy."""
    import numpy as np

    from trine.compilers.cases import case_graph
    from trine.compilers.examples import Examples
    from trine.compilers.operators import Case
    from trine.edge.accuracy import accuracy
    from trine.edge.quantize import quantize

    weight = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    graph = case_graph("Gemm", Case("dense", ((4,),), {}, (weight, np.float32([0.5, -1, 2]))))
    examples = Examples.open(path, graph.inputs, require_varied=True)
    for _ in examples.batches(7):
        pass
    _ = examples.labels, examples.group, examples.classes
    made = quantize(graph, examples)
    accuracy(graph, made.program, examples)


if __name__ == "__main__":
    main()
