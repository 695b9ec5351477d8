"""`QuantisedNetwork` to `SpikingNet`: the schemes *exact*, *rate*, *ttfs* and *sigma_delta*.

exact   A layer takes spikes for T steps, then fires for T steps: its count is the quantised network's, by arithmetic
        (IF, reset by subtraction, membrane starting at bias + theta/2). Latency: layers x T. Of consecutive spikes the
        greatest count of a window is their OR, so maximum pooling is exact too.
rate    Layers fire while they take (QCFS, arXiv 2303.04347), `lag` steps behind (extra steps as in SRP, Hao et al.
        2023). Gate neurons open a layer by a strong synapse and close it T steps later: before that it can only take.
        Negative bias lies in the starting membrane, positive bias comes in T + lag equal parts. lag = T - 1 would be
        exact; small lags save time, and counts differ.
ttfs    Time to first spike: one spike a neuron at most, at step T - count of its window, none for 0. A synapse goes on
        delivering until the window closes, so that a spike adds weight x count; then the membrane rises by theta a step
        and spikes at T theta (neuron FirstSpike). Counts are the quantised network's, by arithmetic. The earliest
        spike of a window is its greatest count: maximum pooling is exact.
sigma_delta   Graded messages (Loihi 2): each layer sends its activation, a shifted whole number, as soon as its sum is
        there. Biases come from a neuron that sends 1, as late as the layer is deep, so that a message is final.
"""

from __future__ import annotations

from trine.devices.errors import InputError, nearest
from trine.neuromorphic.conversion.feed import Spiking
from trine.neuromorphic.conversion.graded import graded
from trine.neuromorphic.conversion.layers import MAXIMUM
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.scheduled import MOST_REFRACTORY, Scheduled

SCHEMES = ("exact", "rate", "ttfs", "sigma_delta")

__all__ = ["SCHEMES", "Spiking", "pool_problems", "spiking"]


def spiking(
    network: QuantisedNetwork, scheme: str, lag: int = 1, dt_s: float = 1e-3, arithmetic: str = "lava"
) -> Spiking:
    """The spiking net of a scheme. lag: for *rate*, 0 .. T - 1.

    Raises InputError for an unknown scheme or lag, maximum pools that the scheme cannot take, and delays beyond the
    chip's.
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} is unknown: {nearest(scheme, SCHEMES)}")
    pools = {x.name: x.levels or 0 for x in network.layers if x.role == MAXIMUM}
    problems = pool_problems(pools, scheme)
    if problems:
        raise InputError("; ".join(problems))
    if scheme == "sigma_delta":
        return graded(network, dt_s, arithmetic)
    levels = network.levels
    if levels is None:
        raise InputError(f"scheme {scheme} needs counts with an upper end; quantise with a number of steps T")
    most = max((x.levels or 1 for x in network.layers), default=1)
    if scheme == "rate" and not 0 <= lag < most:
        raise InputError(f"lag is {lag}: with T = {most} steps give 0 to {most - 1}")
    return Scheduled(network, scheme, lag if scheme == "rate" else levels - 1, levels).build(dt_s, arithmetic)


def pool_problems(pools: dict[str, int], scheme: str) -> list[str]:
    """Why a scheme cannot take maximum pools {node: T}, naming all of them; nothing where it can."""
    named = ", ".join(pools)
    if not pools or scheme == "exact":
        return []
    if scheme == "rate":
        return [
            f"node {named} (MaxPool): spikes that come at any time have no maximum; use --scheme exact or ttfs"
        ]
    if scheme == "sigma_delta":
        return [f"node {named} (MaxPool): graded changes have no maximum; use --scheme exact or ttfs"]
    long = ", ".join(name for name, steps in pools.items() if steps > MOST_REFRACTORY)
    if long:
        return [
            f"node {long} (MaxPool): lets one spike through by a rest of T steps, at most {MOST_REFRACTORY}"
        ]
    return []
