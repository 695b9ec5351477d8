"""Train a heartbeat network with linear attention on MIT-BIH DS1 and write it as ONNX.

python train_attention.py --data mitbih            writes attention.onnx beside this file
python train_attention.py --data mitbih --folds    cross-validates inside DS1 and writes nothing

Attention without a Softmax (Katharopoulos et al. 2020, arXiv 2006.16236): with phi(x) = elu(x) + 1, an output is
phi(q) (sum of phi(k) v') / (phi(q) sum of phi(k)), so that keys and values enter as one matrix of fixed size, however
many there are. Reads `calib.npz`, made by `trine data mitbih -o DIR`; DS2 stays shut. Data, augmentation and recipe are
those of `examples/ecg`, whose scripts are used as they are; only the network and the number of batches differ.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from exporting import export_beats
from folds import cross_validate, report
from model import HighPass, summed_to_zero
from train import Batches, Beats, Recipe, averaged, load, repeatable

STEPS = 1500
TOKENS, WIDTH, HEADS = 32, 32, 2


class LinearAttention(nn.Module):
    """Heads of linear attention over tokens [n, tokens, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.leave = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).reshape(-1, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        # Means in place of sums: the quotient is the same, and the ranges do not grow with the length.
        q, k = functional.elu(q) + 1, (functional.elu(k) + 1) / TOKENS
        mixed = (q @ (k.transpose(2, 3) @ v)) / (q @ k.sum(2, keepdim=True).transpose(2, 3))
        left: Tensor = self.leave(mixed.transpose(1, 2).reshape(-1, TOKENS, WIDTH))
        return left


class AttentionBeatNet(nn.Module):
    """A strided convolution makes 32 tokens of a beat, with places; attention, a residual; their mean; 5 logits."""

    def __init__(self, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.hidden_shape = hidden_shape
        self.steps: nn.Conv1d = HighPass(2, WIDTH, 15, stride=4, padding=7)
        self.places = nn.Parameter(0.1 * torch.randn(TOKENS, WIDTH))
        self.attention = LinearAttention()
        self.dropout = nn.Dropout(dropout)
        self.shape = nn.Linear(WIDTH, 24)
        self.decide = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        x = torch.relu(self.steps(beat).transpose(1, 2) + self.places)
        x = torch.relu(x + self.attention(x))
        shape = torch.relu(self.shape(self.dropout(x.mean(1))))
        if self.training:
            shape = shape * (torch.rand(len(shape), 1) >= self.hidden_shape)
        decided: Tensor = self.decide(torch.cat([shape, rr], dim=1))
        return decided


def train(
    beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int, title: str
) -> AttentionBeatNet:
    """One training on the chosen beats."""
    torch.manual_seed(seed)
    batches = Batches(beats, chosen, recipe, seed)
    net = AttentionBeatNet(recipe.dropout, recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        return functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)

    return averaged(net, AttentionBeatNet(), loss, recipe, title, clip=1.0)


def deployable(net: AttentionBeatNet, normal_offset: float) -> AttentionBeatNet:
    """The network as it runs: zero-sum kernels written out, the offset in the last bias of N."""
    net.steps = summed_to_zero(net.steps)
    last = net.decide[-1]
    assert isinstance(last, nn.Linear)
    last.bias.data[0] += normal_offset
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", action="store_true", help="cross-validate inside DS1 instead")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "attention.onnx")
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), replace(Recipe(), steps=given.steps)
    if given.folds:
        report(beats, [cross_validate(beats, recipe, given.seed, train)], recipe)
        return
    net = train(beats, np.arange(len(beats.y)), recipe, given.seed, "all of DS1")
    about = "AAMI heartbeat linear attention trained on MIT-BIH DS1; classes " + " ".join(beats.classes)
    export_beats(deployable(net, recipe.normal_offset), given.output, about)
    print(given.output)


if __name__ == "__main__":
    main()
