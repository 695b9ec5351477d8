"""The neuromorphic target: counts in T levels, spikes, the chip's whole numbers, cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trine.compilers.battery_life import Duty
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import Artifact, Fit, PassReceipt
from trine.compilers.target import Job, Pass, Proof
from trine.devices import Device, NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.convert import (
    ConversionOptions,
    Converted,
    draw_samples,
    quantise,
    spike,
    spread,
)
from trine.neuromorphic.conversion.network_file import save_network
from trine.neuromorphic.conversion.proving import fit_of, parities, priced, scored
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
from trine.neuromorphic.mapping import Mapping, map_net
from trine.neuromorphic.net_file import save_net

PARITY_EXAMPLES = 3000
RECEIPT_EXAMPLES = 512
VECTORS = 64
GRADED_CHIPS = ("loihi2",)  # graded spikes: the chip's maker, 2021 brief on Loihi 2
CHIPS = ("loihi1", "loihi2", "spinnaker2")  # chips whose neuron the schemes are written for


@dataclass(frozen=True)
class NeuromorphicOptions:
    """What a user may choose: the conversion's options, chips at most, examples for parity, battery and duty."""

    conversion: ConversionOptions = field(default_factory=ConversionOptions)
    chips: int = 1
    parity_examples: int = PARITY_EXAMPLES
    duty: Duty | None = None
    seed: int = 0


@dataclass(frozen=True)
class NeuromorphicProgram:
    """A network on its way to a chip."""

    converted: Converted
    mapping: Mapping | None = None

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
    options = options_of(job).conversion
    refuse(options, job.device)
    samples = draw_samples(program, examples, options.calibration_examples)
    made = quantise(program, samples, options, job.progress)
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


def spike_pass(
    program: NeuromorphicProgram, job: Job, examples: Examples | None
) -> tuple[NeuromorphicProgram, PassReceipt]:
    """Counts -> spikes in time, in the chip's integer neurons."""
    options = options_of(job).conversion
    made = replace(program, converted=spike(program.converted, tick_s(chip_of(job))))
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
    rates = run_spiking(program.spiking, made.network, made.network.encode(few)).events.rates()
    mapping = map_net(program.spiking.net, chip_of(job), rates, max_chips=options.chips, seed=options.seed)
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


def refuse(options: ConversionOptions, chip: Device) -> None:
    """Raise InputError where the chip lacks what the scheme needs."""
    if options.scheme == "sigma_delta" and chip.name not in GRADED_CHIPS:
        raise InputError(
            f"scheme sigma_delta sends graded spikes, which {chip.name} does not have; use --scheme exact or rate, or "
            f"compile for {', '.join(GRADED_CHIPS)}"
        )


class NeuromorphicTarget:
    """The neuromorphic pillar's `Target`."""

    name = "neuromorphic"
    needs_data = True
    passes: Sequence[Pass] = (
        Pass("quantise", quantise_pass),
        Pass("spike", spike_pass),
        Pass("map", map_pass),
    )

    def obstacles(self, graph: Graph, device: Device) -> list[str]:
        """Nodes without a spiking form, and chips whose neuron no scheme is written for."""
        found = obstacles(graph)
        if device.name not in CHIPS:
            found.append(f"{device.name}: conversion writes spiking nets for {', '.join(CHIPS)} only")
        return found

    def emit(self, program: NeuromorphicProgram, job: Job, folder: Path) -> list[Artifact]:
        """Write the spiking net, the quantised network, the float graph, schedule, mapping, receipts and, where NIR
        can hold it, the NIR file."""
        from trine.compilers.onnx_writer import write_onnx

        made = program.converted
        save_net(program.spiking.net, folder / "network.npz")
        save_network(made.network, folder / "quantised.npz")
        (folder / "float.onnx").write_bytes(write_onnx(made.graph).SerializeToString(deterministic=True))
        few = {
            name: x[:: max(1, len(x) // RECEIPT_EXAMPLES)][:RECEIPT_EXAMPLES]
            for name, x in made.samples.items()
        }
        write_json(folder / "receipts.json", receipts(made, few).as_json())
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
        ran = run_spiking(program.spiking, made.network, whole, progress=job.progress)
        chosen = spread(examples.count, options.parity_examples)
        scores = scored(made.graph, sample, ran.spiking, examples, chosen)
        cost, missing, notes = priced(program.spiking, mapping, ran, chip_of(job), options.duty)
        warnings = [*receipts_warnings(folder), *notes, *mapping.notes]
        return Proof(parities(program.spiking, ran), fit, cost, missing, scores, warnings)

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
