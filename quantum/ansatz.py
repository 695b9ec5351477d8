"""`Ansatz`: which circuit the angles are put into, which engine computes it, what its bits say about the problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.angles.recursive import Reduction, Step
from trine.quantum.circuit import Circuit
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.state import StateEngine
from trine.quantum.feasible import AllStates, OneHot
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import Encoding
from trine.quantum.samples import Samples

MixerName = Literal["x", "xy"]
STATE_QUBITS = 20  # above, one layer's formula is taken before a state vector
CIRCUIT_MIXERS = {
    "xy": "xy-steps"
}  # a mixer that stays feasible, and the engine's mixer equal to its circuit


@dataclass(frozen=True)
class Ansatz:
    """mixer: "x" over all strings with penalties, "xy" inside one-hot groups. thetas: radians, a warm start's tilts
    [n]; none: the plain start. reduction: what recursive QAOA fixed; the circuit is of its core. `warmed` says what
    solution a warm start begins with.
    """

    mixer: MixerName = "x"
    thetas: tuple[float, ...] = ()
    warmed: str = ""
    reduction: Reduction | None = None

    @property
    def plain(self) -> bool:
        """Whether engines of plain QAOA give the same samples."""
        return self.mixer == "x" and not self.thetas

    def polynomial(self, encoding: Encoding) -> Polynomial:
        """What the phase separator holds: a core's cost; where the mixer stays feasible, a cost without penalties."""
        return encoding.inside if self.mixer == "xy" else self.measured(encoding)

    def measured(self, encoding: Encoding) -> Polynomial:
        """The cost of what is read, penalties included: noise leaves every subspace."""
        return encoding.polynomial if self.reduction is None else self.reduction.core

    def qubits(self, encoding: Encoding) -> int:
        """Of the circuit."""
        return self.measured(encoding).variables

    def states(self, encoding: Encoding) -> int:
        """Strings that the circuit reaches without noise."""
        return encoding.feasible.size if self.mixer == "xy" else 1 << self.qubits(encoding)

    def by_formula(self, encoding: Encoding, layers: int) -> bool:
        """Whether the depth-one engine serves: one layer of plain QAOA, pairs at most, too many qubits for a state."""
        cost = self.polynomial(encoding)
        return self.plain and layers == 1 and cost.degree <= 2 and cost.variables > STATE_QUBITS

    def engine(self, encoding: Encoding, layers: int) -> StateEngine | DepthOneEngine:
        """The engine that computes what the circuit does. Raises InputError with the memory that each would need."""
        from trine.quantum.engines import choose_engine
        from trine.quantum.engines.subspace import SubspaceEngine

        cost = self.polynomial(encoding)
        if self.mixer in CIRCUIT_MIXERS:
            return SubspaceEngine(cost, encoding.feasible, CIRCUIT_MIXERS[self.mixer])
        if self.thetas:
            from trine.quantum.engines.product_mixers import Tilted

            mixer = Tilted(self.thetas)
            free = AllStates(cost.variables)
            return SubspaceEngine(cost, free, mixer, start=mixer.start())
        if self.by_formula(encoding, layers):
            return DepthOneEngine(cost)
        alone = replace(encoding, polynomial=cost, inside=cost, feasible=AllStates(cost.variables))
        found = choose_engine(alone, layers)
        if not isinstance(found, StateEngine | DepthOneEngine):
            raise InputError(
                f"{cost.variables} qubits, {layers} layers: only a matrix-product state holds that, which gives no "
                "derivatives and no chances; --layers 1, or --angles ramp or transfer, which need no engine"
            )
        return found

    def circuit(self, encoding: Encoding, layers: int) -> Circuit:
        """With free angles gamma0, beta0, ..."""
        from trine.quantum.circuits.qaoa import one_hot_circuit, warm_circuit

        if self.mixer == "xy":
            assert isinstance(encoding.feasible, OneHot)
            return one_hot_circuit(encoding.inside, encoding.feasible, layers)
        return warm_circuit(self.polynomial(encoding), self.thetas, layers)

    def whole(self, samples: Samples) -> Samples:
        """Samples of the circuit's bits as samples of the problem's."""
        if self.reduction is None:
            return samples
        bits = self.reduction.expand(samples.bits)
        order = np.lexsort(bits.T[::-1])
        return Samples(bits[order], samples.counts[order])

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        found: dict[str, Any] = {"mixer": self.mixer}
        if self.thetas:
            found |= {"warm_start": {"thetas": list(self.thetas), "solution": self.warmed}}
        if self.reduction is not None:
            steps = [[s.fixed, s.kept, s.sign, s.correlation] for s in self.reduction.steps]
            found |= {"recursive": {"kept": list(self.reduction.kept), "fixed": steps}}
        return found

    @staticmethod
    def from_json(data: Mapping[str, Any], encoding: Encoding) -> Ansatz:
        """From `as_json`, for the problem it was made for. Raises InputError, KeyError, TypeError, ValueError."""
        warm, recursive = data.get("warm_start", {}), data.get("recursive")
        reduction = None
        if recursive is not None:
            reduction = Reduction.of(encoding.polynomial, [Step(*entry) for entry in recursive["fixed"]])
        return Ansatz(data["mixer"], tuple(warm.get("thetas", ())), warm.get("solution", ""), reduction)
