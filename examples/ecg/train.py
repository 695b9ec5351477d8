"""Train the heartbeat network on MIT-BIH DS1 and write it as ONNX.

python train.py --folds    patient-wise cross-validation inside DS1: what every choice was made with
python train.py            train on all of DS1, write ecg.onnx beside this file (80 s on one core)

Both read `calib.npz`, made by `trine data mitbih -o DIR` (`--data DIR`, default ./mitbih). DS2 stays shut.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.compilers.metrics import Accuracy, score

# Patients held out together. Each fold holds S and V beats of several patients.
FOLDS = (
    (209, 106, 115, 122, 203),
    (201, 119, 101, 112, 116, 230),
    (207, 220, 208, 108, 215),
    (118, 223, 109, 114, 124, 205),
)


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training, made with `--folds`."""

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


@dataclass(frozen=True)
class Beats:
    """DS1: `beat` [n, 2, 128] mV, `rr` [n, 8], `y` [n] class, `patient` [n]."""

    beat: Tensor
    rr: Tensor
    y: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    classes: tuple[str, ...]


class HighPass(nn.Conv1d):
    """A convolution whose kernels sum to zero, so that the baseline of the ECG cannot reach the network."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight - self.weight.mean(dim=2, keepdim=True)
        return functional.conv1d(x, kernel, self.bias, self.stride, self.padding)


def block(conv: nn.Conv1d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm1d(conv.out_channels), nn.ReLU())


class BeatNet(nn.Module):
    """Four convolutions over the beat; the RR ratios join before two small dense layers; 5 logits."""

    def __init__(self, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.hidden_shape = hidden_shape
        self.shape = nn.Sequential(
            block(HighPass(2, 16, 15, stride=2, padding=7, bias=False)),
            block(nn.Conv1d(16, 32, 5, stride=2, padding=2, bias=False)),
            block(nn.Conv1d(32, 32, 5, stride=1, padding=2, bias=False)),
            block(nn.Conv1d(32, 64, 5, stride=2, padding=2, bias=False)),
            nn.AvgPool1d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(256, 24),
            nn.ReLU(),
        )
        self.decide = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        shape = self.shape(beat)
        if self.training:
            shape = shape * (torch.rand(len(shape), 1) >= self.hidden_shape)
        return self.decide(torch.cat([shape, rr], dim=1))


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


def train(beats: Beats, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int, title: str) -> BeatNet:
    """The running average of the weights of one training on the chosen beats."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    sampler = Sampler(beats, chosen, recipe, seed)
    net, average = BeatNet(recipe.dropout, recipe.hidden_shape), BeatNet()
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.steps, pct_start=0.15
    )
    for step in range(recipe.steps):
        rows, shapes = sampler.draw()
        beat, rr = augment(beats.beat[shapes], beats.rr[rows], recipe, chance)
        wanted = torch.from_numpy(beats.y[rows])
        loss = functional.cross_entropy(net(beat, rr), wanted, label_smoothing=recipe.smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        follow(average, net, min(recipe.averaging, (step + 1) / (step + 10)))
        if (step + 1) % 100 == 0:
            print(f"{title}: step {step + 1} of {recipe.steps}, loss {loss.item():.3f}", file=sys.stderr)
    return average.eval()


@torch.no_grad()
def follow(average: BeatNet, net: BeatNet, keep: float) -> None:
    for mean, now in zip(average.state_dict().values(), net.state_dict().values()):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


@torch.no_grad()
def predict(net: BeatNet, beats: Beats, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    parts = [
        net(beats.beat[part], beats.rr[part]).argmax(1)
        for part in np.array_split(rows, len(rows) // 2048 + 1)
    ]
    return torch.cat(parts).numpy()


def cross_validate(beats: Beats, recipe: Recipe, seed: int) -> Accuracy:
    """Every DS1 beat classified by a network that never saw its patient."""
    guess = np.zeros(len(beats.y), np.int64)
    for k, held_out in enumerate(FOLDS):
        outside = np.isin(beats.patient, held_out)
        net = train(beats, np.flatnonzero(~outside), recipe, seed + k, f"fold {k + 1} of {len(FOLDS)}")
        guess[outside] = predict(net, beats, np.flatnonzero(outside))
    return score(beats.y, guess, beats.classes, beats.patient)


def deployable(net: BeatNet) -> nn.Module:
    """The network as it runs: zero-sum kernels written out, BatchNorm folded into the convolutions."""
    layers: list[nn.Module] = []
    for layer in net.shape:
        if not isinstance(layer, nn.Sequential):
            layers += [] if isinstance(layer, nn.Dropout) else [layer]
            continue
        conv, norm = layer[0], layer[1]
        assert isinstance(conv, nn.Conv1d)
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        kernel = conv.weight.data
        if isinstance(conv, HighPass):
            kernel = kernel - kernel.mean(dim=2, keepdim=True)
        gain = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
        plain = nn.Conv1d(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        )
        plain.weight.data = kernel * gain[:, None, None]
        plain.bias.data = norm.bias.data - norm.running_mean * gain
        layers += [plain, nn.ReLU()]
    folded = BeatNet()
    folded.shape, folded.decide = nn.Sequential(*layers), net.decide
    return folded.eval()


def export(net: BeatNet, beats: Beats, path: Path) -> None:
    """Write the folded network as ONNX, weights inside, names `beat`, `rr` and `logits`, any batch size."""
    import onnx

    # The exporter speaks of packages that are not needed here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings():
        # The exporter warns of its own use of older torch functions.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            deployable(net),
            (beats.beat[:2], beats.rr[:2]),
            input_names=["beat", "rr"],
            output_names=["logits"],
            dynamic_shapes={"beat": batch, "rr": batch},
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # The exporter's notes hold paths of this machine and change from run to run.
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    model.doc_string = "AAMI heartbeat classifier trained on MIT-BIH DS1; classes " + " ".join(beats.classes)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--folds", action="store_true", help="cross-validate inside DS1 instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "ecg.onnx")
    given = parser.parse_args()
    # One thread and ordered sums: the same seed gives the same network on the same machine.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    beats = load(given.data)
    if given.folds:
        result = cross_validate(beats, Recipe(), given.seed)
        print(f"accuracy {result.accuracy:.4f}  macro-F1 {result.macro_f1:.4f}")
        for one in result.per_class:
            print(f"{one.name}  recall {one.recall}  precision {one.precision}  beats {one.support}")
        return
    net = train(beats, np.arange(len(beats.y)), Recipe(), given.seed, "all of DS1")
    export(net, beats, given.output)
    print(given.output)


if __name__ == "__main__":
    main()
