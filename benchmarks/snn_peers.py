"""brian2 or sinabs on the benchmark's net, in an interpreter that has it: `python snn_peers.py brian2|sinabs JOB.npz`.

Imports NumPy and the peer only. Prints one JSON object: steps (times samples) a second of processor time, spikes of
each layer, version. Building and compiling are not counted. JOB.npz: "spikes" [batch, steps, *shape], "decay" (of
4096), "thresholds", "sizes", and for each layer k "weight k" (dense [out, in], convolution [out, in, taps] with
stride 2) and, for brian2, "synapses k" (int64 [3, n]: source, target, weight).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 3


def brian2(job: Any) -> dict[str, Any]:
    """C++ standalone, its usual options, one thread; the clock runs around the network's loop only."""
    import brian2 as b

    with tempfile.TemporaryDirectory() as folder:
        b.set_device("cpp_standalone", directory=folder, build_on_run=False)
        dt = 1 * b.ms
        b.defaultclock.dt = dt
        spikes = job["spikes"][0].reshape(len(job["spikes"][0]), -1)
        at, which = np.nonzero(spikes)
        keep = 1 - float(job["decay"]) / 4096
        tau = -dt / np.log(keep)
        groups = [b.SpikeGeneratorGroup(spikes.shape[1], which, at * dt)]
        parts, monitors = [groups[0]], []
        for k, threshold in enumerate(job["thresholds"], 1):
            source, target, weight = job[f"synapses {k}"]
            size = int(job["sizes"][k - 1])
            group = b.NeuronGroup(
                size, "dv/dt = -v / tau : 1", threshold=f"v > {float(threshold)}", reset="v = 0",
                method="exact", namespace={"tau": tau},
            )  # fmt: skip
            synapses = b.Synapses(groups[-1], group, "w : 1", on_pre="v_post += w")
            synapses.connect(i=source, j=target)
            synapses.w = weight / keep  # brian2 leaks after input has arrived, the engine before
            monitor = b.SpikeMonitor(group, record=False)
            groups.append(group)
            parts += [group, synapses, monitor]
            monitors.append(monitor)
        seconds = Path(folder) / "seconds"
        b.device.insert_code("before_network_run", "double trine_begun = double(clock()) / CLOCKS_PER_SEC;")
        b.device.insert_code(
            "after_network_run",
            f'{{FILE* f = fopen("{seconds}", "a");'
            ' fprintf(f, "%.9f\\n", double(clock()) / CLOCKS_PER_SEC - trine_begun); fclose(f);}',
        )
        network = b.Network(*parts)
        # A reset before input arrives, else it would wipe out the input of its step.
        network.schedule = ["start", "groups", "thresholds", "resets", "synapses", "end"]
        network.run(len(spikes) * dt)
        b.device.build(directory=folder, compile=True, run=False, debug=False)
        for _ in range(ROUNDS):
            b.device.run(folder, with_output=False, run_args=[])
        taken = min(float(line) for line in seconds.read_text().split())
        counts = [int(m.num_spikes) for m in monitors]
    return {"steps_a_second": len(spikes) / taken, "spikes": counts, "version": b.__version__}


def sinabs(job: Any) -> dict[str, Any]:
    """Layer by layer over all steps, one thread, as sinabs is used."""
    import sinabs
    import sinabs.layers as layers
    import torch

    torch.set_num_threads(1)
    given = torch.from_numpy(job["spikes"]).float()
    tau = float(-1 / np.log(1 - float(job["decay"]) / 4096))
    stack: list[tuple[Any, Any]] = []
    for k, threshold in enumerate(job["thresholds"], 1):
        weight = torch.from_numpy(job[f"weight {k}"]).float()
        if weight.ndim == 2:
            layer: Any = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        else:
            layer = torch.nn.Conv1d(
                *weight.shape[1::-1], weight.shape[2], 2, weight.shape[2] // 2, bias=False
            )
        layer.weight = torch.nn.Parameter(weight)
        neuron = layers.LIF(
            tau_mem=tau, spike_threshold=float(threshold), reset_fn=sinabs.activation.MembraneReset(),
            norm_input=False,
        )  # fmt: skip
        stack.append((layer, neuron))

    def loop() -> list[int]:
        x, counts = given, []
        with torch.no_grad():
            for layer, neuron in stack:
                neuron.reset_states()
                x = neuron(layer(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
                counts.append(int(x.sum()))
        return counts

    counts, times = loop(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        loop()
        times.append(time.process_time() - start)
    steps = given.shape[0] * given.shape[1]
    return {"steps_a_second": steps / min(times), "spikes": counts, "version": sinabs.__version__}


if __name__ == "__main__":
    with np.load(sys.argv[2], allow_pickle=False) as archive:
        print(json.dumps({"brian2": brian2, "sinabs": sinabs}[sys.argv[1]](dict(archive))))
