"""Train a selective state-space network on the heartbeats of MIT-BIH DS1 and write it as ONNX.

python train_ssm.py --data mitbih            writes ssm.onnx and ssm_stream.onnx beside this file
python train_ssm.py --data mitbih --folds    cross-validates inside DS1 and writes nothing

Reads `calib.npz`, made by `trine data mitbih -o DIR`; DS2 stays shut. Data, augmentation and recipe are those of
`examples/ecg`, whose scripts are used as they are. Both files hold the same weights: `ssm.onnx` answers once a beat,
`ssm_stream.onnx` at every fourth sample; after the 128th sample of a beat they say the same.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from folds import cross_validate, report
from model import HighPass
from network import STRIDE, export
from train import Batches, Beats, Recipe, averaged, load, repeatable

STEPS, WIDTH, STATES = 1500, 16, 8
SLOWEST, FASTEST = 0.01, 0.5  # step sizes the channels begin with


class SelectiveNet(nn.Module):
    """A strided convolution, one block of Gu & Dao 2023 (arXiv 2312.00752, figure 3) with its residual, the mean over
    the beat; the RR ratios join before two small dense layers; 5 logits.

    Everything looks back only, so that the answer of every step is that to the signal so far.
    """

    def __init__(self, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.hidden_shape = hidden_shape
        self.steps = HighPass(2, WIDTH, 15, stride=STRIDE)
        self.enter, self.gate = nn.Conv1d(WIDTH, WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)
        self.before = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH)
        self.delta = nn.Conv1d(WIDTH, WIDTH, 1)
        self.b, self.c = nn.Conv1d(WIDTH, STATES, 1), nn.Conv1d(WIDTH, STATES, 1)
        self.log_a = nn.Parameter(torch.log(torch.arange(1.0, STATES + 1)).repeat(WIDTH, 1))
        self.d = nn.Parameter(torch.ones(WIDTH))
        self.leave = nn.Conv1d(WIDTH, WIDTH, 1)
        self.dropout = nn.Dropout(dropout)
        self.shape, self.decide, self.classes = (
            nn.Conv1d(WIDTH, 24, 1),
            nn.Conv1d(32, 32, 1),
            nn.Conv1d(32, 5, 1),
        )
        start = torch.exp(torch.linspace(0, 1, WIDTH) * torch.log(torch.tensor(FASTEST / SLOWEST))) * SLOWEST
        assert self.delta.bias is not None
        self.delta.bias.data = torch.log(torch.expm1(start))

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        """beat [n, 2, 128], rr [n, 8] -> logits [n, 5]."""
        u = torch.relu(self.steps(functional.pad(beat, (self.steps.kernel_size[0] - STRIDE, 0))))
        x = functional.silu(self.before(functional.pad(self.enter(u), (3, 0))))
        y = self.scan(x, functional.softplus(self.delta(x)), self.b(x), self.c(x))
        u = u + self.leave(y * functional.silu(self.gate(u)))
        shape = torch.relu(self.shape(self.dropout(u.mean(2, keepdim=True))))
        if self.training:
            shape = shape * (torch.rand(len(shape), 1, 1) >= self.hidden_shape)
        decided: Tensor = self.classes(torch.relu(self.decide(torch.cat([shape, rr[:, :, None]], 1))))
        return decided[:, :, 0]

    def scan(self, x: Tensor, delta: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """The recurrence, step by step; x, delta [n, channels, time], b, c [n, states, time]."""
        decay = torch.exp(delta[:, :, None] * -torch.exp(self.log_a)[None, :, :, None]).permute(3, 0, 1, 2)
        given = ((delta * x)[:, :, None] * b[:, None]).permute(3, 0, 1, 2)
        h, found = torch.zeros_like(given[0]), []
        for keep, new in zip(decay.unbind(0), given.unbind(0)):
            h = torch.addcmul(new, keep, h)
            found.append(h)
        return torch.einsum("tncs,nst->nct", torch.stack(found), c) + self.d[:, None] * x


def train(beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int, title: str) -> SelectiveNet:
    """One training on the chosen beats."""
    torch.manual_seed(seed)
    batches = Batches(beats, chosen, recipe, seed)
    net = SelectiveNet(recipe.dropout, recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        return functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)

    return averaged(net, SelectiveNet(), loss, recipe, title, clip=1.0)


def weights(net: SelectiveNet, normal_offset: float) -> dict[str, Any]:
    """Every array of the network as it runs: zero-sum kernels written out, the offset in the last bias of N."""
    found = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    kernel = found["steps.weight"]
    found["steps.weight"] = kernel - kernel.mean(axis=2, keepdims=True)
    found["classes.bias"] = found["classes.bias"].copy()
    found["classes.bias"][0] += normal_offset
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", action="store_true", help="cross-validate inside DS1 instead")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), replace(Recipe(), steps=given.steps)
    if given.folds:
        report(beats, [cross_validate(beats, recipe, given.seed, train)], recipe)
        return
    net = train(beats, np.arange(len(beats.y)), recipe, given.seed, "all of DS1")
    for path in export(weights(net, recipe.normal_offset), given.output, beats.classes):
        print(path)


if __name__ == "__main__":
    main()
