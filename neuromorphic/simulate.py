"""`trine simulate` and `trine verify` for neuromorphic deployments: run the net that was written, on any simulator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph, Tensor
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.target import Progress, silent
from trine.devices import NeuroChip, load_device
from trine.devices.errors import AnswerIsNo, InputError
from trine.neuromorphic.chips.form import form_of
from trine.neuromorphic.chips.proof import costs, labels_of, mapped, shown
from trine.neuromorphic.conversion.code import Line
from trine.neuromorphic.conversion.convert import draw_samples, spread
from trine.neuromorphic.conversion.network_file import load_network
from trine.neuromorphic.conversion.proving import fit_of, parities, scored
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.running import Run, Simulator, native, run_spiking
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.conversion.writing import mapping_json, schedule_of
from trine.neuromorphic.net import SpikingNet
from trine.neuromorphic.net_file import load_net
from trine.neuromorphic.target import NeuromorphicOptions


@dataclass(frozen=True)
class Loaded:
    """What a deployment holds."""

    graph: Graph
    network: QuantisedNetwork
    spiking: Spiking

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The float network's inputs."""
        return self.graph.inputs


def load(deployment: Deployment) -> Loaded:
    """Read a deployment; the spiking net is built anew from the quantised network and compared with the stored one.

    Raises AnswerIsNo where they differ.
    """
    network = load_network(deployment.artifact("quantised_network"))
    stored = load_net(deployment.artifact("spiking_net"))
    made = feeding(stored, json.loads(deployment.artifact("schedule").read_text(encoding="utf-8")))
    chip = load_device(str(deployment.artifact("device")))
    if not isinstance(chip, NeuroChip):
        raise InputError(f"{deployment.folder}: {chip.name} is no neuromorphic chip")
    again = form_of(chip).spike(network, made.scheme, made.lag, stored.dt_s, stored.arithmetic)
    if schedule_of(again) != schedule_of(made) or different(again.net, stored):
        raise AnswerIsNo(
            f"{deployment.folder}: network.npz or schedule.json is not what this Trine makes of quantised.npz (made by "
            f"{deployment.record['trine_version']}); compile the model again"
        )
    return Loaded(read_onnx(deployment.artifact("float_onnx")), network, made)


