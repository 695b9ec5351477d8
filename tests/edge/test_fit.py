"""What does not fit comes with three changes, each enough by itself: they are carried out here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import operators
from trine.compilers.report import Fit
from trine.devices import EdgeDevice, load_device
from trine.edge.c.emit import emit_c
from trine.edge.checking import CheckReport, check_edge, made_up
from trine.edge.fit import certain_misfit, constant_bytes, static_fit
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.remedies import remedies_for
from trine.edge.shrink import Shrinker


@dataclass(frozen=True)
class Net:
    """A network by its free choices: channels, input length, the first layer's stride, ranks."""

    channels: int
    length: int
    kind: str = "pooled"
    stride: int = 1
    ranks: Mapping[str, int] | None = None

    def graph(self) -> Graph:
        """pooled: convolutions, mean, dense. flat: convolutions, dense. dense: three dense. residual: Add."""
        makers: dict[str, Callable[[Builder], str]] = {
            "pooled": self._pooled, "flat": self._flat, "dense": self._dense, "residual": self._residual,
            "image": self._image,
        }  # fmt: skip
        shapes: dict[str, tuple[int, ...]] = {"dense": (self.length,), "image": (3, 24, self.length)}
        builder = Builder(Tensor("x", shapes.get(self.kind, (2, self.length))), self.ranks or {})
        return builder.graph(makers[self.kind](builder))

    def _pooled(self, b: Builder) -> str:
        y = b.conv("first", "x", self.channels, self.stride)
        y = b.conv("second", y, self.channels)
        y = b.conv("third", y, self.channels)
        return b.dense("last", b.add(Node("GlobalAveragePool", "mean", (y,), ("m",))), 4)

    def _flat(self, b: Builder) -> str:
        y = b.conv("second", b.conv("first", "x", self.channels, self.stride), self.channels, 2)
        return b.dense("last", y, 4)

    def _dense(self, b: Builder) -> str:
        y = b.dense("second", b.dense("first", "x", self.channels, True), self.channels, True)
        return b.dense("last", y, 4)

    def _residual(self, b: Builder) -> str:
        a = b.conv("first", "x", self.channels, self.stride)
        c = b.conv("second", a, self.channels, group=self.channels)
        y = b.add(Node("Add", "sum", (a, c), ("s",)))
        return b.dense("last", b.add(Node("GlobalAveragePool", "mean", (y,), ("m",))), 4)

    def _image(self, b: Builder) -> str:
        y = b.conv("second", b.conv("first", "x", self.channels, self.stride), self.channels)
        return b.dense("last", b.add(Node("GlobalAveragePool", "mean", (y,), ("m",))), 4)


