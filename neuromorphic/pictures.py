"""Pictures of a deployment's run, from what a simulation left: spikes, membranes, cores, energy, early answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array
from trine.compilers.target import Progress, silent
from trine.devices import NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic import plots
from trine.neuromorphic.conversion.convert import draw_samples, spread
from trine.neuromorphic.engine import run
from trine.neuromorphic.net import INPUT, Population
from trine.neuromorphic.simulate import Loaded

EARLY_EXAMPLES: Final = 2048  # read early, so that the curve is smooth to a tenth of a point
EARLY_BATCH: Final = 128
PARTS: Final = ("synapse", "neuron", "network", "io", "static", "management")  # `PART_energy_j` of the record
WHOLE: Final = ("static", "management")


@dataclass(frozen=True)
class Shown:
    """One run, ready to be drawn. record: as `simulate` returns it; whole: inputs of one example in whole steps."""

    loaded: Loaded
    device: NeuroChip
    record: Mapping[str, Any]
    examples: Examples


def refuse(folder: Path) -> None:
    """Raise InputError where no pictures can be put, and MissingExtra without matplotlib, before anything is run."""
    plots.require()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--plots {folder}: a file is there; name a folder")
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"--plots {folder}: cannot write in {parent}")


def draw(shown: Shown, folder: Path, endings: Sequence[str], progress: Progress = silent) -> dict[str, str]:
    """Draw every picture that the run allows; {name: files, or why there is none}. Written whole or not at all."""
    made: dict[str, tuple[Callable[..., None], Any] | str] = {
        **one_example(shown),
        "cores": (plots.plot_core_load, core_load(shown.record, shown.device)),
        "energy": energy(shown.record),
        "accuracy": early(shown, progress),
    }
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix=".trine-plots-", dir=folder) as draft:
        for name, what in made.items():
            if isinstance(what, str):
                found[name] = what
                continue
            for ending in endings:
                what[0](what[1], Path(draft) / f"{name}.{ending}")
            found[name] = ", ".join(f"{name}.{ending}" for ending in endings)
        for path in sorted(Path(draft).iterdir()):
            os.replace(path, folder / path.name)
    return found


def one_example(shown: Shown) -> dict[str, Any]:
    """Raster and membranes of the example in the middle of the file."""
    made, network = shown.loaded.spiking, shown.loaded.network
    net = made.net
    few = draw_samples(shown.loaded.graph, shown.examples, 3)
    sample = {k: v[len(v) // 2 :][:1] for k, v in few.items()}
    probes = {
        p.name: ("spikes",) if p.neuron == INPUT else ("spikes", *_membrane(p)) for p in net.populations
    }
    seen = run(net, made.encode(network.encode(sample)), made.steps, probes)
    labels = labels_of(shown.loaded)
    spikes = {labels[p.name]: seen.spikes(p.name)[0] for p in net.populations
              if p.name in labels and p.neuron != "LI" and p.name not in net.outputs}  # fmt: skip
    title = f"{shown.record['source']['file']} on {shown.device.title}, scheme {made.scheme}: one inference"
    raster = plots.Raster(spikes, net.dt_s, title)
    traces, thresholds, fired = {}, {}, {}
    answers: dict[str, Array] = {}
    classes = shown.examples.classes or ()
    for p in net.populations:
        if p.name not in labels or p.neuron == INPUT:
            continue
        variable = _membrane(p)[0] if _membrane(p) else ""
        if not variable:
            continue
        v = seen.probes[p.name][variable][0].reshape(made.steps, -1) / (64 if variable == "v" else 1)
        messages = seen.spikes(p.name)[0].reshape(made.steps, -1)
        if p.name in net.outputs:
            names = classes if len(classes) == p.size else [str(n) for n in range(p.size)]
            answers = {str(name): v[:, n] for n, name in enumerate(names[:10])}
            continue
        n = int((messages != 0).sum(axis=0).argmax())
        label = f"{labels[p.name]}\nneuron {n}"
        traces[label] = v[:, n]
        if "vth" in p.parameters and p.neuron != "SigmaDelta":
            thresholds[label] = float(np.broadcast_to(p.parameters["vth"], p.shape).ravel()[n])
            fired[label] = messages[:, n] != 0
    membranes = plots.Membranes(
        traces, net.dt_s, thresholds, fired, unit="weight units (busiest neuron of each layer)", title=title,
        together=answers, together_name=f"{labels[net.outputs[0]]}\n(readout)",
    )  # fmt: skip
    return {"raster": (plots.plot_raster, raster), "membranes": (plots.plot_membranes, membranes)}


def _membrane(p: Population) -> tuple[str, ...]:
    """The state that stands for the membrane."""
    return {"SigmaDelta": ("sigma",), "RF": ()}.get(p.neuron, () if p.neuron == INPUT else ("v",))


def labels_of(loaded: Loaded) -> dict[str, str]:
    """What populations are called in pictures: inputs by sign and weight of a spike, layers without their prefix.

    Gates, biases and other helpers are left out.
    """
    found = {}
    for line in loaded.spiking.lines:
        sign = "+" if line.sign > 0 else "−"
        found[line.name] = (
            line.source if line.name == line.source else f"{line.source} {sign}{1 << line.shift}"
        )
    for layer in loaded.network.layers:
        found[layer.name] = layer.name.removeprefix("node_")
    return found


def core_load(record: Mapping[str, Any], device: NeuroChip) -> plots.CoreLoad:
    """The limit that is fullest on average, each core in its tile; in one row where the chip's mesh is not public."""
    mapping = record["results"]["mapping"]
    use, available = np.asarray(mapping["use"], np.float64), [x["available"] for x in mapping["limits"]]
    load = use / np.asarray(available)
    fullest = int(load.mean(axis=0).argmax())
    holds = ["" for _ in load]
    for piece in mapping["pieces"]:
        name = piece["population"].removeprefix("node_")
        if name not in holds[piece["core"]].split("\n"):
            holds[piece["core"]] = (holds[piece["core"]] + "\n" + name).strip()
    rows, columns, places = _floor(np.asarray(mapping["placement"]), device)
    used, layers = np.full((rows, columns), np.nan), [[""] * columns for _ in range(rows)]
    for core, (row, column) in enumerate(places):
        used[row, column] = load[core, fullest]
        layers[row][column] = holds[core]
    return plots.CoreLoad(used, mapping["limits"][fullest]["name"], device.title, layers)