def feeding(net: SpikingNet, schedule: Mapping[str, Any]) -> Spiking:
    """A stored net with its stored schedule. Raises InputError where the schedule is none."""
    try:
        return Spiking(
            net, schedule["scheme"], schedule["levels"], schedule["lag"], schedule["steps"], schedule["begins"],
            tuple(Line(**line) for line in schedule["lines"]), {k: tuple(v) for k, v in schedule["gates"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"schedule.json: not a schedule of Trine ({error}); compile the model again"
        ) from None


def different(a: SpikingNet, b: SpikingNet) -> bool:
    """Whether two nets differ in anything that a simulation could see."""

    def plain(net: SpikingNet) -> list[Any]:
        rows: list[Any] = [net.dt_s, net.inputs, net.outputs, net.arithmetic]
        for p in net.populations:
            values = [(k, np.asarray(v).tolist()) for k, v in sorted(p.parameters.items())]
            rows.append((p.name, p.neuron, p.shape, p.reset, values))
        for q in net.projections:
            attributes = [(k, np.asarray(v).tolist()) for k, v in sorted(q.attributes.items())]
            rows.append(
                (q.name, q.source, q.target, q.kind, q.delay_steps, q.weight_exponent, q.graded, attributes)
            )
        return rows

    if plain(a) != plain(b):
        return True
    return not all(np.array_equal(p.weight, q.weight) for p, q in zip(a.projections, b.projections))


def simulate(
    deployment: Deployment,
    device: NeuroChip,
    data: Path,
    options: NeuromorphicOptions,
    progress: Progress = silent,
    simulator: Simulator | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Run a deployment on examples: spikes, classes, events, energy and time.

    limit: examples at most, evenly spread; all by default. simulator: the native engine by default, or a back end's
    `run`. Returns the deployment's record with `results`, and `cost`, `fit`, `missing`, `parity` made anew. Raises
    AnswerIsNo where counts differ that must not.
    """
    loaded = load(deployment)
    opened = Examples.open(data, loaded.inputs)
    chosen = spread(opened.count, limit)
    sample = draw_samples(loaded.graph, opened, len(chosen))
    whole = loaded.network.encode(sample)
    ran = run_spiking(loaded.spiking, loaded.network, whole, simulator or native(), progress)
    mapping = mapped(loaded.spiking, device, ran.events, options.chips, options.seed)
    mapping.check()
    found = parities(loaded.spiking, ran)
    if not all(p.ok for p in found):
        raise AnswerIsNo(
            f"parity broken: {found[0].differing} of {found[0].values} values differ; {found[0].against}"
        )
    cost, missing, notes = costs(loaded.spiking, mapping, ran, device, options.duty)
    scores = scored(loaded.graph, sample, ran.spiking, opened, chosen)
    labels = labels_of(opened, chosen)
    found, scores = shown(loaded.spiking, loaded.network, whole, ran, device, scores, labels)
    return {
        **deployment.record,
        "fit": [f.as_json() for f in fit_of(mapping, device)],
        "parity": [p.as_json() for p in found],
        "accuracy": scores if scores is not None else deployment.record["accuracy"],
        "cost": [e.as_json() for e in cost],
        "missing": missing,
        "warnings": [*notes, *mapping.notes],
        "results": {
            "data": data.name,
            "examples": len(chosen),
            "parity": [p.as_json() for p in found],
            "accuracy": scores,
            "layers": layers_json(ran, loaded),
            "events": events_json(ran),
            "mapping": mapping_json(mapping),
        },
    }


def layers_json(ran: Run, loaded: Loaded) -> dict[str, Any]:
    """By layer: spikes an example, spikes a neuron and step of its window, counts that differ from the quantised."""
    examples = ran.events.examples
    found = {}
    for layer in loaded.network.layers:
        counts = ran.layers[layer.name]
        size = int(np.prod(layer.shape))
        found[layer.name] = {
            "differing": counts.differing, "values": counts.values, "largest": counts.largest,
            "spikes_an_example": ran.events.populations[layer.name].spikes / examples,
            "rate": ran.events.populations[layer.name].spikes / (examples * size * (layer.levels or 1)),
            "silent_neurons": counts.silent_neurons,
        }  # fmt: skip
    return found


def events_json(ran: Run) -> dict[str, Any]:
    """Events of one example by population and projection."""
    n = ran.events.examples
    return {
        "steps": ran.events.steps,
        "spikes": {k: p.spikes / n for k, p in sorted(ran.events.populations.items())},
        "updates": {k: p.updates / n for k, p in sorted(ran.events.populations.items())},
        "synaptic_operations": {
            k: p.synaptic_operations / n for k, p in sorted(ran.events.projections.items())
        },
    }


def verify(deployment: Deployment, device: NeuroChip, options: NeuromorphicOptions) -> dict[str, Any]:
    """Prove a deployment again without data: hashes, the net against the quantised network, stored vectors, mapping.

    Raises AnswerIsNo where anything differs.
    """
    files = check_hashes(deployment)
    loaded = load(deployment)
    with np.load(deployment.artifact("vectors"), allow_pickle=False) as stored:
        vectors = {name: stored[name] for name in stored.files}
    whole: dict[str, Array] = {
        k.removeprefix("input/"): v for k, v in vectors.items() if k.startswith("input/")
    }
    answers = loaded.network.trace(whole)
    wrong = [k for k in vectors if k.startswith("layer/") and not np.array_equal(answers[k[6:]], vectors[k])]
    if wrong:
        raise AnswerIsNo(
            f"the stored vectors are not what the quantised network computes: {', '.join(wrong)}"
        )
    ran = run_spiking(loaded.spiking, loaded.network, whole)
    found = parities(loaded.spiking, ran)
    if not all(p.ok for p in found):
        raise AnswerIsNo(f"parity broken: {found[0].differing} of {found[0].values} values differ")
    mapping = mapped(loaded.spiking, device, ran.events, options.chips, options.seed)
    mapping.check()
    return {
        "files": files,
        "reprinted": ["spiking_net"],
        "parity": [p.as_json() for p in found],
        "fit": [f.as_json() for f in fit_of(mapping, device)],
        "warnings": list(mapping.notes),
    }
