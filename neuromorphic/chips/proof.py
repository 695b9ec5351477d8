"""What is proved and priced of a run: the chip's part of a net, and an analogue chip's many draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trine.compilers.battery_life import Duty
from trine.compilers.estimate import Estimate
from trine.compilers.examples import Examples
from trine.compilers.graph import Array
from trine.compilers.report import Parity
from trine.devices import NeuroChip
from trine.neuromorphic.chips.analogue import draws_of
from trine.neuromorphic.chips.answers import chip_events, on_chip
from trine.neuromorphic.chips.form import form_of
from trine.neuromorphic.conversion.proving import parities, priced
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.running import Run
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping import Mapping, map_net


def mapped(made: Spiking, chip: NeuroChip, events: Events, chips: int, seed: int) -> Mapping:
    """The chip's part of a spiking net on its cores, at the rates of a run."""
    rates = chip_events(events).rates()
    return map_net(on_chip(made).net, chip, rates, max_chips=chips, seed=seed)


def costs(
    made: Spiking, mapping: Mapping, ran: Run, chip: NeuroChip, duty: Duty | None
) -> tuple[list[Estimate], dict[str, str], list[str]]:
    """`priced` for the chip's part of a net."""
    return priced(on_chip(made), mapping, replace(ran, events=chip_events(ran.events)), chip, duty)


def labels_of(examples: Examples, chosen: Array) -> Array | None:
    """Class numbers of the chosen examples, where there are any."""
    labels = examples.labels
    return None if labels is None or labels.ndim != 1 else labels[chosen]


def shown(
    made: Spiking, network: QuantisedNetwork, whole: dict[str, Array], ran: Run, chip: NeuroChip,
    scores: dict[str, Any] | None, labels: Array | None,
) -> tuple[list[Parity], dict[str, Any] | None]:  # fmt: skip
    """Parity and accuracy; of an analogue chip over several draws of its mismatch."""
    if not form_of(chip).analogue:
        return parities(made, ran), scores
    draws, parity = draws_of(made, network, whole, ran, chip, labels)
    return [parity], None if scores is None else {**scores, "draws": draws}
