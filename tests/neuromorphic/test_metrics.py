"""NeuroBench's trained nets carried over, and its metrics equal to the neurobench package's."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from nir_samples import in_step, shared

from trine.devices.errors import InputError
from trine.neuromorphic.engine.result import fan_out
from trine.neuromorphic.metrics import connection_sparsity, measure, operations
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

torch = pytest.importorskip("torch", reason="the extra torch is not installed")
snntorch = pytest.importorskip("snntorch", reason="the extra neuromorphic (snntorch) is not installed")


def eeg() -> Any:
    """The motor imagery net: 62-256-128-2, Leaky 0.9, reset by subtraction one step late."""
    layers: list[tuple[str, Any]] = []
    for i, (a, b) in enumerate([(62, 256), (256, 128), (128, 2)], 1):
        layers += [(f"fc{i}", torch.nn.Linear(a, b)), (f"lif{i}", snntorch.Leaky(beta=0.9, init_hidden=True))]
    module = torch.nn.Sequential(OrderedDict(layers))
    path = shared("snn_neurobench/eeg_mi_snn.pt")
    module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return module.double()


def wisdm() -> Any:
    """The activity net: Conv1d with max-pooled currents, twice, and a readout layer of spiking neurons."""
    nn, leaky = torch.nn, snntorch.Leaky
    module = nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv1d(6, 200, 2, padding=4)),
                ("max1", nn.MaxPool1d(2)),
                ("leaky1", leaky(0.4, 0.002, init_hidden=True)),
                ("conv2", nn.Conv1d(200, 256, 1)),
                ("max2", nn.MaxPool1d(2)),
                ("leaky2", leaky(0.3, 0.001, init_hidden=True)),
                ("flatten", nn.Flatten()),
                ("linear", nn.Linear(512, 7)),
                ("leaky3", leaky(0.5, 0.001, init_hidden=True)),
            ]
        )
    )
    path = shared("snn_neurobench/nehar_wisdm_snn.ckpt")
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    module.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})
    return module.double()


def torch_spikes(module: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes of every neuron layer, float64 throughout (snnTorch's spikes are float32)."""
    made: dict[str, list[np.ndarray]] = {}
    from snntorch import utils

    utils.reset(module)
    with torch.no_grad():
        for t in range(x.shape[1]):
            y = torch.as_tensor(x[:, t])
            for name, layer in module.named_children():
                y = layer(y).double()
                if isinstance(layer, snntorch.Leaky):
                    made.setdefault(name, []).append(y.numpy())
    return {k: np.stack(v, 1) for k, v in made.items()}


@pytest.mark.parametrize(("make", "shape", "steps"), [(eeg, (62,), 250), (wisdm, (6, 1), 40)])
def test_trained_nets_agree_with_snntorch(make: Any, shape: tuple[int, ...], steps: int) -> None:
    from trine.neuromorphic.snntorch_net import from_snntorch

    module = make()
    x = np.random.default_rng(5).normal(size=(2, steps, *shape))
    theirs, mine = torch_spikes(module, x), in_step(from_snntorch(module, shape, 1e-2), {"input": x}, steps)
    for name, spikes in theirs.items():
        assert spikes.any(), name
        assert int((mine[name] != spikes).sum()) == 0, name


@pytest.mark.parametrize("spiking", [False, True])
def test_metrics_equal_the_package(spiking: bool) -> None:
    pytest.importorskip("neurobench", reason="neurobench is not installed: pip install --no-deps neurobench")
    pytest.importorskip("tqdm", reason="neurobench needs tqdm: pip install tqdm")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
    from neurobench.models import SNNTorchModel

    from trine.neuromorphic.snntorch_net import from_snntorch

    class Stepped(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x).double()
            return x, x

    module, steps = eeg(), 25
    with torch.no_grad():
        module.fc2.weight[:, ::5] = 0  # so that sparsity has something to count
    rng = np.random.default_rng(0)
    x = (rng.random((3, steps, 62)) < 0.15) * 1.0 if spiking else rng.normal(size=(3, steps, 62))
    model = SNNTorchModel(Stepped(module))
    pairs = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.zeros(3))
    job = Benchmark(
        model,
        torch.utils.data.DataLoader(pairs, batch_size=3),
        [],
        [],
        [[Footprint, ConnectionSparsity], [ActivationSparsity, MembraneUpdates, SynapticOperations]],
    )
    buffers = sum(b.numel() * b.element_size() for b in module.buffers())
    with torch.no_grad():
        theirs = job.run(quiet=True)
    mine = measure(from_snntorch(module, (62,), 1e-2), {"input": x}, steps)
    assert mine.weight_bytes == theirs["Footprint"] - buffers
    assert mine.connection_sparsity == theirs["ConnectionSparsity"]
    assert mine.connection_sparsity > 0
    assert mine.activation_sparsity == pytest.approx(theirs["ActivationSparsity"], abs=1e-15)
    assert mine.membrane_updates == theirs["MembraneUpdates"]
    synaptic = theirs["SynapticOperations"]
    assert (mine.effective_macs, mine.effective_acs, mine.dense_synaptic_operations) == (
        synaptic["Effective_MACs"],
        synaptic["Effective_ACs"],
        synaptic["Dense"],
    )
    assert (mine.effective_macs == 0) == spiking


def test_convolution_counts_against_every_product() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-1, 2, (4, 2, 3)).astype(np.float32)
    where = {"strides": (2,), "pads": (1, 1)}
    net = SpikingNet(
        "n",
        1e-3,
        (Population("x", INPUT, (2, 9)), Population("y", "IF", (4, 5), {"v_threshold": 1.0})),
        (Projection("c", "x", "y", "conv", weight, where),),
        ("x",),
        ("y",),
    )
    x = rng.integers(0, 2, (3, 4, 2, 9))
    macs, acs, dense = operations(net.projections[0], x, (4, 5))
    products = sum(
        int(x[b, t, c, i] != 0 and weight[o, c, k] != 0)
        for b in range(3)
        for t in range(4)
        for o in range(4)
        for c in range(2)
        for k in range(3)
        for p in range(5)
        if 0 <= (i := 2 * p + k - 1) < 9
    )
    assert (macs, acs) == (0, products)
    assert dense == int(fan_out(net, net.projections[0]).sum()) * 12
    graded = Projection("c", "x", "y", "conv", weight, where, graded=True)
    x[0, 0, 0, 0] = 7  # one value that is no spike makes MACs of that step
    macs, acs, _ = operations(graded, x, (4, 5))
    assert macs > 0
    assert acs > 0


def test_net_without_layers() -> None:
    net = SpikingNet("n", 1e-3, (Population("x", INPUT, (2,)),), (), ("x",), ("x",))
    with pytest.raises(InputError, match="no dense or convolutional"):
        connection_sparsity(net)


def test_unsupported_modules_are_named_all_at_once() -> None:
    from trine.neuromorphic.snntorch_net import from_snntorch

    layers = [
        ("a", torch.nn.BatchNorm1d(3)),
        ("b", torch.nn.Linear(3, 2)),
        ("c", snntorch.Synaptic(0.5, 0.5)),
        ("d", torch.nn.ReLU()),
        ("e", snntorch.Leaky(0.5, reset_delay=False)),
    ]
    with pytest.raises(InputError) as caught:
        from_snntorch(layers, (3,))
    assert all(f"module '{k}'" in str(caught.value) for k in "acde")
