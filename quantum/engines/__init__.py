"""Engines that run QAOA here, and which of them fits an instance.

| engine | holds | good for |
|---|---|---|
| `full.FullEngine` | all 2^n amplitudes | up to about 28 qubits |
| `subspace.SubspaceEngine` | amplitudes of the feasible strings | one-hot groups, cliques, independent sets |
| `depth_one.DepthOneEngine` | no state | one layer, quadratic, thousands of qubits |
| `aer.AerEngine` | a matrix-product state or a density matrix | wide circuits, noise |

Numba, scipy and qiskit are imported when an engine is made.
"""

from __future__ import annotations

from typing import Protocol

from trine.devices.errors import InputError
from trine.quantum.engines import aer, depth_one, full, subspace
from trine.quantum.engines.state import Correlations, Gradient, StateEngine, free_memory
from trine.quantum.feasible import AllStates
from trine.quantum.problem import Encoding
from trine.quantum.samples import Angles, Samples

__all__ = ["Correlations", "Engine", "Gradient", "StateEngine", "choose_engine", "free_memory"]

WIDEST = 63  # qubits Aer's sampling packs in one word


class Engine(Protocol):
    """What every engine gives. Angles in the one convention of `samples.Angles`.

    Those with derivatives (`gradient`) serve `angles.optimise`; those with amplitudes are `StateEngine`s.
    """

    @property
    def name(self) -> str:
        """full, subspace, depth-one or aer."""
        ...

    @property
    def qubits(self) -> int:
        """Bits of a string."""
        ...

    def expectation(self, angles: Angles) -> float:
        """<C> of the final state."""
        ...

    def sample(self, angles: Angles, shots: int, seed: int) -> Samples:
        """Measured strings; the same for the same seed."""
        ...


def choose_engine(
    encoding: Encoding, layers: int, memory: int | None = None, constrained: bool = True
) -> Engine:
    """The first that fits: subspace (constraints, unless constrained=False), full, depth-one, matrix-product state.

    memory: bytes it may take, by default what is free. Raises InputError with what each engine would need.
    """
    limit = free_memory() if memory is None else memory
    polynomial, obstacles = encoding.polynomial, []
    if constrained and not isinstance(encoding.feasible, AllStates):
        try:
            return subspace.SubspaceEngine(encoding.inside, encoding.feasible, memory=limit)
        except InputError as error:
            obstacles.append(str(error))
    try:
        return full.FullEngine(polynomial, memory=limit)
    except InputError as error:
        obstacles.append(str(error))
    if layers == 1 and polynomial.degree <= 2 and depth_one.memory_bytes(polynomial) <= limit:
        return depth_one.DepthOneEngine(polynomial)
    if (
        polynomial.variables <= WIDEST
        and aer.memory_bytes(polynomial.variables, "matrix_product_state") <= limit
    ):
        return aer.AerEngine(polynomial)
    obstacles.append("depth-one engine: one layer, terms of two bits at most")
    obstacles.append(f"aer engine with matrix_product_state: at most {WIDEST} qubits")
    raise InputError(
        f"no engine fits {polynomial.variables} qubits and {layers} layers: " + "; ".join(obstacles)
    )
