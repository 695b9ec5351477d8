"""A NIR file on a chip: read at a time step, put into the chip's integers, mapped, and run on spikes.

No quantised network stands behind such a net: its definition is the real-valued net that the file holds. The integer
net is proved against its own definition in NumPy, and compared spike by spike with the real-valued one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from trine.compilers.battery_life import Duty
from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.target import Job, Pass, Progress, Proof, silent
from trine.devices import Device, NeuroChip
from trine.devices.errors import AnswerIsNo, InputError, nearest
from trine.neuromorphic.conversion.proving import fit_of, priced
from trine.neuromorphic.conversion.writing import mapping_json, write_json
from trine.neuromorphic.engine import run
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.engine.result import Result, inputs_of
from trine.neuromorphic.events import Events, PopulationEvents, ProjectionEvents
from trine.neuromorphic.fixed_point import quantise
from trine.neuromorphic.mapping import Mapping as Placed
from trine.neuromorphic.mapping import map_net
from trine.neuromorphic.net import INPUT, Array, SpikingNet
from trine.neuromorphic.net_file import load_net, save_net
from trine.neuromorphic.nir_file import NirNet, read_nir
from trine.neuromorphic.timing import arrivals

FORMATS: Final = {"loihi1": "loihi_8bit", "loihi2": "loihi_8bit", "spinnaker2": "spinnaker2"}
DEFINED: Final = 4  # examples that the definition in NumPy runs as well
DT_S: Final = 1e-4  # snnTorch's and Norse's step in the NIR paper's files


@dataclass(frozen=True)
class NirChoices:
    """dt_s: seconds a step. spikes: .npz with [examples, steps, *shape] by input. chips: at most."""

    dt_s: float = DT_S
    slower_cycles: bool = False
    spikes: Path | None = None
    chips: int = 1
    seed: int = 0
    duty: Duty | None = None


@dataclass(frozen=True)
class NirProgram:
    """A net on its way: as the file has it, in integers, on cores."""

    real: NirNet
    whole: SpikingNet | None = None
    mapping: Placed | None = None


def read(source: Path, choices: NirChoices) -> NirNet:
    """The file as a net whose inputs are spikes. Raises InputError as `read_nir`."""
    return read_nir(
        source, choices.dt_s, graded_inputs=False, bias="neuron", slower_cycles=choices.slower_cycles
    )


class NirTarget:
    """The target of `.nir` files."""

    name = "nir"
    needs_data = False
    passes: Sequence[Pass]

    def __init__(self) -> None:
        self.passes = (Pass("quantise", self.quantise), Pass("map", self.map))

    def load(self, job: Job) -> NirProgram:
        """The net of the file."""
        return NirProgram(read(job.source, job.options))

    def size(self, loaded: NirProgram) -> Mapping[str, Any]:
        """Neurons and stored weights."""
        weights = sum(int(np.asarray(p.weight).size) for p in loaded.real.projections)
        return {"neurons": loaded.real.neurons, "parameters": weights, "dt_s": loaded.real.dt_s,
                "slower_cycles": loaded.real.options.slower_cycles}  # fmt: skip

    def obstacles(self, loaded: NirProgram, device: Device) -> list[str]:
        """Chips without an integer form."""
        if device.name in FORMATS:
            return []
        return [f"{device.name}: NIR nets become integers for {', '.join(FORMATS)} only"]

    def quantise(self, program: NirProgram, job: Job, examples: Any) -> tuple[NirProgram, PassReceipt]:
        """Real numbers to the chip's integers."""
        rule = FORMATS[job.device.name]
        made = quantise(program.real, "lava", rule)
        said = f"{made.neurons:,} neurons, weights as {rule}, steps of {made.dt_s:g} s"
        return replace(program, whole=made), PassReceipt("quantise", said, {})

    def map(self, program: NirProgram, job: Job, examples: Any) -> tuple[NirProgram, PassReceipt]:
        """Populations to cores."""
        net, device = whole(program), job.device
        assert isinstance(device, NeuroChip)
        placed = map_net(net, device, max_chips=job.options.chips, seed=job.options.seed)
        said = f"{placed.cores} cores on {placed.chips} chip(s), fullest limits {placed.utilisation:.0%} full"
        return replace(program, mapping=placed), PassReceipt("map", said, mapping_json(placed))

    def emit(self, program: NirProgram, job: Job, folder: Path) -> list[Artifact]:
        """The file itself, the integer net, the mapping."""
        assert program.mapping is not None
        (folder / "source.nir").write_bytes(job.source.read_bytes())
        save_net(whole(program), folder / "network.npz")
        write_json(folder / "mapping.json", mapping_json(program.mapping))
        return [
            Artifact("source.nir", "nir_source"), Artifact("network.npz", "spiking_net"),
            Artifact("mapping.json", "mapping"),
        ]  # fmt: skip

    def prove(self, program: NirProgram, job: Job, examples: Any, folder: Path) -> Proof:
        """Run on spikes where there are some."""
        assert program.mapping is not None
        assert isinstance(job.device, NeuroChip)
        fit = fit_of(program.mapping, job.device)
        if not all(f.ok for f in fit):
            return Proof((), fit, ())
        if job.options.spikes is None:
            why = "no spikes were given: trine simulate OUT --data SPIKES.npz prices a run"
            return Proof(
                (), fit, (), dict.fromkeys(("energy_j", "latency_s"), why), None, program.mapping.notes
            )
        net, real = whole(program), program.real
        ran = run_spikes(net, real, spikes_of(job.options.spikes, net))
        cost, missing, notes = prices(net, program.mapping, ran.events, job.device, job.options.duty)
        return Proof(ran.parity, fit, cost, missing, None, [*notes, *program.mapping.notes])

    def remedies(self, program: NirProgram, job: Job, fit: Sequence[Fit]) -> list[str]:
        """The mapping's."""
        found = [] if program.mapping is None else [v.remedy for v in program.mapping.violations]
        return list(dict.fromkeys([*found, f"--chips {job.options.chips * 2}: more chips"]))[:3]


