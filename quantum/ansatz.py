"""`Ansatz`: which circuit the angles are put into, which engine computes it, what its bits say about the problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.angles.recursive import Reduction, Step
from trine.quantum.circuit import Circuit
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.state import StateEngine
from trine.quantum.feasible import AllStates, Feasible, IndependentSets, OneHot
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import Encoding
from trine.quantum.samples import Samples

MixerName = Literal["x", "xy", "flip"]
STATE_QUBITS = 20  # above, one layer's formula is taken before a state vector
CIRCUIT_MIXERS = {
    "xy": "xy-steps",
    "flip": "bit-flip",
}  # those that stay feasible, and the engine's equal ones
STARTS = {"xy": "even", "flip": "empty"}
COUNTED = 1 << 22  # independent sets that are counted at most: as many as the engine lists
MOST_RIVALS = 8  # of a bit that is flipped where none of them is set: 2^8 - 1 gates


def mixer_obstacle(mixer: str, feasible: Feasible, problem: str) -> str:
    """Why a mixer cannot keep to a problem's feasible strings; empty where it can."""
    if mixer == "xy" and not isinstance(feasible, OneHot):
        return f"mixer xy keeps one bit of each group, and {problem} has no such groups"
    if mixer != "flip":
        return ""
    if not isinstance(feasible, IndependentSets):
        return f"mixer flip keeps to independent sets of conflicting bits, and {problem} is not made of such"
    rivals, bit = max((mask.bit_count(), -i) for i, mask in enumerate(feasible.masks))
    if rivals > MOST_RIVALS:
        return (
            f"mixer flip: bit {-bit} conflicts with {rivals} others, and its flip would take "
            f"{(1 << rivals) - 1:,} gates on two qubits (at most {MOST_RIVALS} conflicts)"
        )
    return ""


@dataclass(frozen=True)
class Ansatz:
    """mixer: "x" over all strings with penalties, "xy" inside one-hot groups, "flip" inside independent sets.
    thetas: radians, a warm start's tilts [n]; none: the plain start. `warmed` says what solution it begins with.
    reduction: what recursive QAOA fixed; the circuit is of its core.
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
        return encoding.inside if self.mixer in CIRCUIT_MIXERS else self.measured(encoding)

    def measured(self, encoding: Encoding) -> Polynomial:
        """The cost of what is read, penalties included: noise leaves every subspace."""
        return encoding.polynomial if self.reduction is None else self.reduction.core

    def qubits(self, encoding: Encoding) -> int:
        """Of the circuit."""
        return self.measured(encoding).variables

    def states(self, encoding: Encoding) -> int:
        """Strings that the circuit reaches without noise; of independent sets, as far as they are counted."""
        if self.mixer == "flip" and isinstance(encoding.feasible, IndependentSets):
            return sum(1 for _ in islice(encoding.feasible.sets(), COUNTED + 1))
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
            mixer = CIRCUIT_MIXERS[self.mixer]
            return SubspaceEngine(cost, encoding.feasible, mixer, start=STARTS[self.mixer])
        if self.thetas:
            from trine.quantum.engines.product_mixers import Tilted

            tilted = Tilted(self.thetas)
            return SubspaceEngine(cost, AllStates(cost.variables), tilted, start=tilted.start())
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
        from trine.quantum.circuits.qaoa import independent_set_circuit, one_hot_circuit, warm_circuit

        if self.mixer == "xy" and isinstance(encoding.feasible, OneHot):
            return one_hot_circuit(encoding.inside, encoding.feasible, layers)
        if self.mixer == "flip" and isinstance(encoding.feasible, IndependentSets):
            return independent_set_circuit(encoding.inside, encoding.feasible, layers)
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
