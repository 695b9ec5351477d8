"""Runs one mapped net in SANA-FE (GPL-3, the user's own install) and prints what it saw.

    python -I sanafe_worker.py JOB.json

Imports SANA-FE and the standard library only, never Trine.

JOB.json: steps; groups [{name, size, places: [[tile, core], ...] by neuron, input: bool, readout: bool; and where it
computes: threshold [by neuron], bias [by neuron], start [by neuron], decay, reset: soft|hard|none, fires: [first step,
the one after the last] or null}]; projections [{source, target, hw, weight, pairs: [[from, to], ...]}]; examples
[{group: [steps at which it spikes] by neuron}].
stdout, last line: {"version", "examples": [{"energy" J by part, "time_s", "updated", "spikes": [[group, neuron], ...]
by step, "readout": {group: [potential]}}]}.
"""

import importlib
import itertools
import json
import sys
from importlib import metadata
from typing import Any

NEVER = 1e30


def build(sanafe: Any, job: Any, spikes: Any) -> Any:
    """The chip with the net on it."""
    arch, net = sanafe.load_loihi(), sanafe.Network()
    hardware = {p["target"]: p["hw"] for p in job["projections"]}
    groups: dict[str, Any] = {}
    taken: dict[tuple[int, int], int] = {}
    for g in job["groups"]:
        options = {
            "default_synapse_hw_name": hardware.get(g["name"], "loihi_dense_synapse"),
            "default_dendrite_hw_name": "loihi_dendrites", "log_spikes": True, "log_potential": g["readout"],
            "model_attributes": {},
        }  # fmt: skip
        if not g["input"]:
            options["soma_hw_name"] = "loihi_lif"
            options["model_attributes"] = {
                "threshold": NEVER, "leak_decay": g["decay"], "reset": 0.0, "reset_mode": g["reset"],
            }  # fmt: skip
        group = net.create_neuron_group(g["name"], g["size"], **options)
        groups[g["name"]] = group
        for number, (neuron, (tile, core)) in enumerate(zip(group.neurons, g["places"])):
            if g["input"]:
                slot = taken.get((tile, core), 0)
                taken[tile, core] = slot + 1
                train = [0] * job["steps"]
                for step in spikes[g["name"]][number]:
                    train[step] = 1
                neuron.set_attributes(
                    soma_hw_name=f"loihi_inputs[{slot}]", model_attributes={"spikes": train}
                )
            neuron.map_to_core(arch.tiles[tile].cores[core])
    for p in job["projections"]:
        pairs = [tuple(pair) for pair in p["pairs"]]
        groups[p["source"]].connect_neurons_sparse(groups[p["target"]], {"weight": p["weight"]}, pairs)
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    return chip


def changes(job: Any) -> list[int]:
    """Steps at which some neuron's threshold or bias changes; the first and the last among them."""
    found = {0, 1, job["steps"]}
    for g in job["groups"]:
        if not g["input"] and g["fires"]:
            found.update(g["fires"])
    return sorted(step for step in found if 0 <= step <= job["steps"])


def set_for(chip: Any, job: Any, first: int) -> None:
    """Thresholds and biases from a step on: the starting membrane comes in the first step, as a bias."""
    for g in job["groups"]:
        if g["input"]:
            continue
        fires = g["fires"] is None or g["fires"][0] <= first < g["fires"][1]
        live = fires and not g["readout"]
        for n, neuron in enumerate(chip.mapped_neuron_groups[g["name"]]):
            bias = g["bias"][n] + (g["start"][n] if first == 0 else 0.0)
            threshold = g["threshold"][n] if live else NEVER
            neuron.set_attributes(model_attributes={"threshold": threshold, "bias": bias})


def run(sanafe: Any, job: Any, spikes: Any) -> dict[str, Any]:
    """One example."""
    chip = build(sanafe, job, spikes)
    energy: dict[str, float] = {}
    seen: list[Any] = []
    time_s, updated, potential = 0.0, 0, []
    steps = changes(job)
    for first, end in itertools.pairwise(steps):
        set_for(chip, job, first)
        result = chip.sim(
            end - first, spike_trace=True, potential_trace=True, perf_trace=True, timing_model="simple",
            processing_threads=1,
        )  # fmt: skip
        for part, joules in result["energy"].items():
            energy[part] = energy.get(part, 0.0) + joules
        time_s += result["sim_time"]
        updated += sum(result["perf_trace"]["updated"])
        seen += [[[str(a.group_name), int(a.neuron_offset)] for a in step] for step in result["spike_trace"]]
        potential = list(result["potential_trace"][-1])
    readout = {}
    for g in sorted((g for g in job["groups"] if g["readout"]), key=lambda g: str(g["name"])):
        readout[g["name"]], potential = potential[: g["size"]], potential[g["size"] :]
    return {"energy": energy, "time_s": time_s, "updated": updated, "spikes": seen, "readout": readout}


def main() -> None:
    """Read the job, run its examples, print what was seen."""
    sanafe = importlib.import_module("sanafe")
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    found = [run(sanafe, job, spikes) for spikes in job["examples"]]
    print()
    print(json.dumps({"version": metadata.version("sanafe"), "examples": found}))


if __name__ == "__main__":
    main()
