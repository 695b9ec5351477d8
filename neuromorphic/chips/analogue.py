"""Analogue chips: no two copies of a circuit are equal, so a network is run on many imagined chips.

A draw multiplies thresholds, membrane decays and, where every synapse is a circuit, weights by 1 + sigma x normal,
with the sigmas of the chip's record. What comes out is a mean and a spread, not what one chip will do, and never bit
for bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.report import Parity
from trine.devices import NeuroChip
from trine.neuromorphic.arithmetic import VARIANTS
from trine.neuromorphic.chips.answers import HOST
from trine.neuromorphic.conversion.convert import spread
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.running import Run, run_spiking
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

DRAWS = 8
EXAMPLES = 256  # a draw, at most
FINER = 6  # bits that a weight gains, so that a few per cent show
DECAYS = 4096


def draws_of(
    made: Spiking,
    network: QuantisedNetwork,
    whole: dict[str, Array],
    ran: Run,
    chip: NeuroChip,
    labels: Array | None,
) -> tuple[dict[str, Any], Parity]:
    """What draws 0 .. DRAWS - 1 showed, and the parity that can be stated of an analogue chip: none but statistics.

    Accuracy is over at most `EXAMPLES` examples, evenly spread and the same in every draw.
    """
    chosen = spread(len(ran.quantised), EXAMPLES)
    count = len(chosen)
    few = {k: v[chosen] for k, v in whole.items()}
    runs = [run_spiking(drawn(made, chip, seed), network, few) for seed in range(DRAWS)]
    agree = [float((r.spiking == r.quantised).mean()) for r in runs]
    found: dict[str, Any] = {"draws": DRAWS, "examples": count, "agreement": _statistics(agree)}
    if labels is not None:
        found["accuracy"] = _statistics([float((r.spiking == labels[chosen]).mean()) for r in runs])
    mean, deviation = found["agreement"]["mean"], found["agreement"]["std"]
    sigmas = ", ".join(f"{k} {v.value:g} {v.unit}" for k, v in sorted(chip.section("mismatch").items()))
    note = (
        f"statistical, not bit accurate: {DRAWS} draws of mismatch ({sigmas}; one standard deviation), "
        f"{mean:.2%} +- {deviation:.2%} of the examples get the quantised network's class"
    )
    differing = sum(r.differing for r in runs)
    largest = max(layer.largest for r in runs for layer in r.layers.values())
    values = sum(r.values for r in runs)
    return found, Parity(
        "mismatch Monte Carlo, spike counts of all layers", count, values, differing, largest, False, note
    )


def _statistics(values: list[float]) -> dict[str, float]:
    """Mean, standard deviation over draws, extremes."""
    a = np.array(values)
    return {
        "mean": float(a.mean()),
        "std": float(a.std(ddof=1)),
        "low": float(a.min()),
        "high": float(a.max()),
    }


def drawn(made: Spiking, chip: NeuroChip, seed: int) -> Spiking:
    """The net as one imagined copy of the chip computes it."""
    rng = np.random.default_rng([seed, 0xA])
    sigma = {k: float(f.si_value) for k, f in chip.section("mismatch").items()}
    net = made.net
    populations = tuple(_copy(p, sigma, rng) for p in net.populations)
    projections = tuple(
        _circuits(net, q, sigma["weight"], rng) if "weight" in sigma and q.target != HOST else q
        for q in net.projections
    )
    return replace(made, net=replace(net, populations=populations, projections=projections))


def _copy(p: Population, sigma: dict[str, float], rng: np.random.Generator) -> Population:
    """Thresholds and decays of their own."""
    if p.neuron == INPUT or "vth" not in p.parameters:
        return p
    vth = np.asarray(p.parameters["vth"]) * (1 + sigma.get("threshold", 0.0) * rng.standard_normal(p.shape))
    own: dict[str, Any] = {"vth": np.maximum(1, np.rint(vth)).astype(np.int64)}
    if "dv" in p.parameters:
        dv = np.asarray(p.parameters["dv"]) * (
            1 + sigma.get("time_constant", 0.0) * rng.standard_normal(p.shape)
        )
        own["dv"] = np.clip(np.rint(dv), 0, DECAYS - 1).astype(np.int64)
    return replace(p, parameters={**p.parameters, **own})


def _circuits(net: SpikingNet, q: Projection, sigma: float, rng: np.random.Generator) -> Projection:
    """Every synapse a circuit of its own: shared weights are written out."""
    from trine.neuromorphic.engine.definition import projected

    source, target = net.population(q.source), net.population(q.target)
    ones = np.eye(source.size, dtype=np.int64).reshape(source.size, *source.shape)
    plain = replace(q, weight_exponent=0)
    weight = (
        projected(plain, ones, target.shape, VARIANTS["loihi_hardware"], np.int64).reshape(source.size, -1).T
    )
    own = np.rint(weight * (1 << FINER) * (1 + sigma * rng.standard_normal(weight.shape))).astype(np.int32)
    return replace(q, kind="dense", weight=own, attributes={}, weight_exponent=q.weight_exponent - FINER)
