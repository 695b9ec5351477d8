"""Numbers and recordings as spikes, and back. Every encoder has a decoder and a bound on what the two lose.

`Rate` and `Latency` turn one value into a train of `steps` steps; `Delta` and `LevelCrossing` turn a signal into events
as it comes, chunk by chunk, so that a cut anywhere changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError

Real = NDArray[np.float64]
Spikes = NDArray[np.int8]
State = tuple[Any, ...]


@dataclass(frozen=True)
class Rate:
    """A value in [0, 1] as the share of steps with a spike.

    seed None: evenly spaced (a phase accumulator, as in sigma-delta modulation), decoded within 1/(2 steps).
    With a seed: Bernoulli, standard deviation sqrt(x (1 - x) / steps); the same seed gives the same spikes.
    """

    steps: int
    seed: int | None = None

    def encode(self, x: Any) -> Spikes:
        """[batch, ...] to [batch, steps, ...]. Raises InputError outside [0, 1] and for steps below 1."""
        x = _unit(x, self.steps, "rate")
        if self.seed is not None:
            draws = np.random.default_rng(self.seed).random((x.shape[0], self.steps, *x.shape[1:]))
            return np.asarray(draws < x[:, None], np.int8)
        steps = np.arange(self.steps + 1).reshape(1, -1, *(1,) * (x.ndim - 1))
        return np.asarray(np.diff(np.floor(steps * x[:, None] + 0.5), axis=1), np.int8)

    def decode(self, spikes: Any) -> Real:
        """[batch, steps, ...] to [batch, ...]."""
        return np.asarray(np.mean(np.asarray(spikes) != 0, axis=1), np.float64)


@dataclass(frozen=True)
class Latency:
    """A value in [0, 1] as the time of one spike: the larger, the earlier; exactly 0 stays silent.

    Step round((1 - x) (steps - 1)), decoded within 1/(2 (steps - 1)).
    """

    steps: int

    def encode(self, x: Any) -> Spikes:
        """[batch, ...] to [batch, steps, ...]. Raises InputError outside [0, 1] and for steps below 2."""
        if self.steps < 2:
            raise InputError(f"latency code of {self.steps} steps: give at least 2")
        x = _unit(x, self.steps, "latency")
        when = np.round((1 - x) * (self.steps - 1))
        clock = np.arange(self.steps).reshape(1, -1, *(1,) * (x.ndim - 1))
        return np.asarray((clock == when[:, None]) & (x[:, None] > 0), np.int8)

    def decode(self, spikes: Any) -> Real:
        """[batch, steps, ...] to [batch, ...]; the first spike counts, none is 0."""
        fired = np.asarray(spikes) != 0
        value = 1 - fired.argmax(axis=1) / (self.steps - 1)
        return np.where(fired.any(axis=1), value, 0.0)


@dataclass(frozen=True)
class Delta:
    """Send-on-delta: an event whenever the signal has moved by a threshold since the last one.

    threshold: in units of the signal, one number or one a channel. substeps: time steps a sample, with at most one
    spike each. Within a sample that needs no more than `substeps` events the decoder is within one threshold of it;
    steeper signals lag behind and catch up (`substeps_needed` says how many spare that).
    Channels of the output: rises, then falls, [steps, 2 channels].
    """

    threshold: float | tuple[float, ...]
    substeps: int = 1

    def encode(self, x: Any, state: State = ()) -> tuple[Spikes, State]:
        """Samples [samples, channels] to spikes [samples * substeps, 2 channels] and the state for the next chunk.

        The first sample ever is the reference and sends nothing. Raises InputError for bad thresholds and NaN.
        """
        x = _signal(x, self.threshold, self.substeps)
        theta = np.broadcast_to(np.asarray(self.threshold, np.float64), x.shape[1:])
        out = np.zeros((len(x), self.substeps, 2, x.shape[1]), np.int8)
        if not len(x):
            return out.reshape(0, 2 * x.shape[1]), state
        origins, levels = (state[0], state[1].copy()) if state else (x[0], np.zeros(x.shape[1], np.int64))
        for c in range(x.shape[1]):
            start, theta_c = (float(origins[c]), int(levels[c])), float(theta[c])
            moves, levels[c] = _follow(x[:, c], theta_c, *start, self.substeps)
            for k in range(1, self.substeps + 1):
                out[:, k - 1, 0, c], out[:, k - 1, 1, c] = moves >= k, moves <= -k
        return out.reshape(-1, 2 * x.shape[1]), (origins, levels)

    def decode(self, spikes: Any, first: Any) -> Real:
        """[samples * substeps, 2 channels] back to [samples, channels], from the first sample on."""
        first = np.atleast_1d(np.asarray(first, np.float64))
        moves = np.asarray(spikes, np.int64).reshape(-1, self.substeps, 2, len(first)).sum(axis=1)
        return np.asarray(first + np.cumsum(moves[:, 0] - moves[:, 1], axis=0) * np.asarray(self.threshold))

    def substeps_needed(self, x: Any) -> int:
        """Substeps with which no event of this signal waits."""
        x = _signal(x, self.threshold, self.substeps)
        theta = np.broadcast_to(np.asarray(self.threshold, np.float64), x.shape[1:])
        most = 1
        for c in range(x.shape[1]) if len(x) else ():
            moves, _ = _follow(x[:, c], float(theta[c]), float(x[0, c]), 0, 1 << 40)
            most = max(most, int(np.abs(moves).max()))
        return most


def _follow(x: Real, theta: float, origin: float, level: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Events of each sample, signed. The level is whole, so that long records gather no rounding errors."""
    moves = np.zeros(len(x), np.int64)
    for i, height in enumerate(((x - origin) / theta).tolist()):
        apart = height - level
        if apart >= 1 or apart <= -1:
            move = max(-most, min(most, int(apart)))
            moves[i], level = move, level + move
    return moves, level


