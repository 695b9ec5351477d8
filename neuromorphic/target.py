"""The neuromorphic target: counts in T levels, spikes, the chip's whole numbers, cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trine.compilers.battery_life import Duty
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import Artifact, Fit, PassReceipt
from trine.compilers.target import Job, NetworkTarget, Pass, Proof
from trine.devices import Device, NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic.chips.form import form_of, refusal, scheme_problem, spike_net
from trine.neuromorphic.chips.free import state_fit
from trine.neuromorphic.chips.proof import costs, labels_of, mapped, shown
from trine.neuromorphic.chips.stages import stages
from trine.neuromorphic.conversion.convert import (
    ConversionOptions,
    Converted,
    draw_samples,
    drawn_labels,
    spread,
)
from trine.neuromorphic.conversion.network_file import save_network
from trine.neuromorphic.conversion.proving import fit_of, scored
from trine.neuromorphic.conversion.receipts import receipts
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.conversion.walk import obstacles
from trine.neuromorphic.conversion.writing import (
    mapping_json,
    receipts_warnings,
    schedule_of,
    write_json,
    write_nir_file,
    write_vectors,
)
from trine.neuromorphic.finetune.options import FineTuning
from trine.neuromorphic.finetune.tuning import fine_tune
from trine.neuromorphic.mapping import Mapping
from trine.neuromorphic.net_file import save_net

PARITY_EXAMPLES = 3000
RECEIPT_EXAMPLES = 512
VECTORS = 64


@dataclass(frozen=True)
class NeuromorphicOptions:
    """What a user may choose: the conversion's options, chips at most, examples for parity, battery and duty, and
    whether weights are trained through the spikes."""

    conversion: ConversionOptions = field(default_factory=ConversionOptions)
    chips: int = 1
    parity_examples: int = PARITY_EXAMPLES
    duty: Duty | None = None
    seed: int = 0
    fine_tune: FineTuning | None = None


@dataclass(frozen=True)
class NeuromorphicProgram:
    """A network on its way to a chip."""

    converted: Converted
    mapping: Mapping | None = None
    tuning: dict[str, Any] | None = None

    @property
    def spiking(self) -> Spiking:
        """The spiking net. Raises InputError before the pass that makes it."""
        if self.converted.spiking is None:
            raise InputError("the network has not been turned into spikes yet")
        return self.converted.spiking


def options_of(job: Job) -> NeuromorphicOptions:
    """The job's options, or the defaults; the scheme's own checks included."""
    options = job.options if isinstance(job.options, NeuromorphicOptions) else NeuromorphicOptions()
    options.conversion.check()
    if options.fine_tune is not None:
        options.fine_tune.check()
    return options


def chip_of(job: Job) -> NeuroChip:
    """The job's chip. Raises InputError for a device of another kind."""
    if not isinstance(job.device, NeuroChip):
        raise InputError(f"{job.device.name} is no neuromorphic chip")
    return job.device


def quantise_pass(
    program: Graph, job: Job, examples: Examples | None
) -> tuple[NeuromorphicProgram, PassReceipt]:
    """float32 -> counts in T levels, whole weights, biases and thresholds."""
    if examples is None:
        raise InputError("thresholds come from examples: give --data CALIB.npz")
    options, chip = options_of(job).conversion, chip_of(job)
    refuse(options, chip)
    samples = draw_samples(program, examples, options.calibration_examples)
    made = form_of(chip).quantise(program, samples, options, job.progress, chip)
    made = replace(made, labels=drawn_labels(examples, options.calibration_examples))
    network = made.network
    weights = sum(s.weight.size for layer in network.layers for s in layer.synapses)
    top = "no upper end" if network.levels is None else f"T = {network.levels}"
    count = len(next(iter(samples.values())))
    changed = (
        f"{len(network.layers)} layers, {weights:,} weights of {network.weight_bits} bits, {top}; "
        f"thresholds from {count} examples"
    )
    details = {
        layer.name: {"theta": layer.theta, "unit": layer.unit, "levels": layer.levels,
                     "exponents": [s.exponent for s in layer.synapses]}
        for layer in network.layers
    }  # fmt: skip
    return NeuromorphicProgram(made), PassReceipt("quantise", changed, details)


def fine_tune_pass(
    program: NeuromorphicProgram, job: Job, examples: Examples | None
) -> tuple[NeuromorphicProgram, PassReceipt | None]:
    """Weights, biases and thresholds trained through the spikes, where the job asks for it."""
    options, chip = options_of(job), chip_of(job)
    if options.fine_tune is None:
        return program, None
    if form_of(chip).name != "scheduled":
        raise InputError(f"fine-tuning: not written for the neurons of {chip.name}; leave --fine-tune out")
    tuned = fine_tune(program.converted, options.fine_tune, job.progress)
    made = replace(program, converted=tuned.converted, tuning=tuned.record)
    return made, PassReceipt("fine_tune", tuned.summary, tuned.record)


def spike_pass(
    program: NeuromorphicProgram, job: Job, examples: Examples | None
) -> tuple[NeuromorphicProgram, PassReceipt]:
    """Counts -> spikes in time, in the chip's integer neurons."""
    options = options_of(job).conversion
    chip = chip_of(job)
    made = replace(program, converted=spike_net(form_of(chip), program.converted, tick_s(chip)))
    net = made.spiking.net
    changed = (
        f"scheme {options.scheme}: {net.neurons:,} neurons, {made.spiking.steps} steps an inference, "
        f"{len(made.spiking.lines)} input populations"
    )
    return made, PassReceipt("spike", changed, schedule_of(made.spiking))


