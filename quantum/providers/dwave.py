"""`dwave` or `dwave:NAME`: D-Wave's annealers through Leap. The problem is embedded as dwave-system embeds it.

Credentials come from D-Wave's own configuration (`dwave config create`) or environment (DWAVE_API_TOKEN). A problem's
label is the idempotency key. The embedding is not stored: it is found again from the work's seed and the machine's
graph, and compared with the qubits that were sent before samples are read through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.baselines.ocean import model_of, samples_of
from trine.quantum.providers import ConnectionLost, JobFailed, Provider, RemoteState
from trine.quantum.providers.dwave_local import quadratic_obstacles
from trine.quantum.work import Outcome, Work

STATES: dict[str, RemoteState] = {
    "PENDING": "queued", "IN_PROGRESS": "running", "COMPLETED": "done", "FAILED": "failed", "CANCELLED": "cancelled",
}  # fmt: skip
HOW = "dwave: no token is configured; run D-Wave's own `dwave config create`, or set DWAVE_API_TOKEN"


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Tell lost connections from refusals. Raises ConnectionLost, InputError, JobFailed."""
    from dwave.cloud import exceptions
    from dwave.cloud.api import exceptions as api
    from requests.exceptions import RequestException

    try:
        yield
    except (api.ResourceAuthenticationError, exceptions.SolverAuthenticationError):
        raise InputError(
            f"dwave: the token was refused while {what}; run `dwave config create` again"
        ) from None
    except (api.InternalServerError, api.RequestTimeout, exceptions.RequestTimeout):
        raise ConnectionLost(f"no answer while {what}") from None
    except exceptions.SolverNotFoundError:
        raise
    except api.ResourceNotFoundError:
        raise JobFailed(f"D-Wave knows no such problem while {what}") from None
    except api.RequestError as error:
        raise JobFailed(f"D-Wave refused while {what}: {str(error)[:300]}") from None
    except RequestException:
        raise ConnectionLost(f"no answer while {what}") from None