class Builder:
    """Graphs node by node."""

    def __init__(self, given: Tensor, ranks: Mapping[str, int]) -> None:
        self.given, self.ranks = given, ranks
        self.tensors, self.constants, self.nodes = {given.name: given}, {}, list[Node]()
        self.constants: dict[str, Array]

    def add(self, node: Node) -> str:
        shapes = [
            self.tensors[n].shape if n in self.tensors else self.constants[n].shape for n in node.inputs
        ]
        (shape,) = operators()[node.op].shapes(node, shapes)
        self.tensors[node.outputs[0]] = Tensor(node.outputs[0], shape)
        self.nodes.append(node)
        return node.outputs[0]

    def weight(self, name: str, *shape: int) -> str:
        self.constants[name] = (
            np.random.default_rng(len(self.constants)).normal(0, 0.1, shape).astype(np.float32)
        )
        return name

    def conv(self, name: str, x: str, channels: int, stride: int = 1, group: int = 1, kernel: int = 3) -> str:
        if name in self.ranks:
            rank, self.ranks = self.ranks[name], {k: v for k, v in self.ranks.items() if k != name}
            x, kernel = self.conv(f"{name}_low", x, rank, stride, group, kernel), 1
            stride = 1
        shape = self.tensors[x].shape
        rank = len(shape) - 1
        w = self.weight(f"{name}_w", channels, shape[0] // group, *[kernel] * rank)
        bias = self.weight(f"{name}_b", channels)
        attributes = {
            "strides": (stride,) * rank,
            "dilations": (1,) * rank,
            "pads": (kernel // 2,) * (2 * rank),
            "group": group,
        }
        y = self.add(Node("Conv", name, (x, w, bias), (f"{name}_c",), attributes))
        return self.add(Node("Relu", f"{name}_relu", (y,), (f"{name}_y",)))

    def dense(self, name: str, x: str, units: int, relu: bool = False) -> str:
        if name in self.ranks:
            rank, self.ranks = self.ranks[name], {k: v for k, v in self.ranks.items() if k != name}
            x = self.dense(f"{name}_low", x, rank)
        size = self.tensors[x].size
        if len(self.tensors[x].shape) > 1:
            x = self.add(Node("Reshape", f"{name}_flat", (x,), (f"{name}_f",), {"shape": (size,)}))
        y = self.add(
            Node(
                "Gemm",
                name,
                (x, self.weight(f"{name}_w", units, size), self.weight(f"{name}_b", units)),
                (f"{name}_c",),
            )
        )
        return self.add(Node("Relu", f"{name}_relu", (y,), (f"{name}_y",))) if relu else y

    def graph(self, output: str) -> Graph:
        return Graph("net", (self.given,), (output,), tuple(self.nodes), self.constants, self.tensors)


def device(ram: int | None, flash: int | None, core: str = "stm32l4r5") -> EdgeDevice:
    """A device with other limits."""
    known = load_device(core)
    assert isinstance(known, EdgeDevice)

    class Limited(EdgeDevice):
        @property
        def ram_bytes(self) -> int | None:
            return ram

        @property
        def flash_bytes(self) -> int | None:
            return flash

    return Limited(**{name: getattr(known, name) for name in known.__dataclass_fields__})


def lowered(net: Net) -> IntegerProgram:
    graph = net.graph()
    return lower(graph, made_up(graph)).program


def fit_on(net: Net, target: EdgeDevice) -> list[Fit]:
    program = lowered(net)
    return static_fit(target, emit_c(program, target.core), program)


def carried_out(net: Net, text: str) -> Net:
    """The network after a remedy."""
    share = re.search(r"(\d+)% of the channels", text)
    length = re.search(r"last axis of x (\d+) instead of (\d+)", text)
    stride = re.search(r"stride of the first layer (\d+) times", text)
    ranks = dict(re.findall(r"(\w+) with (\d+) channels", text)) if "low rank" in text else None
    assert share or length or stride or ranks, text
    if length:
        assert int(length[2]) == net.length
    return replace(
        net,
        channels=int(net.channels * int(share[1]) / 100) if share else net.channels,
        length=int(length[1]) if length else net.length,
        stride=int(stride[1]) if stride else 1,
        ranks={k: int(v) for k, v in ranks.items()} if ranks else None,
    )


CASES = {  # network, (share of RAM, share of flash) that the device has
    "ram": (Net(24, 256), (0.4, 2)),
    "ram_little": (Net(24, 256), (0.97, 2)),
    "flash": (Net(100, 16), (2, 0.5)),
    "flash_little": (Net(100, 16), (2, 0.98)),
    "both": (Net(100, 200), (0.5, 0.5)),
    "both_uneven": (Net(100, 200), (0.9, 0.3)),
    "flat_flash": (Net(8, 2000, "flat"), (2, 0.6)),
    "flat_both": (Net(8, 2000, "flat"), (0.6, 0.6)),
    "dense_flash": (Net(200, 50, "dense"), (2, 0.5)),
    "dense_both": (Net(300, 300, "dense"), (0.7, 0.5)),
    "residual_ram": (Net(32, 256, "residual"), (0.5, 2)),
    "image_ram": (Net(24, 24, "image"), (0.5, 2)),
    "image_both": (Net(64, 24, "image"), (0.5, 0.6)),
}


@pytest.mark.parametrize("core", ["stm32l4r5", "rsl10"])
@pytest.mark.parametrize("case", CASES)
def test_each_remedy_by_itself_makes_it_fit(case: str, core: str) -> None:
    net, shares = CASES[case]
    used = [f.used for f in fit_on(net, device(None, None, core))]
    small = device(*(int(u * s) for u, s in zip(used, shares, strict=True)), core)
    program = lowered(net)
    fit = fit_on(net, small)
    assert [not f.ok for f in fit] == [s < 1 for s in shares]
    remedies = remedies_for(program, emit_c(program, small.core), small, fit)
    assert len(remedies) == len(set(remedies)) == 3, remedies
    for text in remedies[:2]:
        changed = carried_out(net, text)
        assert changed != net
        assert all(f.ok for f in fit_on(changed, small)), (text, fit_on(changed, small), used)
    names = re.findall(r"(\w+) \([\d,]+ KiB RAM\)", remedies[2])
    assert names
    assert remedies[2].startswith("a larger device: ")
    for name in names:
        larger = load_device(name)
        assert isinstance(larger, EdgeDevice)
        assert fits_really(net, larger), name


def fits_really(net: Net, larger: EdgeDevice) -> bool:
    """By the same words as `trine check`."""
    if larger.core.startswith("cortex-a"):
        return constant_bytes(lowered(net)) < (larger.ram_bytes or 0)
    return all(f.ok and f.available is not None for f in fit_on(net, larger))


def test_a_remedy_is_not_more_than_is_needed() -> None:
    net = Net(24, 256)
    used = [f.used for f in fit_on(net, device(None, None))]
    small = device(int(used[0] * 0.6), None)
    program = lowered(net)
    narrow, short, _ = remedies_for(program, emit_c(program, small.core), small, fit_on(net, small))
    assert 0.45 * 24 < carried_out(net, narrow).channels < 0.62 * 24
    assert 0.45 * 256 < carried_out(net, short).length < 0.62 * 256


def test_what_no_device_holds_still_has_three_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trine.edge.remedies.all_devices", lambda kind: [])
    net = Net(100, 200)
    used = [f.used for f in fit_on(net, device(None, None))]
    small = device(int(used[0] * 0.5), int(used[1] * 0.8))
    program = lowered(net)
    remedies = remedies_for(program, emit_c(program, small.core), small, fit_on(net, small))
    assert len(remedies) == 3
    for text in remedies:
        assert all(f.ok for f in fit_on(carried_out(net, text), small)), text


def test_sizes_of_the_whole_network_are_those_of_the_print() -> None:
    for kind in ("pooled", "flat", "dense", "residual", "image"):
        program = lowered(Net(12, 40, kind))
        sources = emit_c(program, "cortex-m4f")
        whole = Shrinker(program, "cortex-m4f").whole
        assert whole.constants == constant_bytes(program)
        assert sources.plan.arena_bytes <= whole.arena <= 1.1 * sources.plan.arena_bytes + 16


def test_a_certain_misfit_is_found_without_running_anything() -> None:
    program = lowered(Net(24, 256))
    sources = emit_c(program, "cortex-m4f")
    ram, flash = sources.plan.arena_bytes + 512 + 4, constant_bytes(program)
    assert certain_misfit(device(ram, flash + 20_000), sources, program) == []
    assert certain_misfit(device(None, None), sources, program) == []
    (found,) = (f for f in certain_misfit(device(ram // 2, flash + 20_000), sources, program) if not f.ok)
    assert (found.limit, found.available) == ("ram", ram // 2)
    assert certain_misfit(device(ram + 9999, flash // 3), sources, program)
    assert certain_misfit(device(None, 1), None, program) == []


def test_check_gives_the_remedies(tmp_path: Path) -> None:
    net = Net(40, 2000)
    (tmp_path / "net.onnx").write_bytes(write_onnx(net.graph()).SerializeToString())
    small = load_device("stm32l053")
    assert isinstance(small, EdgeDevice)
    report = check_edge(tmp_path / "net.onnx", small, {})
    assert isinstance(report, CheckReport)
    assert not report.ok
    assert len(report.remedies) == 3
    for text in report.remedies[:2]:
        (tmp_path / "net.onnx").write_bytes(write_onnx(carried_out(net, text).graph()).SerializeToString())
        assert check_edge(tmp_path / "net.onnx", small, {}).ok
