"""From a real-valued `SpikingNet` to a chip's integers: weight formats, one scale a layer, bounds checked.

A layer's weights, thresholds and biases are multiplied by one scale (integer weight units per real unit of the
membrane) and rounded; time constants become 12-bit decays. Reading of the arithmetic: `arithmetic.VARIANTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trine.devices.errors import InputError, nearest
from trine.neuromorphic.arithmetic import LIMIT, VARIANTS, variant
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.neuron import neuron

__all__ = ["FORMATS", "VARIANTS", "Overflow", "WeightFormat", "loihi_weights", "overflows", "quantise"]


@dataclass(frozen=True)
class WeightFormat:
    """How a chip stores a synaptic weight.

    low, high: range of the integers; step: they are multiples of it. exponent_low, exponent_high: a layer's common
    exponent (powers of two on the sum). A range for a single sign (one_sign) holds where a layer has one.
    """

    name: str
    low: int
    high: int
    step: int
    exponent_low: int
    exponent_high: int
    one_sign: int
    source: str

    def limits(self, weight: Array) -> tuple[int, int, int]:
        """low, high and step for weights of these signs."""
        if self.one_sign and weight.size and weight.min() >= 0:
            return 0, self.one_sign, 1
        if self.one_sign and weight.size and weight.max() <= 0:
            return -self.one_sign, 0, 1
        return self.low, self.high, self.step


def _loihi(bits: int) -> WeightFormat:
    """Loihi with so many weight bits, sign included where signs are mixed."""
    step = 1 << (9 - bits)
    return WeightFormat(
        f"loihi_{bits}bit", -256, 256 - step, step, -8, 7, 256 - (1 << (8 - min(bits, 8))),
        "lava-nc 0.10.0 weightutils; Davies et al. 2018, doi 10.1109/MM.2018.112130359, p. 89: 1 to 9 bits",
    )  # fmt: skip


FORMATS: Mapping[str, WeightFormat] = {
    f.name: f
    for f in (
        *(_loihi(bits) for bits in range(1, 9)),
        WeightFormat("xylo", -128, 127, 1, 0, 7, 0, "rockpool 3.1.0: 8-bit weights, bit shifts"),
        WeightFormat("dynapcnn", -128, 127, 1, 0, 0, 0, "sinabs 3.1.3: 8-bit weights"),
        WeightFormat(
            "odin", -7, 7, 1, 0, 0, 0, "Frenkel et al. 2019, doi 10.1109/TBCAS.2018.2880425: 3 bits and sign"
        ),
        WeightFormat(
            "truenorth", -255, 255, 1, 0, 0, 0, "Merolla et al. 2014, doi 10.1126/science.1254642: 9 bits"
        ),
        WeightFormat("spinnaker2", -32768, 32767, 1, 0, 0, 0, "16-bit weights, arXiv 2103.08392"),
        WeightFormat("int8", -128, 127, 1, 0, 0, 0, "plain two's complement"),
    )
}


def loihi_weights(weight: Array, bits: int = 8, sign_mode: str | None = None) -> Array:
    """What Loihi keeps of integer weights: clipped, low bits dropped (lava-nc 0.10.0 `weightutils`), int64.

    sign_mode: "mixed", "excitatory", "inhibitory", or by the weights. Mixed drops 9 - bits low bits by floor,
    the others 8 - bits towards zero.
    """
    w = np.asarray(weight).astype(np.int64)
    mode = sign_mode or (
        "excitatory" if w.min(initial=0) >= 0 else "inhibitory" if w.max(initial=0) <= 0 else "mixed"
    )
    ranges = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
    if mode not in ranges or not 1 <= bits <= 8:
        raise InputError(
            f"sign mode {mode!r}, {bits} bits: modes are {', '.join(sorted(ranges))}, bits 1 to 8"
        )
    w = np.clip(w, *ranges[mode])
    drop = 8 - bits + (mode == "mixed")
    return np.asarray(-((-w >> drop) << drop) if mode == "inhibitory" else (w >> drop) << drop, np.int64)


@dataclass(frozen=True)
class Overflow:
    """A population whose synaptic sum may leave what the arithmetic holds. bound: largest |sum|, weight units."""

    population: str
    bound: float
    limit: float
    remedy: str


def overflows(net: SpikingNet, largest_message: float = 1.0) -> list[Overflow]:
    """Populations of an integer net whose current could wrap: sum of |w| * 2^e over a neuron's inputs.

    The bound counts every input at once in every step, so it is safe, not tight: with decay du a current can grow to
    4096 / (du + 1) times one step's sum. Limit: 2^17 weight units, 24 bits less the six of alignment and the sign.
    largest_message: of graded projections.
    """
    found = []
    for p in net.populations:
        if p.neuron not in ("IF", "LIF", "CubaLIF", "LI", "AdaptiveLIF"):
            continue
        q = neuron(p.neuron).values(p.parameters, True, net.dt_s)
        grows = 4096 / (float(np.min(q.get("du", 4095))) + 1)
        bound = sum(_largest_sum(x) * (largest_message if x.graded else 1) for x in net.into(p.name)) * grows
        limit = LIMIT >> 6
        if bound >= limit:
            found.append(
                Overflow(
                    p.name, bound, limit, "lower the layer's weight scale or exponent, or use a larger du"
                )
            )
    return found


def _largest_sum(p: Projection) -> float:
    """Largest sum of |weight| of one target neuron, exponent included."""
    weight = np.abs(np.asarray(p.weight, np.float64))
    if p.kind == "pool":
        one = float(weight.max()) * float(np.prod(p.attributes["kernel_shape"]))
    elif p.kind == "identity":
        one = float(weight.max())
    else:
        one = float(weight.reshape(weight.shape[0], -1).sum(axis=1).max())
    return one * 2.0**p.weight_exponent


def quantise(
    net: SpikingNet,
    arithmetic: str = "lava",
    weights: str = "loihi_8bit",
    scales: Mapping[str, float] | None = None,
) -> SpikingNet:
    """The integer net of a real-valued one.

    arithmetic: a name of VARIANTS; weights: a name of FORMATS. scales: integer weight units per real unit of the
    membrane, by population; without one a population gets the largest that its weights and threshold
    allow. Raises InputError naming every population that has no integer form.
    """
    if net.arithmetic != "float":
        raise InputError(f"net {net.name} is an integer one already ({net.arithmetic})")
    variant(arithmetic)
    if weights not in FORMATS:
        raise InputError(f"weight format {weights!r} is unknown: {nearest(weights, FORMATS)}")
    net.check()
    rule, problems = FORMATS[weights], []
    populations: list[Population] = []
    projections: dict[str, Projection] = {}
    for p in net.populations:
        if p.neuron == INPUT:
            populations.append(p)
            continue
        try:
            made, into = _layer(net, p, rule, (scales or {}).get(p.name))
        except InputError as bad:
            problems.append(f"population {p.name}: {bad}")
            continue
        populations.append(made)
        projections |= {x.name: x for x in into}
    if problems:
        raise InputError("no integer form:\n  " + "\n  ".join(problems))
    ordered = tuple(projections[p.name] for p in net.projections)
    return replace(net, populations=tuple(populations), projections=ordered, arithmetic=arithmetic)


def _layer(
    net: SpikingNet, p: Population, rule: WeightFormat, scale: float | None
) -> tuple[Population, list[Projection]]:
    """A population and the projections into it, in integers."""
    kind = neuron(p.neuron)
    q = kind.values(p.parameters, False, net.dt_s)
    gain = kind.input_gain(q, net.dt_s)
    into = [(x, _gained(x, gain, p)) for x in net.into(p.name)]
    if kind.graded and not kind.readout and any(x.graded for x, _ in into):
        raise InputError(
            f"{p.neuron} between graded layers carries its own scale: convert with the sigma-delta scheme"
        )
    if any(x.graded and net.population(x.source).neuron not in (INPUT,) for x, _ in into):
        raise InputError("a graded message of a real-valued neuron has no integer scale of its own")
    if scale is None:
        scale = _largest_scale([w for _, w in into], q, rule)
    made = [_rounded(x, w * scale, rule) for x, w in into]
    return replace(p, parameters=kind.quantise(q, net.dt_s, scale)), made


def _gained(x: Projection, gain: Any, p: Population) -> Array:
    """Weights times the neuron's input gain, exponent folded in."""
    weight = np.asarray(x.weight, np.float64) * 2.0**x.weight_exponent
    gain = np.asarray(gain, np.float64)
    if gain.ndim == 0 or (gain == gain.reshape(-1)[0]).all():
        return np.asarray(weight * gain.reshape(-1)[0])
    each = np.broadcast_to(gain, p.shape)
    if x.kind == "dense":
        return np.asarray(weight * each.reshape(-1, 1))
    if x.kind == "identity":
        return np.asarray(
            weight * each.reshape(-1) if weight.size == 1 else weight.reshape(-1) * each.reshape(-1)
        )
    flat = each.reshape(p.shape[0], -1)
    if x.kind == "conv" and (flat == flat[:, :1]).all():
        return np.asarray(weight * flat[:, 0].reshape(-1, *(1,) * (weight.ndim - 1)))
    raise InputError(f"projection {x.name}: input gain varies inside a channel of a {x.kind}")


