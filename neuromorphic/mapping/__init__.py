"""A spiking net on a chip: populations cut to cores under the chip's limits, cores placed on its mesh.

`map_net(net, chip).check()` raises with every limit that the net breaks; without one the mapping says which
neurons sit where, how full each core is and how far messages travel.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic.mapping import layered, loihi, truenorth, whole, xylo
from trine.neuromorphic.mapping.cores import lay_out
from trine.neuromorphic.mapping.partition import CoreRule, partition
from trine.neuromorphic.mapping.place import Mesh
from trine.neuromorphic.mapping.reach import Wiring, wirings
from trine.neuromorphic.mapping.records import Limit, Mapping, Piece, Traffic, Violation
from trine.neuromorphic.net import INPUT, SpikingNet

__all__ = ["Limit", "Mapping", "Piece", "Traffic", "Violation", "map_net"]


@dataclass(frozen=True)
class Family:
    """How a chip with equal cores is mapped. mesh None: not public."""

    rule: Callable[[SpikingNet, NeuroChip], CoreRule]
    mesh: Mesh | None
    violations: Callable[[SpikingNet, tuple[Wiring, ...]], list[Violation]] = lambda net, wires: []
    splitters: bool = False
    notes: tuple[str, ...] = ()


FAMILIES: MappingOf[str, Family] = {
    "loihi1": Family(
        loihi.loihi1_rule,
        loihi.MESH,
        loihi.loihi1_violations,
        notes=("NxTF's limit of 16 destination groups is not modelled",),
    ),
    "loihi2": Family(
        loihi.loihi2_rule,
        None,
        notes=(
            "neurons and memory of a core are unverified; axon limits and the mesh of Loihi 2 are not public",
        ),
    ),
    "truenorth": Family(
        truenorth.truenorth_rule, truenorth.MESH, truenorth.truenorth_violations, splitters=True
    ),
    "spinnaker2": Family(
        whole.even_share_rule, None, notes=("each PE gets an even share of the chip's neurons and synapses",)
    ),
}


def map_net(
    net: SpikingNet,
    chip: NeuroChip,
    rates: MappingOf[str, float] | None = None,
    *,
    max_chips: int = 1,
    seed: int = 0,
) -> Mapping:
    """The net on so many chips at most; limits that it breaks stand in `violations` (`Mapping.check` raises).

    rates: spikes a neuron sends in one step, by population (`Events.rates`); without them every population
    counts as one spike a neuron and step. seed: of placement's kicks. Same arguments, same mapping. Raises
    InputError for an inconsistent net, rates that are no numbers or name no population.
    """
    net.check()
    rates = _checked(net, rates)
    if max_chips < 1:
        raise InputError(f"{max_chips} chips: give at least 1")
    try:
        wires = wirings(net)
    except (IndexError, KeyError, ValueError) as error:
        raise InputError(
            f"a projection of {net.name} lacks an attribute or has a wrong shape: {error}"
        ) from None
    if chip.name.startswith("akida"):
        return _plain(net, chip, [], [], list(whole.refused(chip)))
    if chip.name.startswith("xylo"):
        return _plain(net, chip, *xylo.xylo(net, wires, chip))
    if chip.name in ("dynapcnn", "speck"):
        return _layers(net, chip, wires)
    family = FAMILIES.get(chip.name)
    limits, used = whole.totals(net, wires, chip)
    if family is None:
        note = (
            f"only the neuron and synapse counts of {chip.title} are compared: its cores are not modelled",
        )
        return replace(_plain(net, chip, limits, used, whole.total_violations(net, limits, used)), notes=note)
    problems = family.violations(net, wires)
    rule = family.rule(net, chip)
    boxes, more = partition(net, wires, rule)
    if problems or more:
        return replace(_plain(net, chip, [], [], problems + more), limits=rule.limits, notes=family.notes)
    laid = lay_out(net, chip, wires, boxes, rule, family.mesh, rates, max_chips, seed, family.splitters)
    return replace(laid, notes=(*family.notes, *laid.notes))


def _checked(net: SpikingNet, rates: MappingOf[str, float] | None) -> dict[str, float]:
    given = dict(rates or {})
    problems = [f"no population {name}" for name in sorted(set(given) - set(net.by_name))]
    problems += [f"{name}: {r}" for name, r in sorted(given.items()) if not (np.isfinite(r) and r >= 0)]
    if problems:
        raise InputError("rates (spikes a neuron and step, by population): " + "; ".join(problems))
    return {p.name: float(given.get(p.name, 1.0 if rates is None else 0.0)) for p in net.populations}


def _plain(
    net: SpikingNet, chip: NeuroChip, limits: list[Limit], used: list[float], problems: list[Violation]
) -> Mapping:
    """A chip that counts as one core."""
    fits = not problems
    pieces = tuple(
        Piece(p.name, (0,) * len(p.shape), p.shape, 0) for p in net.populations if p.neuron != INPUT and fits
    )
    use: NDArray[np.float64] = (
        np.array([used], np.float64) if fits and limits else np.zeros((int(fits), len(limits)))
    )
    place = np.full((len(use), 3), -1, np.int64)
    place[:, 0] = 0
    return Mapping(
        chip.name, net.name, pieces, tuple(limits), use, place, None, {}, 0, int(fits), tuple(problems)
    )


def _layers(net: SpikingNet, chip: NeuroChip, wires: tuple[Wiring, ...]) -> Mapping:
    limits, core, use, problems, notes = layered.layered(net, wires, chip)
    plain = _plain(net, chip, limits, [0.0] * len(limits), problems)
    if problems:
        return replace(plain, notes=tuple(notes))
    order = {name: number for number, name in enumerate(core)}
    pieces = tuple(replace(piece, core=order[piece.population]) for piece in plain.pieces)
    place = np.array([[0, -1, -1]] * len(core), np.int64).reshape(-1, 3)
    where = "; ".join(f"{name} on core {number}" for name, number in core.items())
    return replace(plain, pieces=pieces, use=use, placement=place, notes=(*notes, where))
