"""The feasible subspace: amplitudes of only the strings that keep the constraints, and mixers that stay there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.engines.mixers import Flips, Grover, Hops, Mixer
from trine.quantum.engines.product_mixers import CompleteAxes, RingAxes, RingSteps
from trine.quantum.engines.state import Complex, StateEngine, free_memory, threads
from trine.quantum.feasible import AllStates, Feasible, IndependentSets, OneHot
from trine.quantum.polynomial import Bits, Float, Polynomial
from trine.quantum.samples import Angles

SPARE = 16  # numbers beyond the last block
BLOCK = 1 << 12  # amplitudes whose phases are one piece of work
MIXERS = {
    OneHot: ("xy", "xy-ring", "xy-steps", "grover"),
    IndependentSets: ("hop", "bit-flip", "grover"),
    AllStates: ("x", "grover"),
}
LISTED = 1 << 22  # independent sets that are listed at most


def memory_bytes(size: int) -> int:
    """Costs, state and adjoint state of `size` strings."""
    return size * 8 * (1 + 2 + 2)


class SubspaceEngine(StateEngine):
    """QAOA inside a feasible set: exp(-i gamma C), then a mixer, from the even sum of all its strings.

    polynomial: what is left to minimise inside (`Encoding.inside`). mixer: xy (complete graph, the default), xy-ring,
    xy-steps (its exchanges one after another, as circuits make them) or grover for one-hot groups; hop (default),
    bit-flip or grover for independent sets; x or grover for all strings; a `Mixer`, or a real symmetric scipy matrix
    over the states. start: "even", "empty" for the empty set, or real amplitudes [size].
    Raises InputError where the states do not fit in `memory` bytes (by default what is free) or a mixer does not fit.
    """

    name = "subspace"

    def __init__(
        self, polynomial: Polynomial, feasible: Feasible, mixer: Any = None, start: str | Float = "even",
        memory: int | None = None,
    ) -> None:  # fmt: skip
        for package in ("numba", "scipy"):
            if find_spec(package) is None:
                raise MissingExtra(package, "quantum", "simulation")
        self.qubits, self.feasible = polynomial.variables, feasible
        limit = free_memory() if memory is None else memory
        self._sets: Bits | None = None
        if isinstance(feasible, IndependentSets):
            self._sets = listed(feasible, limit)
            self.values = energies(polynomial, self._sets)
        else:
            _fits(feasible.size, self.qubits, limit)
            self.values = product_costs(polynomial, groups_of(feasible))
        self.start = None if isinstance(start, str) and start == "even" else self._start(start)
        self.mixer = self._mixer(mixer)
        blocks = -(-len(self.values) // BLOCK)
        self._blocks, room = (
            blocks,
            blocks * BLOCK if blocks > 1 else max(16, -(-len(self.values) // 16) * 16),
        )
        self._costs = np.zeros(room)
        self._costs[: len(self.values)] = self.values
        # the rows of a buffer of columns may be read beyond the state's end
        self._state, self._adjoint = np.zeros((2, room + SPARE)), np.zeros((2, room + SPARE))

    def kind_of(self) -> str:
        """Engine, mixer and start in words."""
        start = "" if self.start is None else hashlib.sha256(self.start.tobytes()).hexdigest()[:16]
        return f"{self.name} {self.mixer.name} {start}"

    def _start(self, given: Any) -> Float:
        """Amplitudes [size] of a start that is not even."""
        if isinstance(given, str):
            if given != "empty" or self._sets is None:
                raise InputError(f"start {given!r}: give even, amplitudes, or (for independent sets) empty")
            return np.asarray(self._sets.sum(axis=1) == 0, np.float64)
        found = np.asarray(given, np.float64)
        if found.shape != self.values.shape or not math.isclose(float(found @ found), 1.0, abs_tol=1e-9):
            raise InputError(f"a start is {self.size} amplitudes whose squares add up to 1")
        return found

    def _mixer(self, given: Any) -> Mixer:
        known = MIXERS[type(self.feasible)]
        if hasattr(given, "turn"):
            made: Mixer = given
            return made
        name = known[0] if given is None else given
        if not isinstance(name, str):
            return _general(name, len(self.values))
        if name not in known:
            raise InputError(
                f"mixer {name!r} does not fit {type(self.feasible).__name__}: {nearest(name, known)}"
            )
        if name == "grover":
            return Grover(len(self.values))
        if self._sets is not None:
            pairs = neighbours(self._sets)
            return Flips(pairs) if name == "bit-flip" else Hops(_joined(pairs, len(self.values)))
        sizes = [len(g) for g in groups_of(self.feasible)]
        rings = {"xy-ring": RingAxes, "xy-steps": RingSteps}
        return rings[name](sizes) if name in rings else CompleteAxes(sizes)

    def evolve(self, angles: Angles) -> Any:
        """The final state, float [2, size], without the phase that `amplitudes` puts back."""
        from trine.quantum.engines import axes

        used = len(self.values)
        if self.start is not None:
            self._state[:] = 0.0
            self._state[0, :used] = self.start
        with threads(used):
            for k in range(angles.layers):
                fresh = self.start is None and k == 0
                scale, turns = used**-0.5 if fresh else 1.0, angles.gammas[k] / (2 * math.pi)
                axes.phase(self._state[0], self._state[1], self._costs, turns, scale, fresh, self._blocks)
                if fresh:
                    self._state[:, used:] = 0.0
                self.mixer.turn(self._state, angles.betas[k])
        return self._state[:, :used]

    def unwind(self, angles: Angles, observable: Float) -> tuple[Float, Float]:
        """Derivatives of <observable> at the state last evolved."""
        from trine.quantum.engines import axes

        self._adjoint[:, : self.size] = self._state[:, : self.size] * observable
        self._adjoint[:, self.size :] = 0.0
        by_gamma, by_beta, parts = np.zeros(angles.layers), np.zeros(angles.layers), np.zeros(self._blocks)
        with threads(self.size):
            for k in reversed(range(angles.layers)):
                by_beta[k] = 2 * self.mixer.unwind(self._state, self._adjoint, angles.betas[k])
                axes.cost_overlap(self._state, self._adjoint, self._costs, parts)
                by_gamma[k] = 2 * float(parts.sum())
                for array in (self._state, self._adjoint):
                    turns = -angles.gammas[k] / (2 * math.pi)
                    axes.phase(array[0], array[1], self._costs, turns, 1.0, False, self._blocks)
        return by_gamma, by_beta

    def probabilities(self, angles: Angles) -> Float:
        """Of each feasible string [size], in the order of `strings`."""
        re, im = self.evolve(angles)
        return np.asarray(re**2 + im**2)

    def amplitudes(self, angles: Angles) -> Complex:
        """Of each feasible string [size], with the phase."""
        re, im = self.evolve(angles)
        return np.asarray(np.exp(1j * sum(map(self.mixer.phase, angles.betas))) * (re + 1j * im))

    def strings(self, states: NDArray[np.int64]) -> Bits:
        """Bit strings [k, n] of state numbers [k]: groups' choices with the first slowest, or the sets as listed."""
        if self._sets is not None:
            return np.asarray(self._sets[states])
        groups = groups_of(self.feasible)
        choices = np.unravel_index(np.asarray(states), [len(g) for g in groups]) if groups else ()
        found = np.zeros((len(states), self.qubits), np.uint8)
        for group, choice in zip(groups, choices, strict=True):
            if isinstance(self.feasible, AllStates):
                found[:, group[1]] = choice
            else:
                found[np.arange(len(states)), np.asarray(group)[choice]] = 1
        return found