class DWaveConnection:
    """One annealer. settle_s: a problem is listed as soon as it is taken; some seconds are on the safe side."""

    settle_s = 10.0

    def __init__(self, argument: str) -> None:
        """The largest one of the account without an argument. Raises InputError, MissingExtra."""
        try:
            from dwave.cloud.api.resources import Problems
            from dwave.cloud.config import load_config
            from dwave.cloud.exceptions import ConfigFileError, SAPIError, SolverNotFoundError
            from dwave.system import DWaveSampler
        except ImportError:
            raise MissingExtra("dwave-system", "cloud", "the provider dwave") from None
        try:
            if not load_config().get("token"):
                raise InputError(HOW)
            with asking("looking for the machine"):
                given = {"solver": {"name": argument}} if argument else {}
                self.sampler = DWaveSampler(**given)
            self.problems = Problems.from_config(self.sampler.client.config)
        except SolverNotFoundError:
            with asking("listing machines"), DWaveSampler() as other:
                known = sorted(s.name for s in other.client.get_solvers(qpu=True))
            raise InputError(
                f"dwave:{argument}: your account has no such machine; {nearest(argument, known)}"
            ) from None
        except (ConfigFileError, SAPIError, ValueError) as error:
            raise InputError(f"dwave: no machine can be opened ({str(error)[:300]})") from None
        except (ConnectionLost, JobFailed) as error:
            raise InputError(f"dwave: {error}; try again later") from None

    def __repr__(self) -> str:
        return f"DWaveConnection({self.sampler.solver.name!r})"

    def obstacles(self, work: Work) -> list[str]:
        """Degree two at most, and an embedding."""
        found = quadratic_obstacles(work, "dwave")
        most = self.sampler.properties.get("num_reads_range", [1, 10_000])[1]
        if work.shots > most:
            found.append(f"{work.shots} reads, {self.sampler.solver.name} takes {most} a problem")
        if not found and not self.embedding(work):
            found.append(f"no embedding of {work.qubits} variables into {self.sampler.solver.name} was found")
        return found

    def embedding(self, work: Work) -> dict[int, tuple[int, ...]]:
        """Chains of qubits for each variable, by minorminer with the work's seed: the same each time; {} for none."""
        find_embedding = import_module("minorminer").find_embedding  # it has no types

        model = self.model(work)
        source = [*sorted(map(sorted, model.quadratic)), *((v, v) for v in sorted(model.variables))]
        found = find_embedding(source, self.sampler.edgelist, random_seed=work.seed)
        return {v: tuple(sorted(chain)) for v, chain in sorted(found.items())}

    def model(self, work: Work) -> Any:
        """The polynomial as dimod has it, in dimod's spins. Raises InputError for circuits."""
        if work.polynomial is None:
            raise InputError("dwave takes a polynomial")
        return model_of(work.polynomial)[0].change_vartype("SPIN", inplace=False)

    def send(self, work: Work, key: str) -> str:
        """What EmbeddingComposite(DWaveSampler()) sends, in one request that is not repeated, labelled with the key."""
        from dwave.cloud.api.models import ProblemJob
        from dwave.cloud.coders import encode_problem_as_qp
        from dwave.embedding import embed_bqm
        from dwave.embedding.chain_strength import uniform_torque_compensation

        embedding = self.embedding(work)
        if not embedding:
            raise InputError(
                f"no embedding of {work.qubits} variables into {self.sampler.solver.name} was found"
            )
        embedded = embed_bqm(
            self.model(work), embedding, self.sampler.adjacency, chain_strength=uniform_torque_compensation
        )
        solver = self.sampler.solver
        data = encode_problem_as_qp(
            solver, dict(embedded.linear), dict(embedded.quadratic), float(embedded.offset)
        )
        job = ProblemJob(
            data=data, params={"num_reads": work.shots, "answer_mode": "raw"}, solver=solver.identity.dict(),
            type="ising", label=key,
        )  # fmt: skip
        with asking("sending"):
            (made,) = self.problems.submit_problems([job])
        if not hasattr(made, "id"):
            raise JobFailed(f"D-Wave refused: {getattr(made, 'error_msg', made)}")
        return str(made.id)

    def find(self, key: str) -> str | None:
        """The first problem of that label."""
        with asking("looking for the job"):
            found = self.problems.list_problems(label=key, max_results=1)
        return str(found[0].id) if found else None

    def state(self, remote: str) -> RemoteState:
        """As D-Wave says; a problem that it no longer knows has expired."""
        try:
            with asking("asking for the state"):
                status = self.problems.get_problem(remote)
        except JobFailed as error:
            if "knows no such problem" in str(error):
                return "expired"
            raise
        state = STATES.get(str(getattr(status.status, "value", status.status)), "running")
        if state == "failed":
            raise JobFailed(str(getattr(status, "error_message", "") or "D-Wave gives no reason"))
        return state

    def fetch(self, remote: str, work: Work) -> Outcome:
        """Samples of the variables, by majority of each chain; seconds of the machine.

        Raises JobFailed where the machine's graph has changed since, so that the embedding cannot be found again.
        """
        from dwave.embedding import chain_break_frequency, unembed_sampleset

        embedding = self.embedding(work)
        with asking("fetching results"):
            raw = self.sampler.client.retrieve_answer(remote).sampleset
            raw.resolve()
        sent = set(raw.variables)
        if sent != {q for chain in embedding.values() for q in chain}:
            raise JobFailed(
                "the machine's graph has changed since: the embedding of the samples cannot be found again"
            )
        found = unembed_sampleset(raw, embedding, self.model(work)).change_vartype("BINARY", inplace=False)
        broken = chain_break_frequency(raw, embedding).values()
        about = {
            "machine": self.sampler.solver.name, "problem": remote, "qubits": len(sent),
            "longest_chain": max(map(len, embedding.values())),
            "chain_break_fraction": float(sum(broken) / max(1, len(broken))),
        }  # fmt: skip
        timing = raw.info.get("timing", {})
        usage = {"machine_s": float(timing["qpu_access_time"]) * 1e-6} if "qpu_access_time" in timing else {}
        assert work.polynomial is not None
        return Outcome((samples_of(found, work.polynomial.variables),), about, usage)

    def cancel(self, remote: str) -> None:
        """Ask to stop it; one that has ended already is left as it is."""
        with asking("cancelling"):
            self.problems.cancel_problem(remote)


PROVIDER = Provider(
    "dwave", "D-Wave's annealers through Leap", "polynomial", DWaveConnection, remote=True,
    argument="the machine, as Advantage2_system1; the largest one if left out", extra="cloud",
)  # fmt: skip
