"""`dwave-local`: annealing and tabu search of dwave-samplers in this process, for polynomials to degree two."""

from __future__ import annotations

from typing import Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.baselines.ocean import model_of, samples_of
from trine.quantum.providers import Immediate, Provider
from trine.quantum.work import Outcome, Work

SAMPLERS = {
    "annealing": "SimulatedAnnealingSampler",
    "tabu": "TabuSampler",
    "descent": "SteepestDescentSampler",
}


def quadratic_obstacles(work: Work, name: str) -> list[str]:
    """What an annealer cannot take."""
    if work.polynomial is None:
        return [f"{name} takes a polynomial, not circuits"]
    if work.polynomial.degree > 2:
        return [f"{name} takes products of two bits, the polynomial has degree {work.polynomial.degree}"]
    return []


class LocalAnnealer(Immediate):
    """One of dwave-samplers' samplers."""

    def __init__(self, argument: str) -> None:
        self.kind = argument or "annealing"
        if self.kind not in SAMPLERS:
            raise InputError(f"dwave-local:{argument}: give one of {', '.join(SAMPLERS)}")

    def obstacles(self, work: Work) -> list[str]:
        """Degree two at most."""
        return quadratic_obstacles(work, "dwave-local")

    def run(self, work: Work) -> Outcome:
        """`shots` reads."""
        try:
            import dwave.samplers as samplers
        except ImportError:
            raise MissingExtra("dwave-samplers", "quantum", "the provider dwave-local") from None
        if work.polynomial is None:
            raise InputError("dwave-local takes a polynomial")
        model, _ = model_of(work.polynomial)
        given: dict[str, Any] = {"num_reads": work.shots, "seed": work.seed % (1 << 31)}
        if self.kind == "tabu":
            given["timeout"], given["num_restarts"] = None, 1
        found = getattr(samplers, SAMPLERS[self.kind])().sample(model, **given)
        about = {"simulator": f"dwave-samplers {SAMPLERS[self.kind]}, no quantum effects"}
        return Outcome((samples_of(found, work.polynomial.variables),), about)


PROVIDER = Provider(
    "dwave-local", "annealing, tabu or descent by dwave-samplers in this process", "polynomial", LocalAnnealer,
    argument="annealing (usual), tabu or descent",
)  # fmt: skip
