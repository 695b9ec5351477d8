"""How a quantised network is fine-tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """How to train.

    epochs: passes over `examples` examples, drawn anew for each; with labels, a class of n examples is drawn as often
    as sqrt(n) says. batch: examples a step. rate: step of Adam at the start, in units of each weight's scale; it falls
    to zero in a half cosine. labelled: share of the cross-entropy with labels in the loss; the rest is the distance to
    the float scores (see `Judge`). seed: of every draw. amplitude, noise: each time an example is shown, every input
    is scaled by exp(amplitude z) and gets noise of `noise` times its standard deviation, z normal; the float network
    answers the same changed input.
    """

    epochs: int = 12
    batch: int = 64
    rate: float = 0.02
    labelled: float = 0.0
    seed: int = 0
    examples: int = 8192
    amplitude: float = 0.2
    noise: float = 0.1

    def problems(self) -> list[str]:
        """Every option out of range, and what to give instead."""
        least = {name: getattr(self, name) for name in ("epochs", "batch", "examples")}
        found = [f"{name} is {value}: give at least 1" for name, value in least.items() if value < 1]
        if not (math.isfinite(self.rate) and self.rate > 0):
            found.append(f"learning rate is {self.rate}: give a number above 0; 0.02 is usual")
        if not 0 <= self.labelled <= 1:
            found.append(f"labelled is {self.labelled}: give a share from 0 to 1")
        if not 0 <= self.seed < 2**63:
            found.append(f"seed is {self.seed}: give 0 to {2**63 - 1}")
        for name in ("amplitude", "noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                found.append(f"{name} is {getattr(self, name)}: give 0 or more")
        return found
