"""`braket:NAME`: machines that Amazon Braket sells access to: IonQ, IQM, Rigetti, AQT, and Amazon's own simulators.

Credentials come from boto3's chain (AWS_PROFILE, ~/.aws, a role). One circuit is one task. Each task's clientToken is
derived from the job's key: Braket itself then takes a repeated request as the first one (CreateQuantumTask, Amazon
Braket API reference). The tags hold the key too; a lost answer is looked up among the device's tasks.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.providers import ConnectionLost, JobFailed, Provider, RemoteState
from trine.quantum.providers.braket_local import braket_circuit, braket_samples
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

QPU = "arn:aws:braket:{}::device/qpu/{}"
DEVICES = {  # braket.devices.Devices of amazon-braket-sdk 1.127
    "forte": QPU.format("us-east-1", "ionq/Forte-1"),
    "forte-enterprise": QPU.format("us-east-1", "ionq/Forte-Enterprise-1"),
    "garnet": QPU.format("eu-north-1", "iqm/Garnet"),
    "emerald": QPU.format("eu-north-1", "iqm/Emerald"),
    "ankaa": QPU.format("us-west-1", "rigetti/Ankaa-3"),
    "cepheus": QPU.format("us-west-1", "rigetti/Cepheus-1-108Q"),
    "ibex": QPU.format("eu-north-1", "aqt/Ibex-Q1"),
    "sv1": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
    "dm1": "arn:aws:braket:::device/quantum-simulator/amazon/dm1",
}
STATES: dict[str, RemoteState] = {
    "CREATED": "queued", "QUEUED": "queued", "RUNNING": "running", "CANCELLING": "running", "COMPLETED": "done",
    "FAILED": "failed", "CANCELLED": "cancelled",
}  # fmt: skip
LATER = (
    "InternalServiceException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "RequestTimeout",
    "SlowDown",
)
REFUSED = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken",
           "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDeniedException", "AccessDenied")  # fmt: skip
GONE = ("ResourceNotFoundException", "NoSuchKey", "NoSuchBucket")
HOW = "braket: AWS finds no credentials; run `aws configure`, or set AWS_PROFILE, as boto3 reads them"


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Tell lost connections and busy services from refusals. Raises ConnectionLost, InputError, JobFailed."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.ProfileNotFound):
        raise InputError(HOW) from None
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in LATER or status >= 500:
            raise ConnectionLost(f"Braket is busy while {what}") from None
        if code in REFUSED:
            raise InputError(
                f"braket: AWS refused the credentials while {what} ({code}); run `aws configure`"
            ) from None
        reason = error.response.get("Error", {}).get("Message", "")
        raise JobFailed(f"Braket refused while {what}: {code} {reason[:300]}".strip()) from None
    except exceptions.BotoCoreError as error:
        if isinstance(error, exceptions.ParamValidationError):
            raise JobFailed(f"Braket's client refused while {what}: {str(error)[:300]}") from None
        raise ConnectionLost(f"no answer while {what}") from None


def token_of(key: str, number: int) -> str:
    """Task `number`'s clientToken, the same each time: a UUID made of the key."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"trine {key} {number}"))