def map_pass(
    program: NeuromorphicProgram, job: Job, examples: Examples | None
) -> tuple[NeuromorphicProgram, PassReceipt]:
    """Populations to cores, at the rates that a few examples cause."""
    made, options = program.converted, options_of(job)
    few = {name: x[:64] for name, x in made.samples.items()}
    events = run_spiking(program.spiking, made.network, made.network.encode(few)).events
    mapping = mapped(program.spiking, chip_of(job), events, options.chips, options.seed)
    if mapping.violations:
        changed = f"does not fit: {len(mapping.violations)} limits broken"
    else:
        full = f"fullest limits {mapping.utilisation:.0%} full on average"
        changed = f"{mapping.cores} cores on {mapping.chips} chip(s), {full}"
    return replace(program, mapping=mapping), PassReceipt("map", changed, mapping_json(mapping))


def tick_s(chip: NeuroChip) -> float:
    """The chip's real-time step in s; 1 ms where none is stated."""
    figure = chip.figure("limits.tick")
    return 1e-3 if figure is None else float(figure.si_value)


def refuse(options: ConversionOptions, chip: NeuroChip) -> None:
    """Raise InputError where the chip lacks what the scheme needs."""
    problem = scheme_problem(chip, options)
    if problem is not None:
        raise InputError(problem)


class NeuromorphicTarget(NetworkTarget):
    """The neuromorphic pillar's `Target`."""

    name = "neuromorphic"
    needs_data = True
    passes: Sequence[Pass] = (
        Pass("quantise", quantise_pass),
        Pass("fine_tune", fine_tune_pass),
        Pass("spike", spike_pass),
        Pass("map", map_pass),
    )

    def obstacles(self, graph: Graph, device: Device) -> list[str]:
        """Nodes without a spiking form, and chips whose neuron no scheme is written for."""
        why = refusal(device) if isinstance(device, NeuroChip) else f"{device.name} is no neuromorphic chip"
        return [*([] if why is None else [why]), *obstacles(graph)]

    def emit(self, program: NeuromorphicProgram, job: Job, folder: Path) -> list[Artifact]:
        """Write the spiking net, the quantised network, the float graph, schedule, mapping, receipts and, where NIR
        can hold it, the NIR file."""
        from trine.compilers.onnx_writer import write_onnx

        made = program.converted
        save_net(program.spiking.net, folder / "network.npz")
        save_network(made.network, folder / "quantised.npz")
        (folder / "float.onnx").write_bytes(write_onnx(made.graph).SerializeToString(deterministic=True))
        every = max(1, len(next(iter(made.samples.values()))) // RECEIPT_EXAMPLES)
        few = {name: x[::every][:RECEIPT_EXAMPLES] for name, x in made.samples.items()}
        labels = None if made.labels is None else made.labels[::every][:RECEIPT_EXAMPLES]
        plain = not form_of(chip_of(job)).answers_in_spikes
        write_json(
            folder / "receipts.json", receipts(made, few, labels).as_json() if plain else stages(made, few)
        )
        write_json(folder / "schedule.json", schedule_of(program.spiking))
        artifacts = [
            Artifact("network.npz", "spiking_net"),
            Artifact("quantised.npz", "quantised_network"),
            Artifact("float.onnx", "float_onnx"),
            Artifact("receipts.json", "receipts"),
            Artifact("schedule.json", "schedule"),
        ]
        if program.mapping is not None:
            write_json(folder / "mapping.json", mapping_json(program.mapping))
            artifacts.append(Artifact("mapping.json", "mapping"))
        if program.tuning is not None:
            write_json(folder / "fine_tuning.json", program.tuning)
            artifacts.append(Artifact("fine_tuning.json", "fine_tuning"))
        whole = {k: v[:VECTORS] for k, v in made.network.encode(few).items()}
        write_vectors(made.network, whole, folder / "vectors.npz")
        return [*artifacts, Artifact("vectors.npz", "vectors"), *write_nir_file(program.spiking.net, folder)]

    def prove(self, program: NeuromorphicProgram, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Simulate on calibration examples, compare counts with the quantised network's, count events, price them."""
        if examples is None:
            raise InputError("parity needs examples: give --data")
        mapping, made, options = program.mapping, program.converted, options_of(job)
        if mapping is None:
            raise InputError("the network has not been mapped")
        fit = fit_of(mapping, chip_of(job))
        if not all(f.ok for f in fit):
            return Proof((), fit, ())
        sample = draw_samples(made.graph, examples, options.parity_examples)
        whole = made.network.encode(sample)
        if form_of(chip_of(job)).schemes == ("rate",):
            fit = [*fit, *state_fit(program.spiking, whole, chip_of(job))]
            if not all(f.ok for f in fit):
                return Proof((), fit, ())
        ran = run_spiking(program.spiking, made.network, whole, progress=job.progress)
        chosen = spread(examples.count, options.parity_examples)
        scores = scored(made.graph, sample, ran.spiking, examples, chosen)
        cost, missing, notes = costs(program.spiking, mapping, ran, chip_of(job), options.duty)
        warnings = [*receipts_warnings(folder), *notes, *mapping.notes]
        parity, scores = shown(
            program.spiking, made.network, whole, ran, chip_of(job), scores, labels_of(examples, chosen)
        )
        return Proof(parity, fit, cost, missing, scores, warnings)

    def remedies(self, program: NeuromorphicProgram, job: Job, fit: Sequence[Fit]) -> list[str]:
        """What would make the network fit: the mapping's remedies first."""
        found = [] if program.mapping is None else [v.remedy for v in program.mapping.violations]
        return list(dict.fromkeys([
            *found,
            f"--chips {options_of(job).chips * 2}: more chips",
            f"--input-bits {max(1, options_of(job).conversion.input_bits - 2)}: fewer input populations",
            "a smaller network: fewer channels, or a stride in its first layers",
        ]))[:3]  # fmt: skip


TARGET = NeuromorphicTarget()
