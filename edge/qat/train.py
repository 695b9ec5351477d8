"""Seeded fine-tuning of a quantised network, judged on examples it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.devices.errors import InputError
from trine.edge.lower import Lowered
from trine.edge.qat.network import FakeQuantized, load_torch
from trine.edge.quantize.layers import by_channel, weighted
from trine.edge.quantize.quantize import Plan
from trine.edge.quantize.replay import output_noise
from trine.edge.quantize.samples import Progress, in_batches, silent, size_of

HELD = 5  # every fifth example is held out


@dataclass(frozen=True)
class Tuning:
    """How to train. rate: step of Adam, in units of each weight's scale.

    labelled: share of the cross-entropy with labels in the loss; the rest is the distance to the float scores.
    """

    epochs: int = 4
    batch: int = 64
    rate: float = 0.05
    labelled: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """The plan that stands (the given one where training did not help) and its program.

    before, after: noise of the scores on held-out examples without and with training.
    """

    plan: Plan
    lowered: Lowered
    before: float
    after: float
    kept: bool


def fine_tune(
    graph: Graph,
    plan: Plan,
    inputs: Mapping[str, Array],
    labels: NDArray[np.int64] | None = None,
    tuning: Tuning | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Train a quantised network to give the float network's scores, through its own integers.

    graph: the float network. plan: how it is quantised (`Quantized.plan`). inputs: {name: float32 [n, *shape]}; every
    fifth example is held out to judge by. labels [n]: needed where `tuning.labelled` is not 0. Deterministic for a
    seed, one thread and one version of torch. Raises InputError for a network it cannot train, MissingExtra without
    torch.
    """
    tuning = tuning or Tuning()
    if tuning.labelled and labels is None:
        raise InputError("a loss with labels needs labels, one class number an example")
    torch, rng = load_torch(), np.random.default_rng(tuning.seed)
    plan = with_all_clips(plan)
    exact = in_batches(plan_outputs(graph, plan).run, inputs)
    first = plan.lower("exact")
    network = FakeQuantized(plan.graph, first.program.tensors, plan.clips, plan.bits)
    optimiser = torch.optim.Adam(groups(network, tuning.rate))
    held = np.arange(size_of(inputs)) % HELD == HELD - 1
    seen = np.flatnonzero(~held)
    for epoch in range(tuning.epochs):
        for group in optimiser.param_groups:
            group["lr"] = group["start"] * 0.5 * (1 + np.cos(np.pi * epoch / tuning.epochs))
        for rows in np.array_split(rng.permutation(seen), max(len(seen) // tuning.batch, 1)):
            answers = network.run(
                {n: torch.from_numpy(x[rows].astype(np.float32)) for n, x in inputs.items()}
            )
            loss = distance(torch, answers, {n: y[rows] for n, y in exact.items()})
            if tuning.labelled and labels is not None:
                scores = next(iter(answers.values())).flatten(1)
                wanted = torch.from_numpy(labels[rows].astype(np.int64))
                entropy = torch.nn.functional.cross_entropy(scores, wanted)
                loss = (1 - tuning.labelled) * loss + tuning.labelled * entropy
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        progress("fine-tuning", epoch + 1, tuning.epochs)
    left_out = {n: x[held] for n, x in inputs.items()}, {n: y[held] for n, y in exact.items()}
    return judged(plan, first, network.trained(), *left_out)


def with_all_clips(plan: Plan) -> Plan:
    """The plan with a clip for every weight, so that training moves weights and not their scales."""
    whole = {
        node.inputs[1]: np.abs(rows.reshape(len(rows), -1)).max(axis=1).astype(np.float32)
        for node in weighted(plan.graph)
        for rows in [by_channel(node, plan.graph.constants[node.inputs[1]])]
    }
    return replace(plan, clips={**whole, **plan.clips})


def plan_outputs(graph: Graph, plan: Plan) -> Graph:
    """The float network with the outputs that the plan is judged by: the scores before a closing Softmax."""
    return replace(graph, outputs=plan.graph.outputs)


def groups(network: FakeQuantized, rate: float) -> list[dict[str, Any]]:
    """Parameters with steps of the size of their own scale: a weight's channels' mean scale, a bias's magnitude."""
    found: list[dict[str, Any]] = []
    for name, parameter in network.parameters.items():
        own = (
            network.scales[name].mean() if name in network.scales else parameter.detach().abs().mean() + 1e-3
        )
        step = rate * float(own)
        found.append({"params": [parameter], "lr": step, "start": step})
    return found


def distance(torch: Any, answers: Mapping[str, Any], exact: Mapping[str, Array]) -> Any:
    """Squared distance of the scores over their energy, summed over outputs."""
    wanted = {name: torch.from_numpy(y.astype(np.float32)) for name, y in exact.items()}
    return sum(((answers[name] - y) ** 2).sum() / (y**2).sum() for name, y in wanted.items())


def judged(
    plan: Plan, first: Lowered, graph: Graph, held: Mapping[str, Array], exact: Mapping[str, Array]
) -> Tuned:
    """The trained network if its program comes nearer to the float network than the given one's."""
    made = replace(plan, graph=graph)
    lowered = made.lower("exact")
    before, after = (output_noise(exact, in_batches(p.program.run_float, held)) for p in (first, lowered))
    kept = after < before
    return Tuned(made if kept else plan, lowered if kept else first, before, after, kept)