def groups_of(feasible: Feasible) -> tuple[tuple[int, ...], ...]:
    """The choices of each axis, first slowest: one-hot bits; for free bits (-1, bit), qubit 0 fastest."""
    if isinstance(feasible, OneHot):
        return feasible.groups
    return tuple((-1, q) for q in reversed(range(feasible.qubits)))


def product_costs(polynomial: Polynomial, groups: Sequence[Sequence[int]]) -> Float:
    """Costs of all choices [prod of group sizes], built up axis by axis; -1 in a group is a choice without a bit."""
    place = {q: (k, c) for k, group in enumerate(groups) for c, q in enumerate(group) if q >= 0}
    by_last: list[dict[tuple[int, ...], Any]] = [{} for _ in groups]
    constant = 0.0
    for subset, value in polynomial.terms.items():
        spots = sorted(place[q] for q in subset)
        involved = tuple(k for k, _ in spots)
        if not spots:
            constant = value
        elif len(set(involved)) == len(involved):  # two choices of one group are never taken together
            shape = tuple(len(groups[k]) for k in involved)
            table = by_last[involved[-1]].setdefault(involved, np.zeros(shape))
            table[tuple(c for _, c in spots)] += value
    found = np.array(constant)
    for k, group in enumerate(groups):
        found = np.repeat(found[..., None], len(group), axis=-1)
        for involved, table in by_last[k].items():
            found += table.reshape([len(groups[j]) if j in involved else 1 for j in range(k + 1)])
    return np.asarray(found.ravel())


