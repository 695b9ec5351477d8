"""ONNX's own node tests of the supported operators, through the float32 C on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_cases import examine, node_cases, row

from trine.compilers.operators import operators
from trine.edge.float32 import writers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "onnx-node-tests.md"


@pytest.mark.parametrize("operator", sorted({*writers(), *operators()}))
def test_every_node_case_passes_or_is_refused_by_name(operator: str) -> None:
    """What passes is counted in docs/onnx-node-tests.md, made by `python tests/edge/node_cases.py`."""
    outcomes = {name: examine(case) for name, case in node_cases().get(operator, {}).items()}
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.verdict == "failed"}
    assert not failed, "\n".join(f"{name}: {outcome.reason}" for name, outcome in failed.items())
    assert all(outcome.reason for outcome in outcomes.values() if outcome.verdict == "refused")
    assert not outcomes or row(operator, list(outcomes.values())) in PAGE.read_text(encoding="utf-8")
