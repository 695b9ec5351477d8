"""What a user may choose about fine-tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from trine.devices.errors import InputError


@dataclass(frozen=True)
class FineTuning:
    """Options of fine-tuning.

    train: .npz with the network's inputs, labels `y` and, where known, patients `group`. epochs: passes over
    `examples` examples, drawn anew for each. learning_rate: of Adam at the start; it falls to zero in a half cosine.
    weight_rate: learning rate of the weights as a share of that of biases and thresholds; 0 leaves the weights alone.
    seed: of every draw. checkpoint: folder in which the state is kept after each epoch, and from which a stopped run
    goes on; none is kept without. batch: examples a step. held_out: share of the patients (without `group`: of the
    examples) that is not trained on and chooses the epoch. distillation: share of the loss that pulls to the float
    network's answers instead of the labels. amplitude, noise: each time an example is shown, every input is scaled by
    exp(amplitude z) and gets noise of `noise` times its standard deviation, z normal; the float network answers the
    same changed input.
    """

    train: Path
    epochs: int = 3
    learning_rate: float = 1e-3
    seed: int = 0
    checkpoint: Path | None = None
    batch: int = 128
    examples: int = 8192
    held_out: float = 0.2
    distillation: float = 1.0
    amplitude: float = 0.2
    noise: float = 0.1
    weight_rate: float = 0.0

    def problems(self) -> list[str]:
        """Every option out of range, and what to give instead."""
        found = []
        if self.epochs < 1:
            found.append(f"epochs is {self.epochs}: give at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            found.append(f"learning rate is {self.learning_rate}: give a number above 0; 0.001 is usual")
        if not 0 <= self.seed < 2**63:
            found.append(f"seed is {self.seed}: give 0 to {2**63 - 1}")
        if self.batch < 1:
            found.append(f"batch is {self.batch}: give at least 1")
        if self.examples < 1:
            found.append(f"examples is {self.examples}: give at least 1")
        if not 0 < self.held_out < 1:
            found.append(f"held_out is {self.held_out}: give a share above 0 and below 1")
        if not 0 <= self.distillation <= 1:
            found.append(f"distillation is {self.distillation}: give a share from 0 to 1")
        for name, value in (
            ("amplitude", self.amplitude), ("noise", self.noise), ("weight_rate", self.weight_rate),
        ):  # fmt: skip
            if not (math.isfinite(value) and value >= 0):
                found.append(f"{name} is {value}: give 0 or more")
        if self.checkpoint is not None and self.checkpoint.exists() and not self.checkpoint.is_dir():
            found.append(f"checkpoint {self.checkpoint} is a file: name a folder")
        return found

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        found = self.problems()
        if found:
            raise InputError("fine-tuning: " + "; ".join(found))
