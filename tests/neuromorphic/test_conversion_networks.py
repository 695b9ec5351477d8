"""Networks as people export them: batch norms in every place, pools, depthwise and pointwise pairs, residual sums.

Each is written as ONNX, compared with onnxruntime as layers in float, and then spike for spike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.compilers.graph import Array, Graph
from trine.compilers.source import load_source
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.convert import ConversionOptions, quantise, spike
from trine.neuromorphic.conversion.layers import MAXIMUM
from trine.neuromorphic.conversion.receipts import run_float
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.conversion.walk import layers_of, obstacles

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")


class Model:
    """An ONNX model of input x (2, 32), node by node."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, values: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [name], name=f"n_{name}", **attributes))
        return name

    def conv(self, x: str, out: int, channels: int, kernel: int = 3, group: int = 1) -> str:
        fan = channels // group * kernel
        weight = self.constant(self.rng.normal(0, 1.5 / np.sqrt(fan), (out, channels // group, kernel)))
        bias = self.constant(self.rng.normal(0, 0.2, out))
        return self.add("Conv", x, weight, bias, group=group, pads=[kernel // 2] * 2)

    def norm(self, x: str, channels: int) -> str:
        low, high = self.rng.uniform(0.5, 1.5, channels), self.rng.uniform(0.5, 2, channels)
        beta, mean = self.rng.normal(0, 0.3, (2, channels))
        return self.add("BatchNormalization", x, *map(self.constant, (low, beta, mean, high)))

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def pool(self, kind: str, x: str, kernel: int = 2, stride: int = 2, **more: Any) -> str:
        return self.add(kind, x, kernel_shape=[kernel], strides=[stride], **more)

    def head(self, x: str, size: int, flat: bool = False) -> str:
        x = self.add("Flatten", x if flat else self.add("GlobalAveragePool", x))
        weight = self.constant(self.rng.normal(0, 1.5 / np.sqrt(size), (3, size)))
        return self.add("Gemm", x, weight, self.constant(self.rng.normal(0, 0.2, 3)), transB=1)

    def graph(self, output: str, folder: Path) -> tuple[Graph, Path]:
        value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        ends = [value("x", kind, ["N", 2, 32])], [value(output, kind, ["N", 3])]
        made = onnx.helper.make_graph(self.nodes, "net", *ends, self.weights)
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(made, opset_imports=opset, ir_version=8), folder / "net.onnx")
        return load_source(folder / "net.onnx"), folder / "net.onnx"


def cnn(m: Model) -> str:
    """Convolution, norm, every pool, a depthwise and pointwise pair."""
    x = m.pool("MaxPool", m.relu(m.norm(m.conv("x", 6, 2), 6)))
    x = m.relu(m.norm(m.conv(m.conv(x, 6, 6, group=6), 8, 6, kernel=1), 8))
    return m.head(m.relu(m.norm(m.conv(m.pool("AveragePool", x), 8, 8), 8)), 8)


def norm_after_relu(m: Model) -> str:
    return m.head(m.relu(m.conv(m.norm(m.relu(m.conv("x", 6, 2)), 6), 8, 6)), 8)


def norm_of_the_input(m: Model) -> str:
    return m.head(m.relu(m.conv(m.norm("x", 2), 6, 2)), 6)


def norm_between_pair(m: Model) -> str:
    """MobileNet's pair with a norm and no ReLU between, and a linear bottleneck."""
    x = m.relu(m.norm(m.conv(m.norm(m.conv("x", 2, 2, group=2), 2), 6, 2, kernel=1), 6))
    return m.head(m.relu(m.conv(m.norm(m.conv(x, 4, 6), 4), 8, 4)), 8)


def residual(m: Model) -> str:
    a = m.relu(m.norm(m.conv("x", 6, 2), 6))
    b = m.norm(m.conv(m.relu(m.norm(m.conv(a, 6, 6), 6)), 6, 6), 6)
    return m.head(m.relu(m.add("Add", a, b)), 6)


def sums_that_skip_their_relu(m: Model) -> str:
    """Pre-activation blocks: each sum goes on both through a norm and ReLU, and as it is."""
    a = m.conv("x", 6, 2)
    b = m.add("Add", a, m.conv(m.relu(m.norm(a, 6)), 6, 6))
    c = m.add("Add", b, m.conv(m.relu(m.norm(b, 6)), 6, 6))
    return m.head(m.relu(c), 6)


def pool_before_relu(m: Model) -> str:
    return m.head(m.relu(m.pool("MaxPool", m.norm(m.conv("x", 6, 2), 6))), 6)


def pools_that_overlap(m: Model) -> str:
    x = m.relu(m.conv(m.pool("AveragePool", "x"), 6, 2))
    x = m.pool("MaxPool", x, 3, 2, pads=[1, 1])
    x = m.pool("AveragePool", x, 3, 1, pads=[1, 1], count_include_pad=0)
    return m.head(m.relu(m.conv(x, 4, 6)), 32, flat=True)


def ends_in_an_average(m: Model) -> str:
    """No dense layer: class maps, averaged."""
    x = m.conv(m.relu(m.conv("x", 6, 2)), 3, 6, kernel=1)
    return m.add("Softmax", m.add("Flatten", m.add("GlobalAveragePool", x)))


NETWORKS = (
    cnn, norm_after_relu, norm_of_the_input, norm_between_pair, residual, sums_that_skip_their_relu, pool_before_relu,
    pools_that_overlap, ends_in_an_average,
)  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_networks_as_layers_and_as_spikes(network: Callable[[Model], str], tmp_path: Path) -> None:
    m = Model()
    graph, path = m.graph(network(m), tmp_path)
    samples = {"x": m.rng.normal(0, 1, (48, 2, 32)).astype(np.float32)}
    net = layers_of(graph)
    wanted = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, samples)[0]
    found = run_float(net, samples)[net.output.name].reshape(48, 3)
    if network is ends_in_an_average:
        found = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    pools = any(x.role == MAXIMUM for x in net.layers)
    for scheme in ("exact", "ttfs") if pools else ("exact", "ttfs", "sigma_delta"):
        options = ConversionOptions(scheme=scheme, steps=16, per_channel=scheme == "exact")  # type: ignore[arg-type]
        made = spike(quantise(graph, samples, options))
        assert made.spiking is not None
        ran = run_spiking(made.spiking, made.network, made.network.encode(samples))
        assert ran.differing == 0
        answer = ran.membrane.reshape(48, 3)
        alike = np.corrcoef(
            answer.ravel(), np.log(wanted).ravel() if network is ends_in_an_average else wanted.ravel()
        )
        assert alike[0, 1] > 0.9


def test_no_neuron_stands_for_a_sum_without_relu(tmp_path: Path) -> None:
    m = Model()
    graph, _ = m.graph(sums_that_skip_their_relu(m), tmp_path)
    assert len(layers_of(graph).layers) == 4


def test_everything_unsupported_is_named_at_once(tmp_path: Path) -> None:
    m = Model()
    a, b = m.add("Sigmoid", m.conv("x", 6, 2)), m.add("Tanh", m.conv("x", 6, 2))
    c = m.pool("MaxPool", m.conv("x", 6, 2), 1, 1)  # of values that may be negative, and not under a ReLU
    d = m.add("Mul", m.relu(m.conv("x", 6, 2)), m.relu(m.conv("x", 6, 2)))
    x = m.add("Concat", *(m.relu(m.conv(y, 2, 6)) for y in (a, b, m.conv(c, 6, 6), d)), axis=1)
    graph, _ = m.graph(m.head(x, 8), tmp_path)
    found = "\n".join(obstacles(graph))
    for op in ("Sigmoid", "Tanh", "MaxPool", "Mul"):
        assert f"({op})" in found, found
    with pytest.raises(InputError, match="no spiking form"):
        layers_of(graph)
