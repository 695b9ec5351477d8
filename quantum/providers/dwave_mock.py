"""`dwave-mock`: D-Wave's mock of a processor: its graph, embedding and timing; answers by simulated annealing."""

from __future__ import annotations

from typing import Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.baselines.ocean import model_of, samples_of
from trine.quantum.providers import Immediate, Provider
from trine.quantum.providers.dwave_local import quadratic_obstacles
from trine.quantum.work import Outcome, Work

TOPOLOGIES = {"pegasus": [16], "zephyr": [12]}  # shapes of Advantage and Advantage2


class MockAnnealer(Immediate):
    """MockDWaveSampler behind a seeded EmbeddingComposite."""

    def __init__(self, argument: str) -> None:
        self.topology = argument or "zephyr"
        if self.topology not in TOPOLOGIES:
            raise InputError(f"dwave-mock:{argument}: give one of {', '.join(TOPOLOGIES)}")

    def obstacles(self, work: Work) -> list[str]:
        """Degree two at most."""
        return quadratic_obstacles(work, "dwave-mock")

    def run(self, work: Work) -> Outcome:
        """`shots` reads on the embedded problem; chain statistics and the processor's timing fields in the metadata."""
        try:
            from dwave.system import EmbeddingComposite
            from dwave.system.testing import MockDWaveSampler
        except ImportError:
            raise MissingExtra("dwave-system", "cloud", "the provider dwave-mock") from None
        if work.polynomial is None:
            raise InputError("dwave-mock takes a polynomial")
        model, _ = model_of(work.polynomial)
        processor = MockDWaveSampler(topology_type=self.topology, topology_shape=TOPOLOGIES[self.topology])
        composite = EmbeddingComposite(processor, embedding_parameters={"random_seed": work.seed})
        found = composite.sample(model, num_reads=work.shots, return_embedding=True)
        return Outcome(
            (samples_of(found, work.polynomial.variables),), *embedding_facts(found, self.topology)
        )


def embedding_facts(found: Any, topology: str) -> tuple[dict[str, Any], dict[str, float]]:
    """(qubits, chains and broken chains; access time in s) of a sample set that came through an embedding."""
    chains = [len(c) for c in found.info.get("embedding_context", {}).get("embedding", {}).values()]
    broken = (
        float(found.record.chain_break_fraction.mean())
        if "chain_break_fraction" in found.record.dtype.names
        else 0.0
    )
    about = {
        "topology": topology, "qubits": sum(chains), "longest_chain": max(chains, default=0),
        "chain_break_fraction": broken,
    }  # fmt: skip
    timing = {k: float(v) for k, v in found.info.get("timing", {}).items()}
    usage = {"machine_s": timing["qpu_access_time"] * 1e-6} if "qpu_access_time" in timing else {}
    return about, usage


PROVIDER = Provider(
    "dwave-mock", "D-Wave's mock processor: real graph, embedding and timing, answers by annealing", "polynomial",
    MockAnnealer, argument="zephyr (usual) or pegasus", extra="cloud",
)  # fmt: skip
