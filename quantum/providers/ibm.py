"""`ibm:NAME`: a machine of IBM Quantum through qiskit-ibm-runtime, by its client-side sampler.

Credentials come from the vendor's own store (QiskitRuntimeService.save_account) or environment (QISKIT_IBM_TOKEN) and
stay inside its client. A job carries the idempotency key as a tag; a request whose answer was lost is looked up by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit
from trine.quantum.mitigation.zne import folded
from trine.quantum.providers import ConnectionLost, JobFailed, Provider, RemoteState
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

STATES: dict[str, RemoteState] = {
    "INITIALIZING": "queued", "QUEUED": "queued", "RUNNING": "running", "DONE": "done", "CANCELLED": "cancelled",
    "ERROR": "failed",
}  # fmt: skip
HOW = (
    "ibm: no account of IBM Quantum is saved; save one with IBM's own tool, from Python: "
    "QiskitRuntimeService.save_account(token=..., instance=..., set_as_default=True), or set QISKIT_IBM_TOKEN and "
    "QISKIT_IBM_INSTANCE"
)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Tell lost connections (no status, 408, 429, 5xx) from refusals. Raises ConnectionLost, InputError, JobFailed."""
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMError, IBMNotAuthorizedError, RuntimeJobNotFound

    try:
        yield
    except IBMNotAuthorizedError:
        raise InputError(
            f"ibm: the account was refused while {what}; save it again with a valid token"
        ) from None
    except RuntimeJobNotFound:
        raise JobFailed("IBM knows no such job any more") from None
    except IBMError as error:
        answer = cause(error, RequestsApiError)
        status = getattr(answer, "status_code", None)
        if answer is not None and (status is None or status < 0 or status in (408, 429) or status >= 500):
            raise ConnectionLost(f"no answer while {what}") from None
        if cause(error, IBMNotAuthorizedError) is not None:
            raise InputError(f"ibm: the account was refused while {what}") from None
        raise JobFailed(f"IBM refused while {what}: {first_line(error)}") from None


def cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """The exception of a kind that an exception came from; the client hides it with `from None`."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def first_line(error: object) -> str:
    """Of a message, at most 300 characters."""
    return (str(error).strip().splitlines() or [""])[0][:300]


class IbmConnection:
    """One machine. settle_s: IBM lists a job some seconds after it took it; a minute is on the safe side."""

    settle_s = 60.0

    def __init__(self, argument: str) -> None:
        """Find the account and the machine. Raises InputError, MissingExtra."""
        if not argument:
            raise InputError("ibm needs a machine, as in ibm:ibm_kingston")
        try:
            from qiskit_ibm_runtime import QiskitRuntimeService
            from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError
        except ImportError:
            raise MissingExtra("qiskit-ibm-runtime", "cloud", "the provider ibm") from None
        self.name = argument
        try:
            with asking("looking for the account"):
                try:
                    self.service = QiskitRuntimeService()
                except AccountNotFoundError:
                    raise InputError(HOW) from None
        except (ConnectionLost, JobFailed, ValueError) as error:
            raise InputError(f"ibm: the account cannot be opened ({first_line(error)})") from None
        self.machine = self.find_machine()

    def __repr__(self) -> str:
        return f"IbmConnection({self.name!r})"

    def find_machine(self) -> Any:
        """By name. Raises InputError with the account's nearest names."""
        from qiskit.providers.exceptions import QiskitBackendNotFoundError

        try:
            with asking("looking for the machine"):
                return self.service.backend(self.name)
        except QiskitBackendNotFoundError:
            with asking("listing machines"):
                known = [b.name for b in self.service.backends()]
            raise InputError(
                f"ibm:{self.name}: your account has no such machine; {nearest(self.name, known)}"
            ) from None
        except (ConnectionLost, JobFailed) as error:
            raise InputError(f"ibm:{self.name}: {error}; try again later") from None

    def obstacles(self, work: Work) -> list[str]:
        """Circuits that fit the machine."""
        if not work.circuits:
            return ["ibm runs circuits; for a polynomial take dwave"]
        found = []
        if work.qubits > self.machine.num_qubits:
            found.append(f"{work.qubits} qubits, {self.name} has {self.machine.num_qubits}")
        most = getattr(self.machine.configuration(), "max_shots", None)
        if most is not None and work.shots > most:
            found.append(f"{work.shots} shots, {self.name} takes {most} a job")
        return found

    def lowered(self, work: Work) -> list[Any]:
        """Circuits in the machine's gates on its qubits, folded after that where the work asks for it."""
        from qiskit import transpile

        made = []
        for number, circuit in enumerate(work.circuits):
            logical = to_qiskit(circuit, measure=True)
            isa = transpile(logical, self.machine, optimization_level=3, seed_transpiler=work.seed)
            if work.scale(number) != 1:
                isa = to_qiskit(folded(from_qiskit(isa), work.scale(number)), measure=True)
            made.append(isa)
        return made

    def send(self, work: Work, key: str) -> str:
        """One job of all circuits, tagged with the key. IBM's client sends a request again only where IBM says that
        this is safe (its answer was a 5xx); a connection that breaks is left to the ledger."""
        circuits = self.lowered(work)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a machine under maintenance: the state says so
            with asking("sending"):
                sampler = self.sampler(key)
                return str(sampler.run(circuits, shots=work.shots).job_id())

    def sampler(self, key: str) -> Any:
        """The executor-based sampler of runtime 0.50 and later, the one before it elsewhere; the same job tags."""
        try:
            from qiskit_ibm_runtime.executor_sampler import Sampler
        except ImportError:
            from qiskit_ibm_runtime import SamplerV2 as Sampler
        return Sampler(mode=self.machine, options={"environment": {"job_tags": [key]}})

    def find(self, key: str) -> str | None:
        """The oldest job with that tag."""
        with asking("looking for the job"):
            found = self.service.jobs(limit=1, job_tags=[key], descending=False)
        return str(found[0].job_id()) if found else None

    def state(self, remote: str) -> RemoteState:
        """As IBM says; a job that IBM no longer knows has expired. Raises JobFailed with IBM's reason."""
        from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

        with asking("asking for the state"):
            try:
                job = self.service.job(remote)
            except RuntimeJobNotFound:
                return "expired"
            state = STATES.get(str(job.status()), "running")
            if state == "failed":
                raise JobFailed(first_line(job.error_message() or "IBM gives no reason"))
        return state

    def fetch(self, remote: str, work: Work) -> Outcome:
        """Samples in the order of each circuit's `read`; which physical qubits were read, when the machine was
        calibrated, QPU seconds charged."""
        with asking("fetching results"):
            job = self.service.job(remote)
            result = job.result()
            about: dict[str, Any] = {"machine": self.name, "job": remote}
            properties = job.properties()
            if properties is not None and properties.last_update_date is not None:
                about["calibrated"] = properties.last_update_date.isoformat()
            layout = read_qubits(job.inputs)
            seconds = job.metrics().get("usage", {}).get("qpu_charge_time_seconds")
        if layout is not None:
            about["qubits"] = layout
        samples = tuple(Samples.from_strings(pub.join_data().get_counts()) for pub in result)
        return Outcome(samples, about, {} if seconds is None else {"machine_s": float(seconds)})

    def cancel(self, remote: str) -> None:
        """Ask IBM to stop it; one that has ended already is left as it is."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        with asking("cancelling"):
            try:
                self.service.job(remote).cancel()
            except RuntimeInvalidStateError:
                return


def read_qubits(inputs: Any) -> list[list[int]] | None:
    """Physical qubits in the order of the bits read, of each circuit that a job was given; None for unknown forms."""
    program = inputs.get("quantum_program")
    if hasattr(program, "items"):
        circuits = [item.circuit for item in program.items]
    elif "pubs" in inputs:
        circuits = [pub[0] for pub in inputs["pubs"]]
    else:
        return None
    found = []
    for circuit in circuits:
        number = {bit: k for k, bit in enumerate(circuit.qubits)}
        slot = {bit: k for k, bit in enumerate(circuit.clbits)}
        read = [
            (slot[i.clbits[0]], number[i.qubits[0]]) for i in circuit.data if i.operation.name == "measure"
        ]
        found.append([qubit for _, qubit in sorted(read)])
    return found


PROVIDER = Provider(
    "ibm", "IBM Quantum's machines through qiskit-ibm-runtime", "circuit", IbmConnection, remote=True,
    argument="the machine, as ibm_kingston", extra="cloud",
)  # fmt: skip