TARGET = NirTarget()


def whole(program: NirProgram) -> SpikingNet:
    """The integer net. Raises InputError before the pass that makes it."""
    if program.whole is None:
        raise InputError("the net has not been put into integers yet")
    return program.whole


@dataclass(frozen=True)
class Ran:
    """What a run showed; spikes: by population that computes."""

    events: Events
    parity: tuple[Parity, ...]
    spikes: Mapping[str, int]


def spikes_of(path: Path, net: SpikingNet) -> dict[str, Array]:
    """Input spikes [examples, steps, *shape] by input; an array `x` will do for a single one. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {k: stored[k] for k in stored.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not an .npz file of arrays ({str(error).splitlines()[0]})") from None
    found, problems = {}, []
    for name in net.inputs:
        x = arrays.get(name, arrays.get("x") if len(net.inputs) == 1 else None)
        if x is None:
            problems.append(f"no array for input {name}; {nearest(name, arrays)}")
        else:
            found[name] = (np.asarray(x) != 0).astype(np.int64)
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems))
    try:
        inputs_of(net, found, max(1, max(x.shape[1] if x.ndim > 1 else 0 for x in found.values())))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def run_spikes(net: SpikingNet, real: SpikingNet, given: Mapping[str, Array]) -> Ran:
    """Run the integer net; compare with its definition and with the real-valued net on a few examples."""
    steps = next(iter(given.values())).shape[1] + max(arrivals(net).values())
    computing = [p.name for p in net.populations if p.neuron not in (INPUT, "LI")]
    probes = dict.fromkeys(computing, ("spikes",))
    result = run(net, given, steps, probes)
    few = {k: x[:DEFINED] for k, x in given.items()}
    count = len(next(iter(few.values())))
    mine = {k: result.spikes(k)[:count] for k in computing}
    entries = []
    for name, reference, exact, note in (
        ("native engine: every spike of its definition in NumPy", net, True, ""),
        ("integer net: every spike of the real-valued net of the file", real, False,
         "weights, thresholds and decays are rounded, so spikes may come elsewhere"),
    ):  # fmt: skip
        seen = define(reference, few, steps, probes)
        apart = [np.abs(mine[k] - seen.spikes(k)) for k in computing]
        entries.append(Parity(
            name, count, sum(a.size for a in apart), sum(int((a != 0).sum()) for a in apart),
            max((int(np.ceil(a.max(initial=0))) for a in apart), default=0), exact, note,
        ))  # fmt: skip
    return Ran(events_of(net, result), tuple(entries), {k: int(result.counts[k].sum()) for k in computing})


def events_of(net: SpikingNet, result: Result) -> Events:
    """Counts of a run of the native engine."""
    populations = {
        p.name: PopulationEvents(
            p.size, 0 if p.neuron == INPUT else int(result.updates[p.name].sum()),
            int(result.counts[p.name].sum()), result.counts[p.name].reshape(-1),
        )
        for p in net.populations
    }  # fmt: skip
    operations = {k: ProjectionEvents(v) for k, v in result.operations(net).items()}
    return Events(result.steps, result.batch, populations, operations)


def prices(
    net: SpikingNet, mapping: Placed, events: Events, chip: NeuroChip, duty: Duty | None
) -> tuple[list[Any], dict[str, str], list[str]]:
    """Cost, what is missing, notes; as of a converted network."""
    made: Any = SimpleNamespace(net=net)
    ran: Any = SimpleNamespace(events=events)
    return priced(made, mapping, ran, chip, duty)


def loaded(deployment: Deployment, choices: NirChoices, device: Device) -> tuple[SpikingNet, NirNet]:
    """The integer net and the real-valued one, read anew. Raises AnswerIsNo where the stored one is another."""
    source = deployment.record["source"]
    as_made = replace(choices, dt_s=float(source["dt_s"]), slower_cycles=bool(source["slower_cycles"]))
    real = read(deployment.artifact("nir_source"), as_made)
    again, stored = quantise(real, "lava", FORMATS[device.name]), load_net(deployment.artifact("spiking_net"))
    from trine.neuromorphic.simulate import different

    if different(replace(again, name=stored.name), stored):
        raise AnswerIsNo(
            f"{deployment.folder}: network.npz is not what this Trine makes of source.nir; compile it again"
        )
    return stored, real


def simulate(
    deployment: Deployment, device: NeuroChip, data: Path, choices: NirChoices, progress: Progress = silent
) -> dict[str, Any]:
    """Run a deployment on spikes: events, energy, time. Raises AnswerIsNo where the engine is not its definition."""
    net, real = loaded(deployment, choices, device)
    ran = run_spikes(net, real, spikes_of(data, net))
    if not all(p.ok for p in ran.parity):
        raise AnswerIsNo(f"parity broken: {ran.parity[0].differing} spikes differ from the definition's")
    mapping = map_net(net, device, ran.events.rates(), max_chips=choices.chips, seed=choices.seed)
    mapping.check()
    cost, missing, notes = prices(net, mapping, ran.events, device, choices.duty)
    parity = [p.as_json() for p in ran.parity]
    return {
        **deployment.record, "fit": [f.as_json() for f in fit_of(mapping, device)], "parity": parity,
        "cost": [e.as_json() for e in cost], "missing": missing, "warnings": [*notes, *mapping.notes],
        "results": {
            "data": data.name, "examples": ran.events.examples, "steps": ran.events.steps, "parity": parity,
            "accuracy": None, "spikes": {k: v / ran.events.examples for k, v in ran.spikes.items()},
            "mapping": mapping_json(mapping),
        },
    }  # fmt: skip


def verify(deployment: Deployment, device: NeuroChip, choices: NirChoices) -> dict[str, Any]:
    """Prove a deployment again without spikes: hashes, the integer net, the mapping."""
    files = check_hashes(deployment)
    net, _ = loaded(deployment, choices, device)
    mapping = map_net(net, device, max_chips=choices.chips, seed=choices.seed)
    mapping.check()
    stored = json.loads(deployment.artifact("mapping").read_text(encoding="utf-8"))
    if stored["cores"] != mapping.cores:
        raise AnswerIsNo(f"mapping.json says {stored['cores']} cores, the net takes {mapping.cores}")
    return {
        "files": files, "reprinted": ["spiking_net"], "parity": [],
        "fit": [f.as_json() for f in fit_of(mapping, device)], "warnings": list(mapping.notes),
    }  # fmt: skip
