"""`dwave` against a local server speaking SAPI, through D-Wave's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_server import serving
from dwave_vendor import NAME, READS, TOKEN, DWave

from trine.devices.errors import InputError
from trine.quantum import jobs
from trine.quantum.circuit import Circuit
from trine.quantum.ledger import Job, Ledger
from trine.quantum.problem import problems
from trine.quantum.providers import ConnectionLost
from trine.quantum.work import Work

pytest.importorskip("dwave.system")
MAXCUT = problems()["maxcut"]
POLYNOMIAL = MAXCUT.encode(MAXCUT.example()).polynomial


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DWave]:
    """D-Wave's client, pointed at the local server by its own variables."""
    made = DWave()
    with serving(made) as url:
        monkeypatch.setenv("DWAVE_API_ENDPOINT", f"{url}/")
        monkeypatch.setenv("DWAVE_API_TOKEN", TOKEN)
        monkeypatch.setenv("DWAVE_CONFIG_FILE", "")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield made


def submitted(ledger: Ledger, seed: int = 0) -> Job:
    """A job's row."""
    return ledger.prepare(Work(READS, (), POLYNOMIAL, seed=seed), f"dwave:{NAME}", "none", "a")


def test_submit_and_fetch(vendor: DWave, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(tmp_path / "a" / "ledger.sqlite")
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == "done"
    outcome = ledger.outcome(job)
    assert outcome.samples[0].shots == READS
    assert POLYNOMIAL.energy(outcome.samples[0].bits).min() == -4
    assert outcome.usage == {"machine_s": 0.015}
    assert outcome.metadata["machine"] == NAME
    assert outcome.metadata["chain_break_fraction"] == 0
    assert outcome.metadata["qubits"] >= 5
    assert [p["label"] for p in vendor.problems.values()] == [job.key]
    connection = jobs.connect(job.provider)
    ledger.close()
    for file in ledger.path.parent.iterdir():
        assert TOKEN.encode() not in file.read_bytes()
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err + repr(connection)


def test_the_embedding_is_found_again(vendor: DWave) -> None:
    """By another client, which has only the work; another seed may give another one."""
    work = Work(READS, (), POLYNOMIAL, seed=3)
    first, again = (jobs.connect(f"dwave:{NAME}").embedding(work) for _ in range(2))  # type: ignore[attr-defined]
    assert first == again


def test_a_changed_machine_is_noticed(vendor: DWave, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    connection = jobs.connect(f"dwave:{NAME}")
    job = jobs.send(ledger, submitted(ledger), connection)
    work = ledger.work(job)
    taken = {q for chain in connection.embedding(work).values() for q in chain}  # type: ignore[attr-defined]
    sampler = connection.sampler  # type: ignore[attr-defined]
    sampler._edgelist = [e for e in sampler.edgelist if min(taken) not in e]
    job = jobs.advance(ledger, job, connection)
    assert job.state == "failed"
    assert "graph has changed" in str(job.error)


def test_a_lost_answer_is_not_sent_twice(vendor: DWave, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    vendor.drop_send = 1
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == "done"
    assert len(vendor.problems) == 1


def test_another_process_goes_on(vendor: DWave, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = submitted(ledger)
    vendor.drop_send = 1
    assert ledger.begin_sending(job) is not None
    with pytest.raises(ConnectionLost):
        jobs.connect(job.provider).send(ledger.work(job), job.key)
    ledger.put_down(job)
    after = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(after, [after.job(job.id)])
    assert (job.state, job.remote) == ("done", "problem-0")
    assert len(vendor.problems) == 1


@pytest.mark.parametrize(("fate", "state"), [("FAILED", "failed"), ("CANCELLED", "cancelled")])
def test_jobs_that_end_badly(vendor: DWave, tmp_path: Path, fate: str, state: str) -> None:
    vendor.fate = fate
    ledger = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == state
    assert state != "failed" or job.error == "the fridge is warm"


def test_cancel_and_expired(vendor: DWave, tmp_path: Path) -> None:
    vendor.fate = "PENDING"
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = jobs.advance(ledger, submitted(ledger), jobs.connect(f"dwave:{NAME}"))
    assert job.state == "sent"
    assert jobs.cancel(ledger, job).state == "cancelled"
    assert vendor.problems["problem-0"]["status"] == "CANCELLED"
    other = jobs.advance(ledger, submitted(ledger, 1), jobs.connect(f"dwave:{NAME}"))
    vendor.problems.clear()
    (other,) = jobs.wait(ledger, [other])
    assert other.state == "expired"


def test_bad_input(vendor: DWave, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = jobs.connect("dwave")
    assert connection.obstacles(Work(1, (Circuit(1, ()),))) == ["dwave takes a polynomial, not circuits"]
    assert "takes 10000 a problem" in connection.obstacles(Work(20_000, (), POLYNOMIAL))[0]
    with pytest.raises(InputError, match=f"did you mean {NAME}"):
        jobs.connect("dwave:chimera_32_mock")
    vendor.refuse = True
    with pytest.raises(InputError, match="token was refused") as refused:
        connection.find("key")
    assert TOKEN not in str(refused.value)
    monkeypatch.delenv("DWAVE_API_TOKEN")
    with pytest.raises(InputError, match="dwave config create"):
        jobs.connect("dwave")
