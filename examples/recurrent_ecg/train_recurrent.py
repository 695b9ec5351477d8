"""Train a GRU or an LSTM on the heartbeats of MIT-BIH DS1 and write it as ONNX.

python train_recurrent.py --cell gru --data mitbih     writes gru.onnx beside this file

Reads `calib.npz`, made by `trine data mitbih -o DIR`; DS2 stays shut. Data, augmentation and recipe are those of
`examples/ecg`, whose scripts are used as they are; only the network and the number of batches differ.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from exporting import export_beats
from model import HighPass, summed_to_zero
from train import Batches, Beats, Recipe, averaged, load, repeatable

STEPS = 1500


class RecurrentBeatNet(nn.Module):
    """One strided convolution makes 32 steps of a beat; a recurrent layer reads them; the RR ratios join; 5 logits."""

    def __init__(self, cell: str, hidden: int = 32, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.cell, self.hidden_shape = cell, hidden_shape
        self.steps: nn.Conv1d = HighPass(2, 16, 15, stride=4, padding=7)
        self.recurrent = (nn.GRU if cell == "gru" else nn.LSTM)(16, hidden)
        self.dropout = nn.Dropout(dropout)
        self.decide = nn.Sequential(nn.Linear(hidden + 8, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        steps = torch.relu(self.steps(beat)).permute(2, 0, 1)
        _, state = self.recurrent(steps)
        last = (state if self.cell == "gru" else state[0]).squeeze(0)
        shape = self.dropout(last)
        if self.training:
            shape = shape * (torch.rand(len(shape), 1) >= self.hidden_shape)
        decided: Tensor = self.decide(torch.cat([shape, rr], dim=1))
        return decided


def train(beats: Beats, cell: str, recipe: Recipe, seed: int) -> RecurrentBeatNet:
    """One training on all of DS1."""
    torch.manual_seed(seed)
    batches = Batches(beats, torch.arange(len(beats.y)).numpy(), recipe, seed)
    net = RecurrentBeatNet(cell, dropout=recipe.dropout, hidden_shape=recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        return functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)

    return averaged(net, RecurrentBeatNet(cell), loss, recipe, cell, clip=1.0)


def deployable(net: RecurrentBeatNet, normal_offset: float) -> RecurrentBeatNet:
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
    parser.add_argument("--cell", choices=("gru", "lstm"), default="gru")
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), replace(Recipe(), steps=given.steps)
    net = train(beats, given.cell, recipe, given.seed)
    path = given.output or Path(__file__).parent / f"{given.cell}.onnx"
    deployed = deployable(net, recipe.normal_offset)
    about = f"AAMI heartbeat {deployed.cell.upper()} trained on MIT-BIH DS1; classes " + " ".join(
        beats.classes
    )
    export_beats(deployed, path, about)
    print(path)


if __name__ == "__main__":
    main()
