"""Train a heartbeat network that looks back only on MIT-BIH DS1 and write it as ONNX, whole and as a stream.

python train_causal.py --data mitbih            writes causal.onnx and causal_stream.onnx beside this file
python train_causal.py --data mitbih --folds    cross-validates inside DS1 and writes nothing

The network of `examples/ecg` with all padding before the signal: a column of a layer has seen the samples so far and
no others. `causal.onnx` reads a beat and answers once (`beat` [batch, 2, 128], `rr` [batch, 8]); `causal_stream.onnx`
has the same weights, reads `beat` [batch, 2, time] and `rr` [batch, 8, time] and answers after every eighth sample:
what it says after the 128th sample of a beat is what causal.onnx says. Reads `calib.npz`, made by `trine data mitbih
-o DIR`; DS2 stays shut. Data, augmentation and recipe are those of `examples/ecg`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from folds import cross_validate, report
from model import BeatNet, deployable
from train import Batches, Beats, Recipe, averaged, load, repeatable
from writing import Nodes, write

# Kernel and stride of the convolutions. With kernel - stride columns of padding before the signal, column t ends at the
# newest sample of its hop.
LAYERS = ((15, 2), (5, 2), (5, 1), (5, 2))
POOL, POOLS = 4, 4  # columns of a mean, and means that the dense layer reads
# Samples of a step, of a beat, and of a stretch of `examples/ecg/stretches.py`.
HOP, BEAT, TIME = 8, 128, 1024


class CausalNet(nn.Module):
    """`BeatNet` with its padding moved before the signal."""

    def __init__(self, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.net = BeatNet(dropout, hidden_shape)
        for layer in self.net.shape[: len(LAYERS)]:
            layer[0].padding = (0,)

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        net, shape = self.net, beat
        for layer, (kernel, stride) in zip(net.shape, LAYERS):
            shape = layer(functional.pad(shape, (kernel - stride, 0)))
        shape = net.shape[len(LAYERS) :](shape)
        if self.training:
            shape = shape * (torch.rand(len(shape), 1) >= net.hidden_shape)
        decided: Tensor = net.decide(torch.cat([shape, rr], dim=1))
        return decided


def train(beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int, title: str) -> CausalNet:
    """One training on the chosen beats."""
    torch.manual_seed(seed)
    batches = Batches(beats, chosen, recipe, seed)
    net = CausalNet(recipe.dropout, recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        return functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)

    return averaged(net, CausalNet(), loss, recipe, title)


def weights(net: CausalNet, normal_offset: float) -> dict[str, Any]:
    """Every array of the network as it runs: convolutions conv0 to conv3, dense layers dense, decide and classes."""
    folded = deployable(net.net, normal_offset)
    found: dict[str, Any] = {}
    layers = [m for m in folded.modules() if isinstance(m, (nn.Conv1d, nn.Linear))]
    for name, layer in zip(
        ("conv0", "conv1", "conv2", "conv3", "dense", "decide", "classes"), layers, strict=True
    ):
        assert layer.bias is not None
        found[f"{name}.weight"], found[f"{name}.bias"] = (
            layer.weight.detach().numpy(),
            layer.bias.detach().numpy(),
        )
    return found


def spelled(stream: bool) -> Nodes:
    """The nodes: behind the convolutions at every column, or at the last."""
    net, x = Nodes(), "beat"
    for i, (kernel, stride) in enumerate(LAYERS):
        x = net.conv(f"conv{i}", x, pads=[kernel - stride, 0], strides=[stride])
        x = net.add("Relu", [x], f"relu{i}")
    if stream:
        x = net.add("AveragePool", [x], "means", kernel_shape=[POOL], pads=[POOL - 1, 0], count_include_pad=1)
        x = net.conv("dense", x, dilations=[POOL], pads=[POOL * (POOLS - 1), 0])
        rr = net.add("MaxPool", ["rr"], "rr_now", kernel_shape=[1], strides=[HOP])
        join = {"axis": 1}
    else:
        x = net.add(
            "Flatten", [net.add("AveragePool", [x], "means", kernel_shape=[POOL], strides=[POOL])], "flat"
        )
        x = net.add("Gemm", [x, "dense.weight", "dense.bias"], "dense", transB=1)
        rr, join = "rr", {"axis": 1}
    x = net.add("Concat", [net.add("Relu", [x], "shape"), rr], "joined", **join)
    for name, after in (("decide", "decided"), ("classes", "logits")):
        layer = [x, f"{name}.weight", f"{name}.bias"]
        x = net.add("Conv", layer, name) if stream else net.add("Gemm", layer, name, transB=1)
        x = net.add("Relu" if name == "decide" else "Identity", [x], after)
    return net


def export(arrays: dict[str, Any], folder: Path, classes: Sequence[str]) -> list[Path]:
    """Write causal.onnx and causal_stream.onnx."""
    about = "AAMI causal heartbeat network trained on MIT-BIH DS1; classes " + " ".join(classes)
    whole = write(
        folder / "causal.onnx",
        spelled(False).nodes,
        arrays,
        {"beat": (2, BEAT), "rr": (8,)},
        {"logits": (5,)},
        about,
    )
    columns = dict(arrays)
    # Of a dense layer's inputs, channel c of mean m stands at c * POOLS + m: a filter of POOLS taps.
    columns["dense.weight"] = arrays["dense.weight"].reshape(len(arrays["dense.weight"]), -1, POOLS)
    for name in ("decide.weight", "classes.weight"):
        columns[name] = arrays[name][:, :, None]
    stream = write(
        folder / "causal_stream.onnx", spelled(True).nodes, columns, {"beat": (2, TIME), "rr": (8, TIME)},
        {"logits": (5, TIME // HOP)}, about,
    )  # fmt: skip
    return [whole, stream]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", action="store_true", help="cross-validate inside DS1 instead")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), Recipe()
    if given.folds:
        report(beats, [cross_validate(beats, recipe, given.seed, train)], recipe)
        return
    net = train(beats, np.arange(len(beats.y)), recipe, given.seed, "all of DS1")
    for path in export(weights(net, recipe.normal_offset), given.output, beats.classes):
        print(path)


if __name__ == "__main__":
    main()
