"""Noisy samples of a circuit too wide for one state a shot: errors are drawn for every shot, states for some of them.

Each shot's errors are Paulis (`trine.quantum.twirling`); pulled to the first state they only turn signs of rotations
and flip readings (`trine.quantum.circuits.rotations`). Shots whose errors turn the same signs share a state, which
costs nothing. Where there are more patterns than states may be computed, a random choice of them stands for all: then
shots are drawn in clusters, and the standard error has to count that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.rotations import Pauli, Picture, Rotation, diagonalised, picture
from trine.quantum.polynomial import Bits, Float
from trine.quantum.samples import Samples
from trine.quantum.twirling import PauliNoise, Spot

STATES = 40  # that are computed at most: a minute or so at 24 qubits and one layer
MOST_QUBITS = 26  # 2^26 complex singles are 512 MiB


@dataclass(frozen=True)
class Drawn:
    """Shots [shots, read] and the state that each came from [shots]. untouched: the chance that nothing erred."""

    bits: Bits = field(repr=False)
    state: NDArray[np.int64] = field(repr=False)
    independent: NDArray[np.bool_] = field(repr=False)
    untouched: float

    @property
    def samples(self) -> Samples:
        """Without where they came from."""
        return Samples.of(self.bits)

    @property
    def states(self) -> int:
        """How many were computed."""
        return len(np.unique(self.state))

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Shots that share their errors have one number; those whose own errors led to their state have their own."""
        alone = np.arange(len(self.state)) + self.state.max(initial=-1) + 1
        return np.unique(np.where(self.independent, alone, self.state), return_inverse=True)[1]

    @property
    def effective(self) -> float:
        """Independent shots that tell at least as little: shots^2 / sum of squared cluster sizes (Kish 1965, for
        clusters all of whose shots agree)."""
        return len(self.state) ** 2 / float((np.bincount(self.clusters) ** 2).sum())

    def mean(self, values: Float) -> tuple[float, float]:
        """(mean of a value of each shot, its standard error over clusters: Cameron and Miller 2015,
        10.3368/jhr.50.2.317, equation 11 for a mean)."""
        return clustered_mean(values, self.clusters)


def clustered_mean(values: Float, clusters: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and cluster-robust standard error; infinite for a single cluster."""
    mean, count = float(values.mean()), int(clusters.max(initial=0)) + 1
    if count < 2:
        return mean, float("inf")
    sums = np.bincount(clusters, values - mean)
    return mean, float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values))


def sample(circuit: Circuit, noise: PauliNoise, shots: int, seed: int, states: int = STATES) -> Drawn:
    """Shots of a bound circuit under Pauli noise, from at most `states` different states.

    Exact where no more patterns of signs came up. Raises InputError for too many qubits, or gates that are neither
    Clifford nor rotations, MissingExtra without numba.
    """
    if circuit.qubits > MOST_QUBITS:
        raise InputError(
            f"{circuit.qubits} qubits in use: noisy trajectories go to {MOST_QUBITS} "
            f"({8 * 2**MOST_QUBITS / 2**30:,.1f} GiB each)"
        )
    if find_spec("numba") is None:
        raise MissingExtra("numba", "quantum", "noisy trajectories")
    seen = picture(circuit)
    generator = np.random.default_rng(seed)
    pattern = errors_of_shots(seen, noise.spots, shots, generator)
    count = len(seen.rotations)
    signs, flips = pattern[:, :count], pattern[:, count:]
    different, which, often = np.unique(signs, axis=0, return_inverse=True, return_counts=True)
    which, own = which.reshape(-1), np.ones(shots, bool)
    if len(different) > states:
        which, own, flips = shared(which, often, flips, states, generator)
    bits = np.empty((shots, len(seen.measured)), np.uint8)
    for number in np.unique(which):
        rows = np.flatnonzero(which == number)
        bits[rows] = read(seen, different[number], len(rows), generator)
    bits ^= flips
    return Drawn(misread(bits, noise.flips, generator), which.astype(np.int64), own, noise.untouched)


def errors_of_shots(
    seen: Picture, spots: Sequence[Spot], shots: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """[shots, rotations + measured]: the signs that each shot's errors turn."""
    found = np.zeros((shots, len(seen.rotations) + len(seen.measured)), bool)
    for spot in spots:
        hits = generator.binomial(shots, min(1.0, spot.error))
        if not hits:
            continue
        rows = generator.choice(shots, hits, replace=False, shuffle=False)
        kinds = generator.choice(np.arange(1, len(spot.chances)), hits, p=spot.chances[1:] / spot.error)
        different, kind = np.unique(kinds, return_inverse=True)
        errors = [(pulled(seen, spot, int(k)), seen.before[spot.gate]) for k in different]
        found[rows] ^= seen.signs(errors)[kind]
    return found


def pulled(seen: Picture, spot: Spot, kind: int) -> Pauli:
    """Pauli number `kind` of a spot (4^k, I X Y Z, first qubit least significant) on the first state; signs do not
    matter, so Y is XZ."""
    error = Pauli()
    for k, q in enumerate(spot.qubits):
        letter = kind >> 2 * k & 3
        x, z = seen.images[spot.gate][q]
        error = error * x if letter in (1, 2) else error
        error = error * z if letter in (2, 3) else error
    return error


def shared(
    which: NDArray[np.int64], often: NDArray[np.int64], flips: NDArray[np.bool_], states: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """(pattern, whether it is the shot's own, flips) of each shot when too many patterns came up.

    Patterns that came up more often than shots fall to a state keep their shots; of all other shots some are chosen at
    random, and the rest copy the errors of one of those.
    """
    kept = np.flatnonzero(often * states > len(which))
    own = np.isin(which, kept)
    rest = np.flatnonzero(~own)
    chosen = generator.choice(rest, states - len(kept), replace=False)
    copies = chosen[np.arange(len(rest)) % len(chosen)]
    made, turned = which.copy(), flips.copy()
    made[rest], turned[rest] = which[copies], flips[copies]
    return made, own, turned


def read(seen: Picture, signs: NDArray[np.bool_], shots: int, generator: np.random.Generator) -> Bits:
    """Shots [shots, read] from the state whose rotations have these signs turned."""
    from trine.quantum.engines.rotating import drawn, evolved

    extra, measured = diagonalised(seen.measured)
    given = [
        Rotation(r.pauli, -r.theta if turned else r.theta) for r, turned in zip(seen.rotations, signs)
    ] + list(extra)
    turns = [(r.pauli.x, r.pauli.z, r.pauli.phase, r.theta) for r in given]
    state = evolved(seen.qubits, seen.plus, turns)
    negative = np.array([m.negative for m in measured], np.uint8)
    return drawn(state, [m.z for m in measured], shots, generator) ^ negative


def misread(bits: Bits, flips: Sequence[tuple[float, float]], generator: np.random.Generator) -> Bits:
    """Bits as read: each flips with its own chance."""
    if not flips:
        return bits
    rates = np.array(flips)
    chance = np.where(bits == 1, rates[:, 1], rates[:, 0])
    return np.asarray(bits ^ (generator.random(bits.shape) < chance), np.uint8)