def _largest_scale(weights: list[Array], q: Mapping[str, Any], rule: WeightFormat) -> float:
    """Largest scale at which weights, threshold and bias of a layer fit.

    The exponent adds range above the format's integers; it is used where the threshold needs it, not to refine weights.
    """
    peak = max((float(np.abs(w).max(initial=0)) for w in weights), default=0.0)
    theta = float(np.max(q["v_threshold"])) if "v_threshold" in q else 0.0
    limits = [min(-rule.low, rule.high) / peak] if peak else []
    limits += [131071 / (2 * theta)] if theta else []
    if not limits:
        return 64.0
    return min(limits)


def _rounded(x: Projection, scaled: Array, rule: WeightFormat) -> Projection:
    """Integer weights nearest to real ones, with the smallest exponent at which they fit.

    Raises InputError where not even the largest exponent is enough.
    """
    low, high, step = rule.limits(scaled)
    peak_high, peak_low = float(scaled.max(initial=0)), float(scaled.min(initial=0))
    for exponent in range(rule.exponent_high + 1):
        unit = 2.0**exponent
        if round(peak_high / unit) <= high and round(peak_low / unit) >= low:
            whole = np.clip(np.round(scaled / unit / step) * step, low, high)
            return replace(x, weight=whole.astype(np.int32), weight_exponent=exponent)
    raise InputError(
        f"projection {x.name}: weights of {peak_low:.0f} to {peak_high:.0f} exceed {rule.name}'s {low} to {high} times "
        f"2^{rule.exponent_high}; lower the scale of the layer"
    )
