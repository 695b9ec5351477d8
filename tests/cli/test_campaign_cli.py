"""`trine campaign`, through its own small app."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from trine import campaign_cli
from trine.quantum.problem import Stated, problems, write_problem

pytest.importorskip("distributed")


def test_a_folder_becomes_a_ranking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_LEDGER", str(tmp_path / "ledger.sqlite"))
    docking = problems()["docking"]
    (tmp_path / "poses").mkdir()
    for k in range(3):
        stated = Stated(docking, docking.sample(np.random.default_rng(k), 6))
        write_problem(stated, tmp_path / "poses" / f"pose{k}.json")
    app = typer.Typer()
    campaign_cli.register(app)
    app.callback()(lambda: None)
    given = [
        "campaign",
        str(tmp_path / "poses"),
        "--workers",
        "1",
        "--shots",
        "20",
        "-o",
        str(tmp_path / "r.jsonl"),
    ]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [r["state"] for r in lines] == ["done"] * 3
    assert [r["best"] for r in lines] == sorted(r["best"] for r in lines)
    assert lines[0]["name"] in shown.output
    again = CliRunner().invoke(app, [*given, "--json"])
    assert json.loads(again.stdout[again.stdout.index("{") : again.stdout.rindex("}") + 1])["rows"] == lines
