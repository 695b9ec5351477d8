"""Valid models to start from: every case and form of every operator, and the tree models of tests/edge/trees."""

from __future__ import annotations

from functools import cache
from pathlib import Path

TREES = Path(__file__).parent.parent / "edge" / "trees"


@cache
def models() -> list[bytes]:
    """Serialised ONNX files, always in the same order."""
    from onnx import defs

    from trine.compilers.cases import case_graph, form_model
    from trine.compilers.onnx_writer import write_onnx
    from trine.compilers.operators import operators

    found = []
    for name, operator in sorted(operators().items()):
        for case in operator.cases:
            found.append(write_onnx(case_graph(name, case)).SerializeToString(deterministic=True))
        for form in operator.forms:
            opset = min(form.opsets[1], defs.onnx_opset_version())
            found.append(form_model(operator, form, opset).SerializeToString(deterministic=True))
    found += [path.read_bytes() for path in sorted(TREES.glob("*.onnx"))]
    return found
