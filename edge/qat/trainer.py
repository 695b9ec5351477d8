"""One training: batches drawn by a seed, steps, and the epoch of least loss on what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.edge.qat.judge import Judge
from trine.edge.qat.network import FakeQuantized, load_torch
from trine.edge.qat.options import Tuning
from trine.edge.quantize.samples import Progress, in_batches

SCALE_RATE = 0.1  # step of a weight's scale, as a share of that of the weight


class Trainer:
    """One training of the torch network on the chosen rows."""

    def __init__(
        self,
        network: FakeQuantized,
        teacher: FakeQuantized,
        inputs: Mapping[str, Array],
        labels: NDArray[np.int64] | None,
        rows: NDArray[np.int64],
        tuning: Tuning,
    ) -> None:
        self.torch, self.network, self.teacher, self.tuning = load_torch(), network, teacher, tuning
        self.inputs, self.labels, self.rows = inputs, labels, rows
        self.spread = {name: float(np.std(x[rows])) for name, x in inputs.items()}
        self.optimiser = self.torch.optim.Adam(groups(network, tuning.rate))

    def run(self, judge: Judge, progress: Progress) -> list[float]:
        """Train, and leave the network at the epoch of least loss; the losses, that of the beginning first."""
        losses, best = [self.judged(judge)], self.network.state()
        for epoch in range(self.tuning.epochs):
            self.epoch(epoch)
            losses.append(self.judged(judge))
            if losses[-1] == min(losses):
                best = self.network.state()
            progress("fine-tuning", epoch + 1, self.tuning.epochs)
        self.network.load(best)
        return losses

    def epoch(self, number: int) -> None:
        """One pass; every epoch draws from a generator of its own."""
        rng = np.random.default_rng([self.tuning.seed, number])
        shown = self.drawn(rng)
        parts = np.array_split(shown, max(len(shown) // self.tuning.batch, 1))
        for step, rows in enumerate(parts):
            done = (number + step / len(parts)) / self.tuning.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = group["start"] * 0.5 * (1 + np.cos(np.pi * done))
            feed = self.changed(rows, rng)
            loss = self.loss(self.network.run(feed), self.teacher.exact(feed), rows)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.network.hold()

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The rows of one epoch: none twice, or with labels by the square root of their class's size."""
        most = min(self.tuning.examples, len(self.rows))
        if self.labels is None:
            return rng.permutation(self.rows)[:most]
        _, kind, counts = np.unique(self.labels[self.rows], return_inverse=True, return_counts=True)
        weight = counts[kind] ** -0.5
        return rng.choice(self.rows, most, p=weight / weight.sum())

    def changed(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        """The inputs of some rows as they are shown this time."""
        t, feed = self.tuning, {}
        for name, x in self.inputs.items():
            shown = x[rows].astype(np.float32)
            if t.amplitude:
                factor = np.exp(t.amplitude * rng.normal(size=(len(rows), *(1,) * (shown.ndim - 1))))
                shown = shown * factor.astype(np.float32)
            if t.noise:
                shown = shown + (t.noise * self.spread[name] * rng.normal(size=shown.shape)).astype(
                    np.float32
                )
            feed[name] = self.torch.from_numpy(shown)
        return feed

    def loss(self, found: Mapping[str, Any], exact: Mapping[str, Any], rows: NDArray[np.int64]) -> Any:
        """As `Judge.loss`, with a gradient, but for the entropy of the float network's answers, which has none."""
        parts = [((found[name] - y) ** 2).sum() / (y**2).sum().clamp(min=1e-12) for name, y in exact.items()]
        noise = sum(parts) / len(parts)
        if self.labels is None:
            return noise
        guess = self.torch.log_softmax(next(iter(found.values())).flatten(1), 1)
        wanted = self.torch.softmax(next(iter(exact.values())).flatten(1), 1)
        labels = self.torch.from_numpy(self.labels[rows].astype(np.int64))
        entropy = self.torch.nn.functional.nll_loss(guess, labels)
        return (1 - self.tuning.labelled) * (
            noise - (wanted * guess).sum(1).mean()
        ) + self.tuning.labelled * entropy

    def judged(self, judge: Judge) -> float:
        """The torch network's loss on the held-out examples."""
        with self.torch.no_grad():
            return judge.loss(in_batches(self.answers, judge.inputs))

    def answers(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The torch network on NumPy inputs."""
        feed = {n: self.torch.from_numpy(np.asarray(x, np.float32)) for n, x in inputs.items()}
        return {n: y.numpy() for n, y in self.network.run(feed).items()}


def groups(network: FakeQuantized, rate: float) -> list[dict[str, Any]]:
    """Parameters with steps of the size of their own scale: a weight's channels' mean scale, a bias's magnitude."""
    found: list[dict[str, Any]] = []

    def add(parameter: Any, step: float) -> None:
        found.append({"params": [parameter], "lr": step, "start": step})

    for name, parameter in network.parameters.items():
        own = network.scales[name] if name in network.scales else parameter.abs() + 1e-3
        add(parameter, rate * float(own.detach().mean()))
    for scale in network.scales.values():
        if scale.requires_grad:
            add(scale, SCALE_RATE * rate * float(scale.detach().mean()))
    return found
