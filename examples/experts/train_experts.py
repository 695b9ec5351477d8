"""Train a heartbeat network whose hidden layer is a mixture of experts, and write it as ONNX.

python train_experts.py --routing topk --data mitbih     writes topk.onnx beside this file

Routing: `topk`, two of eight experts by the router's greatest logits (Shazeer et al. 2017, arXiv 1701.06538); `choice`,
every expert picks the steps of the beat it reads (Zhou et al. 2022, arXiv 2202.09368); `soft`, every expert reads
weighted means of all steps (Puigcerver et al. 2023, arXiv 2308.00951); `dense`, one hidden layer as wide as all eight
experts together. Reads `calib.npz`, made by `trine data mitbih -o DIR`; data, augmentation and recipe are those of
`examples/ecg`. DS2 stays shut.
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

STEPS = 1200
EXPERTS, CHOSEN, HIDDEN, WIDTH = 8, 2, 96, 32
FEATURES = 40  # 32 channels and 8 RR ratios


class TopK(nn.Module):
    """The two experts of greatest logits, weighted by the softmax of those two. Only their weights are read."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(FEATURES, EXPERTS)
        self.first = nn.Parameter(torch.randn(EXPERTS, FEATURES * HIDDEN) * (2 / FEATURES) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(EXPERTS, HIDDEN))
        self.second = nn.Parameter(torch.randn(EXPERTS, HIDDEN * WIDTH) * (1 / HIDDEN) ** 0.5)
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        logits = self.router(x)
        chosen, index = torch.topk(logits, CHOSEN)
        weights = torch.softmax(chosen, -1)
        if self.training:  # the load-balancing loss of Fedus et al. 2021 (arXiv 2101.03961, equation 4)
            share = functional.one_hot(index, EXPERTS).float().mean((0, 1))
            self.balance = EXPERTS * (share * torch.softmax(logits, -1).mean(0)).sum()
        first = functional.embedding(index, self.first).reshape(-1, CHOSEN, FEATURES, HIDDEN)
        bias = functional.embedding(index, self.first_bias).reshape(-1, CHOSEN, 1, HIDDEN)
        second = functional.embedding(index, self.second).reshape(-1, CHOSEN, HIDDEN, WIDTH)
        hidden = torch.relu(x[:, None, None, :] @ first + bias)
        return ((hidden @ second).squeeze(2) * weights[..., None]).sum(1)


class Dense(nn.Module):
    """As many weights in one layer, all of them used."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, EXPERTS * HIDDEN), nn.ReLU(), nn.Linear(EXPERTS * HIDDEN, WIDTH)
        )
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        decided: Tensor = self.layers(x)
        return decided


class Soft(nn.Module):
    """Every expert reads one weighted mean of all steps; every step takes a weighted mean of all experts."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = nn.Linear(32, EXPERTS, bias=False)
        self.first = nn.Parameter(torch.randn(EXPERTS, 32, HIDDEN) * (2 / 32) ** 0.5)
        self.second = nn.Parameter(torch.randn(EXPERTS, HIDDEN, WIDTH) * (1 / HIDDEN) ** 0.5)
        self.balance = torch.zeros(())

    def forward(self, steps: Tensor) -> Tensor:
        logits = self.slots(steps)  # [n, steps, experts]
        read = torch.softmax(logits, 1).transpose(1, 2) @ steps  # [n, experts, 32]
        hidden = torch.relu(read[:, :, None, :] @ self.first)
        written = (hidden @ self.second).squeeze(2)
        return (torch.softmax(logits, 2) @ written).mean(1)


class Choice(nn.Module):
    """Every expert reads the four steps that it scores highest."""

    def __init__(self, capacity: int = 4) -> None:
        super().__init__()
        self.capacity = capacity
        self.router = nn.Linear(32, EXPERTS)
        self.first = nn.Parameter(torch.randn(EXPERTS, 32, HIDDEN) * (2 / 32) ** 0.5)
        self.second = nn.Parameter(torch.randn(EXPERTS, HIDDEN, WIDTH) * (1 / HIDDEN) ** 0.5)
        self.balance = torch.zeros(())

    def forward(self, steps: Tensor) -> Tensor:
        scores = torch.softmax(self.router(steps), -1).transpose(1, 2)  # [n, experts, steps]
        weights, index = torch.topk(scores, self.capacity)
        flat = index.reshape(-1, EXPERTS * self.capacity, 1).expand(-1, -1, 32)
        read = torch.gather(steps, 1, flat).reshape(-1, EXPERTS, self.capacity, 32)
        written = torch.relu(read @ self.first) @ self.second
        return (written * weights[..., None]).mean((1, 2))


ROUTINGS = {"topk": TopK, "dense": Dense, "soft": Soft, "choice": Choice}


class ExpertBeatNet(nn.Module):
    """Two strided convolutions, experts on their mean (topk, dense) or on their steps (soft, choice), 5 logits."""

    def __init__(self, routing: str, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.routing, self.hidden_shape = routing, hidden_shape
        self.steps: nn.Conv1d = HighPass(2, 16, 15, stride=4, padding=7)
        self.wider = nn.Conv1d(16, 32, 5, stride=2, padding=2)
        self.experts: nn.Module = ROUTINGS[routing]()
        self.dropout = nn.Dropout(dropout)
        self.decide = nn.Linear(WIDTH + 8, 5)

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        steps = torch.relu(self.wider(torch.relu(self.steps(beat))))
        if self.routing in ("topk", "dense"):
            mixed = self.experts(torch.cat([steps.mean(2), rr], 1))
        else:
            mixed = self.experts(steps.transpose(1, 2))
        mixed = self.dropout(mixed)
        if self.training:
            mixed = mixed * (torch.rand(len(mixed), 1) >= self.hidden_shape)
        decided: Tensor = self.decide(torch.cat([mixed, rr], 1))
        return decided


def train(beats: Beats, routing: str, recipe: Recipe, seed: int) -> ExpertBeatNet:
    """One training on all of DS1."""
    torch.manual_seed(seed)
    batches = Batches(beats, torch.arange(len(beats.y)).numpy(), recipe, seed)
    net = ExpertBeatNet(routing, dropout=recipe.dropout, hidden_shape=recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        entropy = functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)
        return entropy + 0.01 * torch.as_tensor(net.experts.balance)

    return averaged(net, ExpertBeatNet(routing), loss, recipe, routing, clip=1.0)


def deployable(net: ExpertBeatNet, normal_offset: float) -> ExpertBeatNet:
    """The network as it runs: zero-sum kernels written out, the offset in the last bias of N."""
    net.steps = summed_to_zero(net.steps)
    net.decide.bias.data[0] += normal_offset
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routing", choices=tuple(ROUTINGS), default="topk")
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), replace(Recipe(), steps=given.steps)
    net = train(beats, given.routing, recipe, given.seed)
    path = given.output or Path(__file__).parent / f"{given.routing}.onnx"
    deployed = deployable(net, recipe.normal_offset)
    about = f"AAMI heartbeat experts ({deployed.routing}) trained on MIT-BIH DS1; classes " + " ".join(
        beats.classes
    )
    export_beats(deployed, path, about)
    print(path)


if __name__ == "__main__":
    main()
