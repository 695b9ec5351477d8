"""`braket` against a local server speaking Braket's and S3's interfaces, through Amazon's SDK and boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from braket_vendor import DEVICE, SECRET, Braket
from cloud_server import serving

from trine.devices.errors import InputError
from trine.quantum import jobs
from trine.quantum.circuit import Circuit, gate
from trine.quantum.ledger import Job, Ledger
from trine.quantum.polynomial import Polynomial
from trine.quantum.providers import ConnectionLost
from trine.quantum.work import Work

pytest.importorskip("braket.aws")
BELL = Circuit(3, (gate("x", 2), gate("h", 0), gate("cx", 0, 1)))
FLIPPED = Circuit(2, (gate("x", 0),), measured=(1, 0))


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Braket]:
    """Amazon's client, pointed at the local server by AWS's own variables."""
    made = Braket()
    with serving(made) as url:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AMZN_BRAKET_JOB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        monkeypatch.setenv("BRAKET_ENDPOINT", url)
        monkeypatch.setenv("AMZN_BRAKET_OUT_S3_BUCKET", "amazon-braket-test")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        yield made


def submitted(ledger: Ledger, *circuits: Circuit) -> Job:
    """A job's row."""
    return ledger.prepare(Work(100, circuits or (BELL,)), "braket:garnet", "none", "a")


def test_submit_and_fetch(vendor: Braket, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(tmp_path / "a" / "ledger.sqlite")
    (job,) = jobs.wait(ledger, [submitted(ledger, BELL, FLIPPED)])
    assert job.state == "done"
    assert len(json.loads(str(job.remote))) == 2
    outcome = ledger.outcome(job)
    assert set(outcome.samples[0].strings()) == {"100", "111"}
    assert outcome.samples[1].strings() == {"10": 100}
    assert {t["deviceArn"] for t in vendor.tasks.values()} == {DEVICE}
    assert {t["tags"]["trine"] for t in vendor.tasks.values()} == {job.key}
    connection = jobs.connect(job.provider)
    ledger.close()
    for file in ledger.path.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err + repr(connection) + str(vars(connection))


def test_a_lost_answer_is_not_sent_twice(vendor: Braket, tmp_path: Path) -> None:
    """Two circuits, the first one's answer lost again and again: two tasks in the end."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    vendor.drop_send = 4
    connection = jobs.connect("braket:garnet")
    connection.settle_s = 0.1
    job = jobs.advance(ledger, submitted(ledger, BELL, FLIPPED), connection)
    (job,) = jobs.wait(ledger, [job])
    assert job.state == "done"
    assert len(vendor.tasks) == 2


def test_another_process_goes_on(vendor: Braket, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = submitted(ledger)
    vendor.drop_send = 9
    assert ledger.begin_sending(job) is not None
    with pytest.raises(ConnectionLost):
        jobs.connect(job.provider).send(ledger.work(job), job.key)
    vendor.drop_send = 0
    creations = sum(a.path == "/quantum-task" for a in vendor.asked)
    ledger.put_down(job)
    after = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(after, [after.job(job.id)])
    assert job.state == "done"
    assert len(vendor.tasks) == 1
    assert sum(a.path == "/quantum-task" for a in vendor.asked) == creations  # found by its tag


@pytest.mark.parametrize(("fate", "state"), [("FAILED", "failed"), ("CANCELLED", "cancelled")])
def test_jobs_that_end_badly(vendor: Braket, tmp_path: Path, fate: str, state: str) -> None:
    vendor.fate = fate
    ledger = Ledger(tmp_path / "ledger.sqlite")
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == state
    assert state != "failed" or job.error == "the trap lost its ions"


def test_cancel_expired_and_removed_results(vendor: Braket, tmp_path: Path) -> None:
    vendor.fate = "QUEUED"
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = jobs.advance(ledger, submitted(ledger), jobs.connect("braket:garnet"))
    assert job.state == "sent"
    assert jobs.cancel(ledger, job).state == "cancelled"
    assert next(iter(vendor.tasks.values()))["status"] == "CANCELLED"
    other = jobs.advance(ledger, submitted(ledger, FLIPPED), jobs.connect("braket:garnet"))
    vendor.tasks.clear()
    (other,) = jobs.wait(ledger, [other])
    assert other.state == "expired"


def test_removed_results(vendor: Braket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(vendor, "stored", lambda asked: _no_key())
    (job,) = jobs.wait(ledger, [submitted(ledger)])
    assert job.state == "failed"
    assert "NoSuchKey" in str(job.error)


def _no_key() -> object:
    from cloud_server import Answer

    return Answer(b"<Error><Code>NoSuchKey</Code></Error>", 404, "application/xml")


def test_bad_input(vendor: Braket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean garnet"):
        jobs.connect("braket:garnett")
    with pytest.raises(InputError, match="needs a device"):
        jobs.connect("braket")
    connection = jobs.connect(f"braket:{DEVICE}")
    assert "folding" in connection.obstacles(Work(1, (BELL,), scales=(3,)))[0]
    assert "dwave" in connection.obstacles(Work(1, polynomial=Polynomial(1, {(0,): 1.0})))[0]
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InputError, match="aws configure"):
        jobs.connect("braket:forte")


def test_refused_credentials(vendor: Braket, tmp_path: Path) -> None:
    vendor.refuse = True
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(InputError, match="refused the credentials"):
        jobs.wait(ledger, [submitted(ledger)])
    assert ledger.jobs()[0].state == "prepared"