def energies(polynomial: Polynomial, bits: Bits) -> Float:
    """Costs of listed strings [k], some at a time."""
    if not len(bits):
        return np.zeros(0)
    return np.concatenate([polynomial.energy(bits[k : k + 65536]) for k in range(0, len(bits), 65536)])


def listed(feasible: IndependentSets, limit: int) -> Bits:
    """All independent sets [size, n]. Raises InputError where they do not fit."""
    most = min(LISTED, limit // (memory_bytes(1) + feasible.qubits))
    packed: list[bytes] = []
    width = -(-feasible.qubits // 8) or 1
    for chosen in feasible.sets():
        if len(packed) >= most:
            raise InputError(
                f"{feasible.qubits} qubits are too many for the subspace engine: more than {most:,} feasible strings, "
                "each of them stored; split the problem, or use the aer engine with matrix_product_state"
            )
        packed.append(chosen.to_bytes(width, "little"))
    raw = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), width)
    return np.ascontiguousarray(np.unpackbits(raw, axis=1, bitorder="little")[:, : feasible.qubits])


def neighbours(sets: Bits) -> list[NDArray[np.int64]]:
    """For each bit the numbers of the sets without and with it that differ by it alone [2, k]."""
    number = {row.tobytes(): k for k, row in enumerate(np.packbits(sets, axis=1))}
    found = []
    for bit in range(sets.shape[1]):
        upper = np.flatnonzero(sets[:, bit])
        without = sets[upper].copy()
        without[:, bit] = 0
        lower = [number[row.tobytes()] for row in np.packbits(without, axis=1)]
        found.append(np.array([lower, upper], np.int64).reshape(2, -1))
    return found


def _joined(pairs: Sequence[NDArray[np.int64]], size: int) -> Any:
    from scipy.sparse import coo_matrix

    rows, columns = np.concatenate(list(pairs), axis=1) if pairs else np.zeros((2, 0), np.int64)
    half = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    return (half + half.T).tocsr()


def _general(matrix: Any, size: int) -> Hops:
    if getattr(matrix, "shape", None) != (size, size) or not hasattr(matrix, "tocsr"):
        raise InputError(
            f"a mixer is a name or a scipy sparse matrix [{size}, {size}] over the feasible strings"
        )
    if np.iscomplexobj(matrix.tocsr().data) or abs(matrix - matrix.T).max() > 1e-12:
        raise InputError("a mixer's matrix must be real and symmetric")
    return Hops(matrix)


def _fits(size: int, qubits: int, limit: int) -> None:
    needed = memory_bytes(size)
    if needed > limit:
        raise InputError(
            f"{qubits} qubits are too many for the subspace engine: {size:,} feasible strings would need "
            f"{needed / 2**30:,.1f} GiB, {limit / 2**30:,.1f} GiB are free; split the problem, or use the aer engine "
            "with matrix_product_state"
        )