@dataclass(frozen=True)
class LevelCrossing:
    """Events where the signal passes a multiple of a threshold, as level-crossing converters send them.

    No memory but the level: cheaper than `Delta`, without its hysteresis, so noise on a level chatters. With `substeps`
    as there, the decoder is within half a threshold.
    """

    threshold: float | tuple[float, ...]
    substeps: int = 1

    def encode(self, x: Any, state: State = ()) -> tuple[Spikes, State]:
        """As `Delta.encode`."""
        x = _signal(x, self.threshold, self.substeps)
        if not len(x):
            return np.zeros((0, 2 * x.shape[1]), np.int8), state
        wanted = np.floor(x / np.asarray(self.threshold)).astype(np.int64)
        level = state[0] if state else wanted[0]
        out = np.zeros((len(x), self.substeps, 2, x.shape[1]), np.int8)
        moves = np.diff(wanted, axis=0, prepend=level[None])
        if (np.abs(moves) > self.substeps).any():  # too steep: what does not fit waits
            for i, row in enumerate(wanted):
                moves[i] = np.clip(row - level, -self.substeps, self.substeps)
                level = level + moves[i]
        else:
            level = wanted[-1]
        for k in range(1, self.substeps + 1):
            out[:, k - 1, 0], out[:, k - 1, 1] = moves >= k, moves <= -k
        return out.reshape(-1, 2 * x.shape[1]), (level,)

    def decode(self, spikes: Any, first: Any) -> Real:
        """As `Delta.decode`; the middle between two levels stands for everything there."""
        first, theta = np.atleast_1d(np.asarray(first, np.float64)), np.asarray(self.threshold)
        moves = np.asarray(spikes, np.int64).reshape(-1, self.substeps, 2, len(first)).sum(axis=1)
        return np.asarray(
            (np.floor(first / theta) + np.cumsum(moves[:, 0] - moves[:, 1], axis=0) + 0.5) * theta
        )


Encoder = Delta | LevelCrossing


def _unit(x: Any, steps: int, what: str) -> Real:
    """Values in [0, 1] with a batch axis. Raises InputError otherwise."""
    x = np.asarray(x, np.float64).reshape(np.shape(x) or (1,))
    if steps < 1:
        raise InputError(f"{what} code of {steps} steps: give at least 1")
    if not (np.isfinite(x).all() and (x >= 0).all() and (x <= 1).all()):
        raise InputError(
            f"{what} code takes values from 0 to 1, not {np.min(x):g} to {np.max(x):g}: scale them first"
        )
    return np.asarray(x)


def _signal(x: Any, threshold: Any, substeps: int) -> Real:
    """A signal [samples, channels]. Raises InputError naming everything that is wrong with it or the encoder."""
    x, problems = np.asarray(x, np.float64), []
    theta = np.asarray(threshold, np.float64)
    if x.ndim != 2:
        problems.append(f"the signal is {x.shape}, should be (samples, channels)")
    elif theta.ndim and theta.shape != x.shape[1:]:
        problems.append(f"{theta.size} thresholds for {x.shape[1]} channels")
    if not (np.isfinite(theta).all() and (theta > 0).all()):
        problems.append(f"threshold {threshold} must be positive")
    if substeps < 1:
        problems.append(f"{substeps} substeps: give at least 1")
    if not np.isfinite(x).all():
        problems.append(
            f"the signal holds {int((~np.isfinite(x)).sum())} values that are no numbers; fill gaps first"
        )
    if problems:
        raise InputError("cannot encode: " + "; ".join(problems))
    return np.asarray(x)
