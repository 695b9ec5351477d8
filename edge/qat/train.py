"""Fine-tuning of a quantised network, judged on examples it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.devices.errors import InputError
from trine.edge.lower import Lowered
from trine.edge.qat.judge import Judge
from trine.edge.qat.network import FakeQuantized, repeatable
from trine.edge.qat.options import Tuning
from trine.edge.qat.trainer import Trainer
from trine.edge.quantize.layers import by_channel, weighted
from trine.edge.quantize.quantize import Plan
from trine.edge.quantize.samples import Progress, silent, size_of, spread_indices

HELD = 5  # every fifth example is held out where nobody says which
JUDGED = 4096  # at most so many held-out examples judge an epoch, evenly spread


@dataclass(frozen=True)
class Tuned:
    """The plan that stands (the given one where training did not help) and its program.

    before, after: loss of the integer program on held-out examples without and with training; with `labelled` 0 it is
    the noise of the scores over their energy. losses: of the torch network on them after each epoch, the first before.
    """

    plan: Plan
    lowered: Lowered
    before: float
    after: float
    kept: bool
    losses: tuple[float, ...] = ()

    @property
    def epoch(self) -> int:
        """The epoch of least loss."""
        return int(np.argmin(self.losses)) if self.losses else 0


def fine_tune(
    graph: Graph,
    plan: Plan,
    inputs: Mapping[str, Array],
    labels: NDArray[np.int64] | None = None,
    tuning: Tuning | None = None,
    progress: Progress = silent,
    held: NDArray[np.bool_] | None = None,
    requantize: str = "exact",
) -> Tuned:
    """Train a quantised network to give the float network's scores, through its own integers.

    graph: the float network. plan: how it is quantised (`Quantized.plan`). inputs: {name: float32 [n, *shape]}. labels:
    class numbers [n], needed where `tuning.labelled` is not 0. held [n]: which examples are not trained on and choose
    the epoch; every fifth where it is not given. The result stands only where its integer program is better on them.
    Deterministic for a seed, a machine and a version of torch. Raises InputError for a network it cannot train,
    MissingExtra without torch.
    """
    tuning = tuning or Tuning()
    problems = tuning.problems()
    if tuning.labelled and labels is None:
        problems.append("a loss with labels needs labels, one class number an example")
    if problems:
        raise InputError("fine-tuning: " + "; ".join(problems))
    held = np.arange(size_of(inputs)) % HELD == HELD - 1 if held is None else held
    others = np.flatnonzero(held)
    rows = others[spread_indices(len(others), JUDGED)]
    exact = replace(graph, outputs=plan.graph.outputs)  # the scores before a closing Softmax
    judge = Judge.of(
        exact,
        {n: x[rows] for n, x in inputs.items()},
        None if labels is None else labels[rows],
        tuning.labelled,
    )
    plan = with_all_clips(plan)
    first = plan.lower(requantize)
    network = FakeQuantized(plan.graph, first.program.tensors, plan.clips, plan.bits)
    teacher = FakeQuantized(exact, {}, {}, {})
    trainer = Trainer(network, teacher, inputs, labels, np.flatnonzero(~held), tuning)
    with repeatable():
        losses = trainer.run(judge, progress)
    trained, clips = network.trained()
    made = replace(plan, graph=trained, clips=clips)
    lowered = made.lower(requantize)
    before, after = judge.program(first.program), judge.program(lowered.program)
    kept = after < before
    return Tuned(made if kept else plan, lowered if kept else first, before, after, kept, tuple(losses))


def with_all_clips(plan: Plan) -> Plan:
    """The plan with a clip for every weight, so that training moves weights and not their scales by accident."""
    whole = {
        node.inputs[1]: np.abs(rows.reshape(len(rows), -1)).max(axis=1).astype(np.float32)
        for node in weighted(plan.graph)
        for rows in [by_channel(node, plan.graph.constants[node.inputs[1]])]
    }
    return replace(plan, clips={**whole, **plan.clips})
