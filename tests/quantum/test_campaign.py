"""Campaigns: a killed worker changes nothing, a stopped campaign goes on, rows are those of single runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.campaign import Named, read_instances, run_campaign
from trine.quantum.campaign.judging import compute, work_for
from trine.quantum.campaign.run import local_cluster
from trine.quantum.ledger import Ledger
from trine.quantum.problem import Stated, problems, write_problem

pytest.importorskip("distributed")
DOCKING = problems()["docking"]
COUNT, SHOTS, LAYERS = 60, 20, 2


def poses(count: int) -> list[Named]:
    """Small docking instances of 6 to 8 qubits."""
    return [
        Named(f"pose {k:03}", Stated(DOCKING, DOCKING.sample(np.random.default_rng(k), 6 + k % 3)))
        for k in range(count)
    ]


def alone(named: Named) -> dict[str, object]:
    """The row of one problem, computed in this process."""
    work = work_for(named.stated, "circuit", SHOTS, LAYERS, 0)
    found = compute(named.stated.as_json(), work.as_json(), "local")
    return dict(found["outcome"]["metadata"]["campaign"])


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    """Two local workers, one killed in the middle of 60 poses; then the campaign again, which computes nothing."""
    chosen = poses(COUNT)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    seen: list[int] = []
    killed: list[int] = []
    with local_cluster(2) as cluster:

        def progress(stage: str, done: int, total: int) -> None:
            if stage != "campaign":
                return
            seen.append(done)
            assert total == COUNT
            if done == 10:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        address = cluster.scheduler_address
        rows = run_campaign(
            chosen, "local", SHOTS, LAYERS, scheduler=address, ledger=ledger, progress=progress
        )
    assert killed
    assert seen == list(range(1, COUNT + 1))
    assert {r.state for r in rows} == {"done"}
    assert len(ledger.jobs("done")) == COUNT
    costs = [r.best for r in rows if r.best is not None]
    assert costs == sorted(costs)
    by_name = {r.name: r.as_json() for r in rows}
    for named in chosen:
        expected = alone(named)
        assert {k: by_name[named.name][k] for k in expected} == expected
    again: list[str] = []
    assert run_campaign(
        chosen, "local", SHOTS, LAYERS, ledger=ledger, progress=lambda stage, done, total: again.append(stage)
    ) == rows  # fmt: skip
    assert set(again) == {"preparing"}  # no worker was started


def test_a_stopped_campaign_goes_on(tmp_path: Path) -> None:
    """Of 6 poses, 4 are in the ledger: 2 are computed; one that the provider cannot run is refused by name."""
    chosen = poses(6)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    from trine.quantum.work import Outcome

    for named in chosen[:4]:
        work = work_for(named.stated, "circuit", SHOTS, LAYERS, 0)
        job = ledger.prepare(work, "local", "none", named.name)
        found = compute(named.stated.as_json(), work.as_json(), "local")
        ledger.move(job, ("prepared",), "done", "", outcome=Outcome.from_json(found["outcome"]))
    wide = Named("wide", Stated(DOCKING, DOCKING.sample(np.random.default_rng(0), 40)))
    totals: dict[str, int] = {}
    rows = run_campaign(
        [*chosen, wide, chosen[0]], "local", SHOTS, LAYERS, 1, ledger=ledger,
        progress=lambda stage, done, total: totals.__setitem__(stage, total),
    )  # fmt: skip
    assert totals["campaign"] == 2
    assert [r.state for r in rows].count("done") == 7
    refused = rows[-1]
    assert (refused.name, refused.state, refused.job) == ("wide", "refused", None)
    assert "40 qubits" in str(refused.error)
    assert len(ledger.jobs()) == 6


def test_machines_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sends and follows, workers judge: the same rows, and jobs that failed say so."""
    monkeypatch.setenv("TRINE_REHEARSAL", str(tmp_path / "machine.sqlite"))
    chosen = poses(4)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    rows = run_campaign(chosen, "rehearsal:lost=0.2,fail=0.4", SHOTS, LAYERS, 1, ledger=ledger)
    assert {r.state for r in rows} == {"done", "failed"}
    expected = {n.name: alone(n) for n in chosen}
    for row in rows:
        if row.state == "done":
            assert {k: row.as_json()[k] for k in expected[row.name]} == expected[row.name]
        else:
            assert row.error == "the provider says: failed"


def test_annealers(tmp_path: Path) -> None:
    rows = run_campaign(poses(3), "dwave-local", SHOTS, LAYERS, 1, ledger=Ledger(tmp_path / "ledger.sqlite"))
    assert [r.state for r in rows] == ["done"] * 3
    assert [r.best for r in rows] == pytest.approx([r.optimum for r in rows])


def test_an_instance_that_breaks_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.devices.errors import MissingExtra
    from trine.quantum.campaign import judging

    work = work_for(poses(1)[0].stated, "circuit", SHOTS, LAYERS, 0).as_json()
    stated = poses(1)[0].stated.as_json()

    def broken(*given: object) -> None:
        raise ZeroDivisionError("weights of zero")

    def lacking(*given: object) -> None:
        raise MissingExtra("dimod", "quantum", "baselines")

    monkeypatch.setattr(judging, "judged", broken)
    assert compute(stated, work, "local") == {"error": "weights of zero"}
    monkeypatch.setattr(judging, "judged", lacking)
    assert "trine[quantum]" in compute(stated, work, "local")["abort"]


def test_reading(tmp_path: Path) -> None:
    chosen = poses(3)
    for named in chosen:
        write_problem(named.stated, tmp_path / f"{named.name}.json")
    assert read_instances(tmp_path) == chosen
    lines = [json.dumps({**n.stated.as_json(), "notes": {"name": n.name}}) for n in chosen]
    (tmp_path / "all.jsonl").write_text("\n".join(lines) + "\n\n")
    assert [n.name for n in read_instances(tmp_path / "all.jsonl")] == [n.name for n in chosen]
    assert [n.stated.instance for n in read_instances(tmp_path / "all.jsonl")] == [
        n.stated.instance for n in chosen
    ]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no problem in it"):
        read_instances(tmp_path)
    (tmp_path / "x.jsonl").write_text(
        '{"schema": "trine.problem/1", "problem": "dokking", "instance": {}}\n{\n'
    )
    with pytest.raises(InputError, match=r"line 1: .*did you mean docking.*line 2: column"):
        read_instances(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_instances(tmp_path / "none.jsonl")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(InputError, match="0 workers"):
        run_campaign(poses(1), workers=0, ledger=ledger)
    with pytest.raises(InputError, match="no provider"):
        run_campaign(poses(1), "lokal", ledger=ledger)
    with pytest.raises(InputError, match="no Dask scheduler"):
        run_campaign(poses(1), scheduler="nonsense://x", ledger=ledger)
