"""Random spiking nets for tests of the engine and of lava."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet

Rng = np.random.Generator


def compartment(rng: Rng, name: str, shape: tuple[int, ...], soft: bool, phases: bool) -> Population:
    """An IF, LIF or CubaLIF with random integer parameters."""
    kind = str(rng.choice(["IF", "LIF", "CubaLIF"]))
    parameters: dict[str, Any] = {"vth": int(rng.integers(5, 400))}
    if kind != "IF":
        parameters["dv"] = int(rng.integers(0, 1200))
        if rng.random() < 0.2:
            parameters["dv"] = rng.integers(0, 4096, shape)
    if kind == "CubaLIF":
        parameters["du"] = int(rng.integers(0, 4096))
    if rng.random() < 0.6:
        parameters["bias_mant"] = rng.integers(-3000, 3000, (shape[0], *(1,) * (len(shape) - 1)))
        parameters["bias_exp"] = int(rng.integers(-2, 3))
    if rng.random() < 0.4:
        parameters |= {"reset_interval": int(rng.integers(3, 40)), "reset_offset": int(rng.integers(0, 4))}
    elif phases and rng.random() < 0.4:
        parameters |= {
            "start": int(rng.integers(0, 8)), "integrate_steps": int(rng.integers(1, 12)),
            "fire_steps": int(rng.integers(1, 12)), "v_initial": int(rng.integers(-500, 5000)),
        }  # fmt: skip
    reset = str(rng.choice(["zero", "subtraction", "none"])) if soft else "zero"
    return Population(name, kind, shape, parameters, reset)


def weights(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Loihi's 8-bit weights: even with mixed signs, or all of one sign."""
    mode = rng.integers(0, 4)
    if mode == 0:
        return rng.integers(0, 256, shape)
    if mode == 1:
        return -rng.integers(0, 256, shape)
    made = rng.integers(-128, 128, shape) * 2
    return made if mode == 2 else made // 8 * 2


def random_net(seed: int, soft: bool = True, phases: bool = True, even_pads: bool = False) -> SpikingNet:
    """Dense, convolution, pooling, identity, delays, recurrence and exponents at random."""
    rng = np.random.default_rng(seed)
    axes = int(rng.integers(1, 3))
    shape: tuple[int, ...] = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(5, 12, axes)))
    populations, projections = [Population("in", INPUT, shape)], []
    last = "in"
    for k in range(int(rng.integers(0, 3))):
        name = f"map{k}"
        p, after = windowed(rng, f"{last}-{name}", last, name, shape, even_pads)
        if min(after[1:]) < 1:
            break
        populations.append(compartment(rng, name, after, soft, phases))
        projections.append(p)
        last, shape = name, after
    for k in range(int(rng.integers(1, 3))):
        name, size = f"dense{k}", int(rng.integers(1, 20))
        before = int(np.prod(shape))
        populations.append(compartment(rng, name, (size,), soft, phases))
        projections.append(dense(rng, f"{last}-{name}", last, name, size, before))
        last, shape = name, (size,)
    size = shape[0]
    if rng.random() < 0.5:
        projections.append(dense(rng, "again", last, last, size, size))
    if rng.random() < 0.3:
        one = np.array(int(rng.integers(-60, 60)) * 2)
        projections.append(Projection("one", last, last, "identity", one, {}, int(rng.integers(0, 3))))
    return SpikingNet("random", 1e-3, tuple(populations), tuple(projections), ("in",), (last,), "lava")


def dense(rng: Rng, name: str, source: str, target: str, rows: int, columns: int) -> Projection:
    """A dense projection with random delay and exponent."""
    delay, exponent = int(rng.integers(0, 4)), int(rng.integers(-3, 3))
    return Projection(name, source, target, "dense", weights(rng, (rows, columns)), {}, delay, exponent)


def windowed(
    rng: Rng, name: str, source: str, target: str, shape: tuple[int, ...], even_pads: bool
) -> tuple[Projection, tuple[int, ...]]:
    """A convolution or pooling and the shape it gives."""
    axes = len(shape) - 1
    kernel, strides = (tuple(int(n) for n in rng.integers(1, high, axes)) for high in (5, 4))
    pool = rng.random() < 0.25
    dilations = (1,) * axes if pool else tuple(int(n) for n in rng.integers(1, 3, axes))
    begin = tuple(int(n) for n in rng.integers(0, 3, axes))
    end = begin if even_pads else tuple(int(n) for n in rng.integers(0, 3, axes))
    group = shape[0] if rng.random() < 0.3 else 1
    channels = shape[0] if pool else group * int(rng.integers(1, 4))
    after = (
        channels,
        *(
            (n + b + e - d * (k - 1) - 1) // s + 1
            for n, b, e, d, k, s in zip(shape[1:], begin, end, dilations, kernel, strides, strict=True)
        ),
    )
    attributes: dict[str, Any] = {"strides": strides, "pads": (*begin, *end)}
    delay = int(rng.integers(0, 3))
    if pool:
        attributes["kernel_shape"] = kernel
        return Projection(name, source, target, "pool", np.array(44), attributes, delay), after
    attributes |= {"dilations": dilations, "group": group}
    weight = weights(rng, (channels, shape[0] // group, *kernel))
    return Projection(name, source, target, "conv", weight, attributes, delay, int(rng.integers(0, 2))), after


def spikes(seed: int, net: SpikingNet, batch: int, steps: int, graded: bool = False) -> dict[str, Array]:
    """Input spikes (or small integers) at a random rate."""
    rng = np.random.default_rng(seed + 1)
    shape = (batch, steps, *net.population("in").shape)
    fired = rng.random(shape) < rng.choice([0.02, 0.1, 0.4])
    return {"in": fired * (rng.integers(-9, 10, shape) if graded else 1)}


def everything(net: SpikingNet) -> dict[str, tuple[str, ...]]:
    """Probes of spikes, currents and membranes of all compartments."""
    return {p.name: ("spikes", "u", "v") for p in net.populations if p.neuron != INPUT}


def differing(net: SpikingNet, one: Any, other: Any) -> dict[str, int]:
    """How many probed values differ, by population and variable, where any do."""
    found = {
        f"{name}.{v}": int((np.asarray(one.probes[name][v]) != np.asarray(other.probes[name][v])).sum())
        for name, variables in everything(net).items()
        for v in variables
    }
    return {k: n for k, n in found.items() if n}
