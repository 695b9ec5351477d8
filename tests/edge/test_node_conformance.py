"""ONNX's own node tests of the supported operators, through the float32 C on this machine."""

from __future__ import annotations

import pytest
from node_cases import examine, node_cases

from trine.edge.float32 import writers


@pytest.mark.parametrize("operator", sorted(writers()))
def test_every_node_case_passes_or_is_refused_by_name(operator: str) -> None:
    outcomes = {name: examine(case) for name, case in node_cases().get(operator, {}).items()}
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.verdict == "failed"}
    assert not failed, "\n".join(f"{name}: {outcome.reason}" for name, outcome in failed.items())
    assert all(o.reason for o in outcomes.values() if o.verdict == "refused")
