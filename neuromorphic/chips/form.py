"""Forms: how a chip's neurons can carry a network. A chip's record names its form, or says why it takes none.

One record for each form; `form_of` reads `chip.form` and `chip.refused` of the chip's TOML file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trine.compilers.graph import Array, Graph
from trine.compilers.target import Progress
from trine.devices import NeuroChip
from trine.devices.errors import InputError, nearest
from trine.neuromorphic.chips import crossbar, free
from trine.neuromorphic.conversion import convert
from trine.neuromorphic.conversion.convert import ConversionOptions, Converted, Scheme
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.spiking import Spiking, spiking

Quantise = Callable[[Graph, dict[str, Array], ConversionOptions, Progress, NeuroChip], Converted]
Spike = Callable[[QuantisedNetwork, str, int, float, str], Spiking]

GRADED_CHIPS = ("loihi2",)  # graded spikes: the chip's maker, 2021 brief on Loihi 2
HOLDING_CHIPS = ("loihi2", "spinnaker2")  # neurons in microcode or software, which FirstSpike asks for
LEAK = 1  # of 4096 a step: a decay by a shift of 12 bits, Xylo's longest being assumed to be no shorter
ANALOGUE_LEAK = 68  # of 4096 a step: 60 ms of membrane time constant at steps of 1 ms (assumed)


@dataclass(frozen=True)
class Form:
    """One way to carry a network.

    schemes: those it can be run in. quantise: graph to whole numbers. spike: whole numbers to spikes.
    answers_in_spikes: the host counts spikes, membranes are not read. analogue: copies differ, so that a run
    is one draw of many.
    """

    name: str
    schemes: tuple[Scheme, ...]
    quantise: Quantise
    spike: Spike
    answers_in_spikes: bool = False
    analogue: bool = False


def _scheduled(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress, chip: NeuroChip
) -> Converted:
    return convert.quantise(graph, samples, options, progress)


def _crossbar(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress, chip: NeuroChip
) -> Converted:
    return crossbar.quantise(graph, samples, options, progress)


def _free(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress, chip: NeuroChip
) -> Converted:
    return free.quantise(graph, samples, options, progress, chip)


FORMS: Mapping[str, Form] = {
    f.name: f
    for f in (
        Form("scheduled", ("exact", "rate", "ttfs", "sigma_delta"), _scheduled, spiking),
        Form("gated crossbar", ("exact",), _crossbar, crossbar.spiking, answers_in_spikes=True),
        Form("free", ("rate",), _free, free.spiking, answers_in_spikes=True),
        Form("free, leaking", ("rate",), _free, free.leaking(LEAK), answers_in_spikes=True),
        Form(
            "analogue", ("rate",), _free, free.leaking(ANALOGUE_LEAK), answers_in_spikes=True, analogue=True
        ),
    )
}


def refusal(chip: NeuroChip) -> str | None:
    """Why a chip takes no network, from its record; None where it takes one."""
    said = chip.facts.get("chip.refused")
    if said is not None:
        return f"{chip.name}: {said.text} ({said.source})"
    if "chip.form" not in chip.facts:
        return f"{chip.name}: its record names no chip.form; give one of: {', '.join(FORMS)}"
    return None


def form_of(chip: NeuroChip) -> Form:
    """The form of a chip. Raises InputError for a chip that takes no network, or a form that nobody knows."""
    why = refusal(chip)
    if why is not None:
        raise InputError(why)
    name = chip.facts["chip.form"].text
    if name not in FORMS:
        raise InputError(f"{chip.path}: chip.form {name!r} is unknown: {nearest(name, FORMS)}")
    return FORMS[name]


def spike_net(form: Form, converted: Converted, dt_s: float) -> Converted:
    """The spiking net of a converted network in a form."""
    if form.name == "scheduled":
        return convert.spike(converted, dt_s)
    o = converted.options
    return replace(converted, spiking=form.spike(converted.network, o.scheme, o.lag, dt_s, "lava"))


def schemes_of(chip: NeuroChip) -> tuple[Scheme, ...]:
    """The schemes that a chip can run, the default first. Raises InputError as `form_of`."""
    return tuple(
        s for s in form_of(chip).schemes if scheme_problem(chip, ConversionOptions(scheme=s)) is None
    )


def scheme_problem(chip: NeuroChip, options: ConversionOptions) -> str | None:
    """Why a chip cannot run a scheme, or None."""
    form = form_of(chip)
    if options.scheme == "sigma_delta" and form.name == "scheduled" and chip.name not in GRADED_CHIPS:
        return (
            f"scheme sigma_delta sends graded spikes, which {chip.name} does not have; use --scheme exact or rate, or "
            f"compile for {', '.join(GRADED_CHIPS)}"
        )
    if options.scheme == "ttfs" and form.name == "scheduled" and chip.name not in HOLDING_CHIPS:
        return (
            f"scheme ttfs needs a neuron that holds its current without decay and has two phases, which {chip.name} "
            f"does not have; use --scheme exact or rate, or compile for {', '.join(HOLDING_CHIPS)}"
        )
    if options.scheme not in form.schemes:
        return f"scheme {options.scheme}: {chip.name} runs --scheme {' or '.join(form.schemes)} only"
    if form.name != "scheduled" and not isinstance(options.steps, int):
        return f"steps: {chip.name} takes one T for all layers; give one number"
    return None
