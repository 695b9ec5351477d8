"""Runs one net in SANA-FE (GPL-3: a process of its own) and prints what it counted. stdin and stdout: JSON.

In: weights [[[...]]] of each dense layer (out, in), inputs (steps, neurons) of 0 and 1, tiles and cores of each layer
(the input's first), threshold. Out: energy in J by part, sim_time in s, spikes by step as [group, neuron].
"""

import json
import sys


def main() -> None:
    import sanafe

    job = json.load(sys.stdin)
    arch = sanafe.load_loihi()
    net = sanafe.Network()
    steps = len(job["inputs"])
    sizes = [len(job["inputs"][0])] + [len(w) for w in job["weights"]]
    groups = []
    for number, size in enumerate(sizes):
        soma = {} if number == 0 else {"soma_hw_name": "loihi_lif"}
        attributes = {} if number == 0 else {"threshold": job["threshold"], "leak_decay": 1.0, "reset": 0.0}
        group = net.create_neuron_group(
            f"layer{number}",
            size,
            model_attributes=attributes,
            default_synapse_hw_name="loihi_dense_synapse",
            default_dendrite_hw_name="loihi_dendrites",
            log_spikes=True,
            **soma,
        )
        groups.append(group)
    for neuron, train in enumerate(zip(*job["inputs"])):
        groups[0].neurons[neuron].set_attributes(
            soma_hw_name=f"loihi_inputs[{neuron}]", model_attributes={"spikes": list(train)}
        )
    for before, after, weight in zip(groups, groups[1:], job["weights"]):
        flat = [row[i] for i in range(len(weight[0])) for row in weight]
        before.connect_neurons_dense(after, {"weight": flat})
    for group, (tile, core) in zip(groups, job["places"]):
        for neuron in group.neurons:
            neuron.map_to_core(arch.tiles[tile].cores[core])
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    result = chip.sim(steps, spike_trace=True, perf_trace=True, timing_model="simple")
    spikes = [[[str(a.group_name), int(a.neuron_offset)] for a in step] for step in result["spike_trace"]]
    perf = {k: sum(v) for k, v in result["perf_trace"].items() if v and isinstance(v[0], (int, float))}
    json.dump(
        {"energy": result["energy"], "sim_time": result["sim_time"], "spikes": spikes, "perf": perf},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