class BraketConnection:
    """One device. settle_s: clientToken already keeps a request from counting twice."""

    settle_s = 5.0

    def __init__(self, argument: str) -> None:
        """Raises InputError for unknown devices and missing credentials, MissingExtra."""
        arn = argument if argument.startswith("arn:aws:braket:") else DEVICES.get(argument.lower())
        if not argument or arn is None:
            known = ", ".join(DEVICES)
            what = (
                "needs a device" if not argument else f"{argument} is unknown; {nearest(argument, DEVICES)}"
            )
            raise InputError(f"braket:{argument}: {what}: give {known}, or a device's ARN")
        try:
            import boto3
            from braket.aws import AwsSession
        except ImportError:
            raise MissingExtra("amazon-braket-sdk", "braket", "the provider braket") from None
        from botocore.config import Config

        self.arn = str(arn)
        region = self.arn.split(":")[3]
        with asking("looking for credentials"):
            boto = boto3.Session(region_name=region) if region else boto3.Session()
            if boto.get_credentials() is None:
                raise InputError(HOW)
            if boto.region_name is None:
                raise InputError(
                    f"braket:{argument}: set AWS_DEFAULT_REGION; the simulators are in several regions"
                )
            # the ledger asks again; a client that waits through dead connections only hides them
            self.session = AwsSession(boto_session=boto, config=Config(retries={"max_attempts": 2}))

    def __repr__(self) -> str:
        return f"BraketConnection({self.arn!r})"

    def obstacles(self, work: Work) -> list[str]:
        """Circuits, not folded ones: Braket's compilers would cancel gates that undo each other."""
        if not work.circuits:
            return ["braket runs circuits; for a polynomial take dwave"]
        if any(work.scale(k) != 1 for k in range(len(work.circuits))):
            return ["braket compiles circuits itself, which undoes the folding of zero-noise extrapolation"]
        return []

    def send(self, work: Work, key: str) -> str:
        """A task for each circuit; the id is a JSON list of their ARNs. Sending again gives the same tasks."""
        from braket.aws import AwsQuantumTask

        made = []
        for number, circuit in enumerate(work.circuits):
            with asking("sending"):
                task = AwsQuantumTask.create(
                    Tokened(self.session, token_of(key, number)), self.arn, braket_circuit(circuit),
                    (self.session.default_bucket(), f"tasks/trine/{key}"), work.shots,
                    tags={"trine": key, "trine-circuit": str(number), "trine-circuits": str(len(work.circuits))},
                )  # fmt: skip
            made.append(task.id)
        return json.dumps(made)

    def find(self, key: str) -> str | None:
        """The tasks tagged with the key, None unless all of them are there: then `send` completes them."""
        found: dict[int, str] = {}
        wanted = None
        search: dict[str, Any] = {
            "filters": [{"name": "deviceArn", "operator": "EQUAL", "values": [self.arn]}]
        }
        while True:
            with asking("looking for the job"):
                page = self.session.braket_client.search_quantum_tasks(**search)
            for task in page["quantumTasks"]:
                tags = task.get("tags", {})
                if tags.get("trine") == key:
                    found[int(tags["trine-circuit"])] = task["quantumTaskArn"]
                    wanted = int(tags["trine-circuits"])
            if wanted is not None and len(found) == wanted:
                return json.dumps([found[k] for k in range(wanted)])
            if not page.get("nextToken"):
                return None
            search["nextToken"] = page["nextToken"]

    def tasks(self, remote: str) -> list[dict[str, Any]]:
        """What Braket says of each task. Raises JobFailed for tasks that it no longer knows."""
        with asking("asking for the state"):
            return [self.session.get_quantum_task(arn) for arn in json.loads(remote)]

    def state(self, remote: str) -> RemoteState:
        """Of the slowest task; one that failed or was cancelled speaks for all. Raises JobFailed with the reason."""
        try:
            tasks = self.tasks(remote)
        except JobFailed as error:
            if any(code in str(error) for code in GONE):
                return "expired"
            raise
        states = [STATES.get(t["status"], "running") for t in tasks]
        for task, state in zip(tasks, states, strict=True):
            if state == "failed":
                raise JobFailed(task.get("failureReason") or "Braket gives no reason")
        order: tuple[RemoteState, ...] = ("cancelled", "queued", "running", "done")
        return next(state for state in order if state in states)

    def fetch(self, remote: str, work: Work) -> Outcome:
        """From S3. Raises JobFailed where somebody removed them."""
        from braket.aws import AwsQuantumTask

        samples: list[Samples] = []
        for arn, circuit in zip(json.loads(remote), work.circuits, strict=True):
            with asking("fetching results"):
                result = AwsQuantumTask(arn, self.session).result()
            if result is None:
                raise JobFailed(f"{arn} has no result")
            samples.append(braket_samples(result.measurements, list(result.measured_qubits), circuit.read))
        return Outcome(tuple(samples), {"machine": self.arn, "tasks": json.loads(remote)})

    def cancel(self, remote: str) -> None:
        """All tasks that have not ended yet."""
        for task in self.tasks(remote):
            if STATES.get(task["status"]) in ("queued", "running") and task["status"] != "CANCELLING":
                with asking("cancelling"):
                    self.session.cancel_quantum_task(task["quantumTaskArn"])


class Tokened:
    """Braket's session with a clientToken of ours in place of boto's random one."""

    def __init__(self, session: Any, token: str) -> None:
        self.session, self.token = session, token

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def create_quantum_task(self, **given: Any) -> str:
        """As the session's."""
        return str(self.session.create_quantum_task(clientToken=self.token, **given))


PROVIDER = Provider(
    "braket", "Amazon Braket's machines: IonQ, IQM, Rigetti, AQT, and its simulators", "circuit", BraketConnection,
    remote=True, argument="the device, as forte, garnet, ankaa or an ARN", extra="braket",
)  # fmt: skip
