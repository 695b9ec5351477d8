"""`ibm` against a local server speaking IBM's runtime REST interface, through IBM's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_server import serving
from ibm_vendor import CRN, MACHINE, TOKEN, Ibm

from trine.devices.errors import InputError
from trine.quantum import jobs
from trine.quantum.circuit import Circuit, gate
from trine.quantum.ledger import Job, Ledger
from trine.quantum.providers import ConnectionLost
from trine.quantum.work import Work

pytest.importorskip("qiskit_ibm_runtime")
BELL = Circuit(3, (gate("x", 2), gate("h", 0), gate("cx", 0, 1)))


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ibm]:
    """IBM's client, pointed at the local server by the variables and account that IBM documents."""
    made = Ibm()
    with serving(made) as url:
        monkeypatch.setenv("QISKIT_FUNCTIONS_EXPERIMENTAL", "1")  # no search for instances in IBM's cloud
        monkeypatch.setenv("IAM_URL", url)
        monkeypatch.setenv("QISKIT_IBM_URL", f"{url}/experimental")
        monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
        monkeypatch.setenv("QISKIT_IBM_INSTANCE", CRN)
        monkeypatch.setenv("QISKIT_IBM_CHANNEL", "ibm_quantum_platform")
        yield made


def submitted(ledger: Ledger, work: Work | None = None) -> Job:
    """A job's row."""
    return ledger.prepare(work or Work(200, (BELL,), seed=3), f"ibm:{MACHINE}", "none", "a")


def test_submit_and_fetch(vendor: Ibm, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    flipped = Circuit(2, (gate("x", 0),), measured=(1, 0))
    (job,) = jobs.wait(ledger, [submitted(ledger, Work(200, (BELL, flipped), seed=3, scales=(1, 3)))])
    assert job.state == "done"
    assert job.remote == "job0"
    outcome = ledger.outcome(job)
    assert set(outcome.samples[0].strings()) == {"100", "111"}
    assert outcome.samples[1].strings() == {"01"[::-1]: 200}
    assert outcome.usage == {"machine_s": 2.5}
    assert outcome.metadata["machine"] == MACHINE
    assert len(set(outcome.metadata["qubits"][0])) == 3
    assert "calibrated" in outcome.metadata
    assert vendor.jobs["job0"]["tags"] == [job.key]
    assert vendor.jobs["job0"]["program"] == {"id": "executor"}
    no_secret(ledger, jobs.connect(job.provider), capfd)


def no_secret(ledger: Ledger, connection: object, capfd: pytest.CaptureFixture[str]) -> None:
    """The token is in no file of the ledger, no output, no repr."""
    ledger.close()
    for file in ledger.path.parent.iterdir():
        assert TOKEN.encode() not in file.read_bytes()
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err + repr(connection) + str(vars(connection))


def test_folding_happens_in_the_machines_gates(vendor: Ibm) -> None:
    connection = jobs.connect(f"ibm:{MACHINE}")
    plain, folded = connection.lowered(Work(1, (BELL, BELL), scales=(1, 3)))  # type: ignore[attr-defined]
    assert set(folded.count_ops()) <= {"rz", "sx", "x", "cx", "measure", "barrier", "sxdg"}
    assert folded.num_nonlocal_gates() == 3 * plain.num_nonlocal_gates()


def test_a_lost_answer_is_not_sent_twice(vendor: Ibm, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    vendor.drop_send = 1
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == "done"
    assert len(vendor.jobs) == 1


def test_another_process_goes_on(vendor: Ibm, tmp_path: Path) -> None:
    """Killed between IBM's taking the job and its answer: the next client finds it by the tag."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = submitted(ledger)
    vendor.drop_send = 1
    assert ledger.begin_sending(job) is not None
    with pytest.raises(ConnectionLost):
        jobs.connect(job.provider).send(ledger.work(job), job.key)
    ledger.put_down(job)
    del ledger
    after = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(after, [after.job(job.id)])
    assert (job.state, job.remote) == ("done", "job0")
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize(("fate", "state"), [("Failed", "failed"), ("Cancelled", "cancelled")])
def test_jobs_that_end_badly(vendor: Ibm, tmp_path: Path, fate: str, state: str) -> None:
    vendor.fate = fate
    ledger = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == state
    if state == "failed":
        assert job.error is not None
        assert "has failed" in job.error


def test_cancel_and_a_job_that_is_gone(vendor: Ibm, tmp_path: Path) -> None:
    vendor.fate = "Queued"
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = jobs.advance(ledger, submitted(ledger), jobs.connect(f"ibm:{MACHINE}"))
    assert job.state == "sent"
    assert jobs.cancel(ledger, job).state == "cancelled"
    assert vendor.jobs["job0"]["state"]["status"] == "Cancelled"
    other = jobs.advance(ledger, submitted(ledger, Work(100, (BELL,))), jobs.connect(f"ibm:{MACHINE}"))
    vendor.jobs.clear()
    (other,) = jobs.wait(ledger, [other])
    assert other.state == "expired"


def test_bad_input(vendor: Ibm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connection = jobs.connect(f"ibm:{MACHINE}")
    assert connection.obstacles(Work(10**7, (Circuit(9, ()),))) == [
        f"9 qubits, {MACHINE} has 5",
        f"10000000 shots, {MACHINE} takes {vendor.configuration['max_shots']} a job",
    ]
    with pytest.raises(InputError, match="did you mean ibm_manila"):
        jobs.connect("ibm:ibm_manil")
    with pytest.raises(InputError, match="needs a machine"):
        jobs.connect("ibm")
    vendor.refuse = True
    with pytest.raises(InputError, match="ibm") as refused:
        jobs.connect(f"ibm:{MACHINE}")
    assert TOKEN not in str(refused.value)


def test_missing_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from qiskit_ibm_runtime.accounts import management

    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="save_account"):
        jobs.connect(f"ibm:{MACHINE}")