def _floor(placement: Array, device: NeuroChip) -> tuple[int, int, list[tuple[int, int]]]:
    """Rows, columns and place of each core: tiles in their mesh, a tile's cores in a square, chips in a row."""
    cores = device.figure("limits.cores")
    if (placement[:, 1] < 0).any():
        total = max(len(placement), 0 if cores is None else int(cores.si_value))
        columns = min(total, 16)
        return -(-total // columns), columns, [divmod(k, columns) for k in range(len(placement))]
    tiles = [tuple(int(n) for n in row) for row in placement]
    slots = [tiles[:k].count(tile) for k, tile in enumerate(tiles)]
    side = int(np.ceil(np.sqrt(max(slots) + 1)))
    wide, high = int(placement[:, 1].max()) + 1, int(placement[:, 2].max()) + 1
    if cores is not None and device.name == "loihi1":
        side, wide, high = 2, 8, 4  # 32 tiles of four cores; 8 x 4 as in SANA-FE's loihi.yaml
    places = [
        (y * side + slot // side, (chip * wide + x) * side + slot % side)
        for (chip, x, y), slot in zip(tiles, slots)
    ]
    return high * side, (int(placement[:, 0].max()) + 1) * wide * side, places


def energy(record: Mapping[str, Any]) -> tuple[Callable[..., None], plots.EnergyParts] | str:
    """Joules of an inference by part and profile: by events alone, then with static power and management."""
    found: dict[str, dict[str, Any]] = {}
    for cost in record["cost"]:
        profile, _, name = cost["name"].rpartition(": ")
        if name.endswith("energy_j"):
            found.setdefault(profile or "", {})[name.removesuffix("_energy_j")] = cost
    if not found:
        return f"no energy: {next(iter(record['missing'].values()), 'nothing published')}"
    joules: dict[str, dict[str, float]] = {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    sources = []
    for profile, costs in found.items():
        if "dynamic" not in costs:
            continue
        name = profile or str(record.get("profile", "")) or _first_profile(costs)
        sources.append(f"{name}: {costs['dynamic']['how']}, {costs['dynamic']['source'].split(';')[0]}")
        parts: dict[str, float] = {
            p: float(costs[p]["value"]) for p in PARTS if p in costs and p not in WHOLE
        }
        joules[f"{name}\nevents"] = parts
        low[f"{name}\nevents"], high[f"{name}\nevents"] = costs["dynamic"]["low"], costs["dynamic"]["high"]
        whole: dict[str, float] = {p: float(costs[p]["value"]) for p in WHOLE if p in costs}
        if whole:
            joules[f"{name}\nwith power at rest"] = parts | whole
    return plots.plot_energy, plots.EnergyParts(joules, low, high, source="\n".join(sources))


def _first_profile(costs: Mapping[str, Any]) -> str:
    """The profile whose figures bear no prefix, by its source."""
    return "Davies 2018" if "Davies" in costs["dynamic"]["source"] else "modelled"


def early(shown: Shown, progress: Progress) -> tuple[Callable[..., None], plots.StepAccuracy] | str:
    """Accuracy and macro-F1 of the readout after each step of its window, on labelled examples."""
    from trine.compilers.metrics import confusion, macro_f1

    scores = shown.record["results"].get("accuracy")
    if not scores:
        return "no labels: no accuracy"
    loaded, net = shown.loaded, shown.loaded.spiking.net
    labels = shown.examples.labels
    assert labels is not None  # scores were made from them
    index = spread(shown.examples.count, EARLY_EXAMPLES)
    sample = draw_samples(loaded.graph, shown.examples, len(index))
    membranes = early_membranes(loaded, loaded.network.encode(sample), progress)
    steps = membranes.shape[1]
    if steps < 2:
        return f"scheme {loaded.spiking.scheme}: the readout is there in one step"
    classes, true = membranes.shape[2], labels[index].astype(np.int64)
    rows: dict[str, dict[int, float]] = {"accuracy": {}, "macro-F1": {}}
    for k in range(steps):
        guess = membranes[:, k].argmax(axis=1)
        matrix = confusion(true, guess, classes, np.zeros_like(true))[0]
        rows["accuracy"][k + 1] = float((guess == true).mean())
        rows["macro-F1"][k + 1] = float(macro_f1(matrix))
    data = plots.StepAccuracy(
        rows, {}, f"score on {len(index):,} examples", f"steps of the readout's window, of {steps}",
        f"{shown.record['source']['file']} on {net.name and shown.device.title}: the answer read early",
    )  # fmt: skip
    return plots.plot_accuracy, data


def early_membranes(loaded: Loaded, whole: Mapping[str, Array], progress: Progress) -> Array:
    """The readout after each step in which any example moves it, [examples, steps, classes]."""
    made = loaded.spiking
    output = made.net.outputs[0]
    variable = _membrane(made.net.population(output))[0]
    total, parts = len(next(iter(whole.values()))), []
    for at in range(0, total, EARLY_BATCH):
        given = made.encode({k: v[at : at + EARLY_BATCH] for k, v in whole.items()})
        v = run(made.net, given, made.steps, {output: (variable,)}).probes[output][variable]
        parts.append(v.reshape(*v.shape[:2], -1))
        progress("reading early", min(at + EARLY_BATCH, total), total)
    every = np.concatenate(parts)
    moved = np.flatnonzero((np.diff(every, axis=1) != 0).any(axis=(0, 2)))
    first = int(moved[0]) + 1 if len(moved) else made.steps - 1
    return every[:, first:]
