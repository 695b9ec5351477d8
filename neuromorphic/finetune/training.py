"""The loop that trains a `TrainableNet`. Imported only where torch and snntorch are to be used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn import functional

from trine.compilers.graph import Array
from trine.compilers.metrics import score
from trine.compilers.target import Progress
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.convert import Converted
from trine.neuromorphic.conversion.levels import LevelNet
from trine.neuromorphic.conversion.walk import layers_of
from trine.neuromorphic.finetune.checkpoint import State
from trine.neuromorphic.finetune.network import TrainableNet
from trine.neuromorphic.finetune.options import FineTuning
from trine.neuromorphic.finetune.teacher import Teacher
from trine.neuromorphic.finetune.training_data import TrainingSet

WILD = 50.0  # natural logarithm of a threshold


@dataclass(frozen=True)
class Epoch:
    """One epoch. loss: mean over its batches, None before the first; the rest on the held-out examples.

    agreement: share with the float network's class. macro_f1: over the classes that are there.
    """

    epoch: int
    loss: float | None
    held_out_loss: float
    accuracy: float
    macro_f1: float
    agreement: float


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """One thread, ordered sums, a seed; torch's own settings come back afterwards."""
    threads, ordered = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(ordered)


class Trainer:
    """Weights, optimiser and history: all that a checkpoint holds."""

    def __init__(self, converted: Converted, data: TrainingSet, options: FineTuning) -> None:
        self.data, self.options = data, options
        self.net = TrainableNet(converted.levels, converted.options)
        self.teacher = Teacher(layers_of(converted.graph))
        self.spread = {k: float(x.std()) for k, x in data.inputs.items()}
        self.parameters = self.net.parameters
        few = [p for name, p in self.parameters.items() if name not in self.net.there]
        many = [p for name, p in self.parameters.items() if name in self.net.there]
        self.optimiser = torch.optim.Adam(
            [{"params": few, "share": 1.0}, {"params": many, "share": options.weight_rate}]
        )
        self.best = self.net.values()
        self.history: list[Epoch] = []

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-int(self.data.draws.shape[1]) // self.options.batch)

    @property
    def chosen(self) -> Epoch:
        """The epoch of least held-out loss; of equals the first."""
        return min(self.history, key=lambda e: e.held_out_loss)

    def tuned(self) -> LevelNet:
        """The network of the chosen epoch."""
        self.net.load(self.best)
        return self.net.levels()

    def begin(self) -> None:
        """Judge the network as it was converted: epoch 0."""
        self.history.append(self.judge(0, None))

    def epoch(self, progress: Progress) -> None:
        """Train and judge one more epoch."""
        number, size = len(self.history), self.options.batch
        rows = self.data.draws[number - 1]
        losses = []
        for k in range(self.batches):
            done = (number - 1) * self.batches + k
            progress("fine-tuning", done, self.options.epochs * self.batches)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(done) * group["share"]
            self.optimiser.zero_grad()
            inputs, labels = self.data.take(rows[k * size : (k + 1) * size])
            loss, _, _ = self.loss(self.changed(inputs, done), labels)
            loss.backward()
            self.net.mask_gradients()
            self.optimiser.step()
            losses.append(float(loss.detach()))
            self.refuse_wild(number)
        self.history.append(self.judge(number, float(np.mean(losses))))
        if self.chosen.epoch == number:
            self.best = self.net.values()
        progress("fine-tuning", number * self.batches, self.options.epochs * self.batches)

    def refuse_wild(self, number: int) -> None:
        """Raise InputError where training has run away, before whole numbers are sought for what is left."""
        scales = [p for k, p in self.parameters.items() if k.endswith("/log_scale")]
        finite = all(bool(p.isfinite().all()) for p in self.parameters.values())
        if not finite or any(abs(float(p.detach())) > WILD for p in scales):
            raise InputError(
                f"fine-tuning: weights have run away in epoch {number}; give a smaller --learning-rate than "
                f"{self.options.learning_rate:g}"
            )

    def rate(self, step: int) -> float:
        """Learning rate of a step: a half cosine."""
        share = step / (self.options.epochs * self.batches)
        return self.options.learning_rate * (1 + math.cos(math.pi * share)) / 2

    def changed(self, inputs: Mapping[str, Array], step: int) -> dict[str, Array]:
        """Examples as they might have been measured; a step has a generator of its own, as an epoch has."""
        o, rng = self.options, np.random.default_rng([self.options.seed, 3, step])
        found = {}
        for name, x in sorted(inputs.items()):
            gain = np.exp(o.amplitude * rng.standard_normal((len(x), *([1] * (x.ndim - 1)))))
            noise = o.noise * self.spread[name] * rng.standard_normal(x.shape)
            found[name] = (gain * x + noise).astype(np.float32)
        return found

    def loss(self, inputs: Mapping[str, Array], labels: Array) -> tuple[torch.Tensor, Array, Array]:
        """Cross-entropy with labels and with the float network's answers (Hinton et al. 2015, arXiv 1503.02531).

        Also the classes of both networks.
        """
        given = {k: torch.from_numpy(x) for k, x in inputs.items()}
        logits = self.net.run(given)[0]
        answers = self.teacher.answer(given)[self.teacher.net.output.name].flatten(1)
        share = self.options.distillation
        labelled = functional.cross_entropy(logits, torch.from_numpy(labels))
        taught = functional.kl_div(logits.log_softmax(dim=1), answers.softmax(dim=1), reduction="batchmean")
        total = (1 - share) * labelled + share * taught
        return total, logits.detach().argmax(dim=1).numpy(), answers.argmax(dim=1).numpy()

    def judge(self, number: int, loss: float | None) -> Epoch:
        """The held-out examples now."""
        rows, total = self.data.judged, 0.0
        found: list[Array] = []
        wanted: list[Array] = []
        with torch.no_grad():
            for at in range(0, len(rows), 256):
                inputs, labels = self.data.take(rows[at : at + 256])
                here, classes, taught = self.loss(inputs, labels)
                total += float(here) * len(labels)
                found.append(classes)
                wanted.append(taught)
        predicted, labels = np.concatenate(found), self.data.take(rows)[1]
        scored = score(labels, predicted, [str(k) for k in range(self.data.classes)], draws=1)
        agreement = float((predicted == np.concatenate(wanted)).mean())
        return Epoch(number, loss, total / len(rows), scored.accuracy, scored.macro_f1, agreement)

    def state(self) -> State:
        """What a resumed run needs. Draws need no state: each epoch's generator is seeded by its number."""
        arrays = {f"weights/{k}": v for k, v in self.net.values().items()}
        arrays |= {f"best/{k}": v for k, v in self.best.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                arrays[f"optimiser/{key}/{name}"] = value.numpy()
        arrays["random"] = torch.get_rng_state().numpy()
        return State([asdict(epoch) for epoch in self.history], arrays)

    def restore(self, state: State) -> None:
        """Go on from a state."""
        arrays: Mapping[str, Array] = state.arrays
        self.history = [Epoch(**epoch) for epoch in state.history]
        self.net.load({name: arrays[f"weights/{name}"] for name in self.parameters})
        self.best = {name: arrays[f"best/{name}"] for name in self.parameters}
        torch.set_rng_state(torch.from_numpy(arrays["random"].copy()))
        moments = [k.split("/", 2) for k in arrays if k.startswith("optimiser/")]
        for _, key, name in moments:
            held = torch.from_numpy(arrays[f"optimiser/{key}/{name}"].copy())
            self.optimiser.state[self.parameters[name]][key] = held
