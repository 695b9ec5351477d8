"""Train a selective state-space network on the heartbeats of MIT-BIH DS1 and write it as ONNX.

python train_ssm.py --data mitbih     writes ssm.onnx and ssm_stream.onnx beside this file

Reads `calib.npz`, made by `trine data mitbih -o DIR`; DS2 stays shut. Data, augmentation and recipe are those of
`examples/ecg`, whose scripts are used as they are; of a beat, only the signal is read. Both files
hold the same weights: `ssm.onnx` answers once a beat, `ssm_stream.onnx` at every fourth sample of a signal.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from model import HighPass
from network import export
from train import Beats, Recipe, Sampler, augment, follow, load, repeatable

STEPS, WIDTH, STATES = 450, 16, 8
SLOWEST, FASTEST = 0.01, 0.5  # step sizes the channels begin with


class SelectiveNet(nn.Module):
    """A strided convolution, one block of Gu & Dao 2023 (arXiv 2312.00752, figure 3) with its residual, 5 logits.

    Everything looks back only, so that the answer of every step is that to the signal so far.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.steps = HighPass(1, WIDTH, 15, stride=4)
        self.enter, self.gate = nn.Conv1d(WIDTH, WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)
        self.before = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH)
        self.delta = nn.Conv1d(WIDTH, WIDTH, 1)
        self.b, self.c = nn.Conv1d(WIDTH, STATES, 1), nn.Conv1d(WIDTH, STATES, 1)
        self.log_a = nn.Parameter(torch.log(torch.arange(1.0, STATES + 1)).repeat(WIDTH, 1))
        self.d = nn.Parameter(torch.ones(WIDTH))
        self.leave = nn.Conv1d(WIDTH, WIDTH, 1)
        self.dropout = nn.Dropout(dropout)
        self.decide = nn.Sequential(nn.Conv1d(WIDTH, 32, 1), nn.ReLU(), nn.Conv1d(32, 5, 1))
        start = torch.exp(torch.linspace(0, 1, WIDTH) * torch.log(torch.tensor(FASTEST / SLOWEST))) * SLOWEST
        assert self.delta.bias is not None
        self.delta.bias.data = torch.log(torch.expm1(start))

    def forward(self, beat: Tensor) -> Tensor:
        """beat [n, 1, time] -> logits [n, 5, time / 4]."""
        u = torch.relu(self.steps(functional.pad(beat, (14, 0))))
        x = functional.silu(self.before(functional.pad(self.enter(u), (3, 0))))
        y = self.scan(x, functional.softplus(self.delta(x)), self.b(x), self.c(x))
        u = u + self.leave(y * functional.silu(self.gate(u)))
        decided: Tensor = self.decide(self.dropout(u))
        return decided

    def scan(self, x: Tensor, delta: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """The recurrence, step by step; x, delta [n, channels, time], b, c [n, states, time]."""
        decay = torch.exp(delta[:, :, None] * -torch.exp(self.log_a)[None, :, :, None])
        given = (delta * x)[:, :, None] * b[:, None]
        h, found = torch.zeros_like(given[..., 0]), []
        for t in range(x.shape[2]):
            h = decay[..., t] * h + given[..., t]
            found.append((h * c[:, None, :, t]).sum(2))
        return torch.stack(found, dim=2) + self.d[:, None] * x


def train(beats: Beats, recipe: Recipe, steps: int, seed: int) -> SelectiveNet:
    """The running average of the weights of one training on all of DS1; the last step's answer is judged."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    sampler = Sampler(beats, torch.arange(len(beats.y)).numpy(), recipe, seed)
    net, average = SelectiveNet(recipe.dropout), SelectiveNet()
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps, pct_start=0.15)
    for step in range(steps):
        rows, _ = sampler.draw()
        beat, _ = augment(beats.beat[rows], beats.rr[rows], recipe, chance)
        wanted = torch.from_numpy(beats.y[rows])
        loss = functional.cross_entropy(net(beat[:, :1])[:, :, -1], wanted, label_smoothing=recipe.smoothing)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        follow(average, net, min(recipe.averaging, (step + 1) / (step + 10)))
        if (step + 1) % 100 == 0:
            print(f"ssm: step {step + 1} of {steps}, loss {loss.item():.3f}", file=sys.stderr)
    return average.eval()


def weights(net: SelectiveNet, normal_offset: float) -> dict[str, Any]:
    """Every array of the network as it runs: zero-sum kernels written out, the offset in the last bias of N."""
    found = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    kernel = found["steps.weight"]
    found["steps.weight"] = kernel - kernel.mean(axis=2, keepdims=True)
    found["decide.2.bias"] = found["decide.2.bias"].copy()
    found["decide.2.bias"][0] += normal_offset
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), Recipe()
    net = train(beats, recipe, given.steps, given.seed)
    for path in export(weights(net, recipe.normal_offset), given.output, beats.classes):
        print(path)


if __name__ == "__main__":
    main()
