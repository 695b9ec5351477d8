"""Train the heartbeat network on MIT-BIH DS1 and write it as ONNX.

Reads `calib.npz`, made by `trine data mitbih -o DIR` (`--data DIR`, default ./mitbih); DS2 stays shut. Writes
`ecg.onnx` beside this file after 80 s on one core. `folds.py` is what every choice below was made with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from exporting import export_beats
from model import BeatNet, deployable
from torch import Tensor, nn
from torch.nn import functional

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training, made with `folds.py`."""

    steps: int = 2500
    batch: int = 256
    rate: float = 3e-3
    decay: float = 1e-3
    dropout: float = 0.2
    smoothing: float = 0.02
    averaging: float = 0.995
    # Share of each class N, S, V, F, Q in a batch. DS1 holds 8 Q beats: too few to learn, so none are shown.
    shares: tuple[float, ...] = (0.75, 0.12, 0.12, 0.01, 0.0)
    # Share of S beats shown with the shape of an N beat of any patient: S differs from N mostly by timing.
    borrowed_shape: float = 0.6
    # Share of beats whose shape features are hidden, so that the rhythm is learnt on its own too.
    hidden_shape: float = 0.2
    amplitude: float = 0.2
    wander_mv: float = 0.15
    noise_mv: float = 0.02
    rr_noise: float = 0.02
    shift: int = 3
    # Added to the logit of N after training, chosen by `folds.py`.
    normal_offset: float = 0.75


@dataclass(frozen=True)
class Beats:
    """DS1: `beat` [n, 2, 128] mV, `rr` [n, 8], `y` [n] class, `patient` [n]."""

    beat: Tensor
    rr: Tensor
    y: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def repeatable() -> None:
    """One thread and ordered sums: the same seed gives the same network on the same machine."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def load(folder: Path) -> Beats:
    with np.load(folder / "calib.npz", allow_pickle=False) as file:
        return Beats(
            beat=torch.from_numpy(file["beat"]),
            rr=torch.from_numpy(file["rr"]),
            y=file["y"].astype(np.int64),
            patient=file["group"].astype(np.int64),
            classes=tuple(str(name) for name in file["classes"]),
        )


def augment(beat: Tensor, rr: Tensor, recipe: Recipe, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Another amplitude, R peak found a little off, baseline wander, muscle noise, jittered intervals."""
    count, width = len(beat), beat.shape[2]
    one = (count, 1, 1)
    beat = beat * torch.exp(recipe.amplitude * torch.randn(one, generator=chance))
    moved = torch.randint(-recipe.shift, recipe.shift + 1, (count, 1), generator=chance)
    at = (torch.arange(width)[None] + moved).clamp(0, width - 1)
    beat = torch.gather(beat, 2, at[:, None].expand(-1, beat.shape[1], -1))
    cycles, start = 1.5 * torch.rand(one, generator=chance), torch.rand(one, generator=chance)
    wave = torch.sin(2 * torch.pi * (cycles * torch.linspace(0, 1, width) + start))
    beat = beat + recipe.wander_mv * torch.rand(one, generator=chance) * wave
    hiss = recipe.noise_mv * torch.rand(one, generator=chance)
    beat = beat + hiss * torch.randn(beat.shape, generator=chance)
    return beat.clamp(-2.55, 2.55), rr + recipe.rr_noise * torch.randn(rr.shape, generator=chance)


class Sampler:
    """Batches with fixed class shares; in a class, a patient weighs by the square root of its beats."""

    def __init__(self, beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int) -> None:
        self.recipe, self.y, self.chance = recipe, beats.y, np.random.default_rng(seed)
        self.members = [chosen[beats.y[chosen] == k] for k in range(len(recipe.shares))]
        self.weights = []
        for members in self.members:
            _, number, beats_of = np.unique(beats.patient[members], return_inverse=True, return_counts=True)
            weight = beats_of[number] ** -0.5
            self.weights.append(weight / weight.sum())
        shares = np.array([share if len(m) else 0.0 for share, m in zip(recipe.shares, self.members)])
        self.shares = shares / shares.sum()
        normal = self.members[0]
        self.normal_of = [normal[beats.patient[normal] == p] for p in np.unique(beats.patient[normal])]

    def draw(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Beats that give label and rhythm, and beats that give the shape: the same unless borrowed."""
        counts = self.chance.multinomial(self.recipe.batch, self.shares)
        rows = np.concatenate(
            [self.chance.choice(m, c, p=w) for m, w, c in zip(self.members, self.weights, counts) if c]
        )
        shapes = rows.copy()
        borrow = (self.y[rows] == 1) & (self.chance.random(len(rows)) < self.recipe.borrowed_shape)
        for i in np.flatnonzero(borrow):
            shapes[i] = self.chance.choice(self.normal_of[self.chance.integers(len(self.normal_of))])
        return rows, shapes


class Batches:
    """Augmented batches of the chosen beats, the same for a seed."""

    def __init__(self, beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int) -> None:
        self.beats, self.recipe = beats, recipe
        self.chance = torch.Generator().manual_seed(seed)
        self.sampler = Sampler(beats, chosen, recipe, seed)

    def draw(self, borrow: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """`beat`, `rr` and classes; borrow: S beats may have the shape of an N beat."""
        rows, shapes = self.sampler.draw()
        shown = shapes if borrow else rows
        beat, rr = augment(self.beats.beat[shown], self.beats.rr[rows], self.recipe, self.chance)
        return beat, rr, torch.from_numpy(self.beats.y[rows])


def averaged(
    net: Net,
    average: Net,
    loss_of: Callable[[], Tensor],
    recipe: Recipe,
    title: str,
    clip: float | None = None,
) -> Net:
    """The running average of the weights of one training. loss_of: of a new batch; clip: of the gradient's norm."""
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.steps, pct_start=0.15
    )
    for step in range(recipe.steps):
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimiser.step()
        schedule.step()
        follow(average, net, min(recipe.averaging, (step + 1) / (step + 10)))
        if (step + 1) % 100 == 0:
            print(f"{title}: step {step + 1} of {recipe.steps}, loss {loss.item():.3f}", file=sys.stderr)
    return average.eval()


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, keep: float) -> None:
    for mean, now in zip(average.state_dict().values(), net.state_dict().values()):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


def train(beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int, title: str) -> BeatNet:
    """One training on the chosen beats."""
    torch.manual_seed(seed)
    batches = Batches(beats, chosen, recipe, seed)
    net = BeatNet(recipe.dropout, recipe.hidden_shape)

    def loss() -> Tensor:
        beat, rr, wanted = batches.draw()
        return functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)

    return averaged(net, BeatNet(), loss, recipe, title)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "ecg.onnx")
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), Recipe()
    net = train(beats, np.arange(len(beats.y)), recipe, given.seed, "all of DS1")
    about = "AAMI heartbeat classifier trained on MIT-BIH DS1; classes " + " ".join(beats.classes)
    export_beats(deployable(net, recipe.normal_offset), given.output, about)
    print(given.output)


if __name__ == "__main__":
    main()
