"""Fine-tune a converted network: train, keep the state, choose an epoch, lower to whole numbers again, prove it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.compilers.target import Progress, silent
from trine.devices.errors import AnswerIsNo, InputError, MissingExtra
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.convert import Converted, spike, whole_numbers
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.finetune.checkpoint import Identity, digest, load, save
from trine.neuromorphic.finetune.options import FineTuning
from trine.neuromorphic.finetune.training_data import TrainingSet, load_training

if TYPE_CHECKING:
    from trine.neuromorphic.finetune.training import Trainer

PROVED = 256  # held-out examples on which the trained and the spiking network are compared
SCHEMES = ("exact", "rate", "ttfs")


@dataclass(frozen=True)
class Tuned:
    """A converted network with trained weights, and the record of the training for `fine_tuning.json`."""

    converted: Converted
    record: dict[str, Any]

    @property
    def summary(self) -> str:
        """A line for the pass."""
        r, before, after, proof = (
            self.record,
            self.record["before"],
            self.record["after"],
            self.record["proof"],
        )
        return (
            f"epoch {after['epoch']} of {len(r['epochs']) - 1}; {r['held_out']} held out: loss "
            f"{before['held_out_loss']:.4f} -> {after['held_out_loss']:.4f}, accuracy {before['accuracy']:.2%} -> "
            f"{after['accuracy']:.2%}; {proof['differing']} of {proof['values']:,} counts and membranes differ from "
            "the trained ones"
        )


def fine_tune(converted: Converted, options: FineTuning, progress: Progress = silent) -> Tuned:
    """Train the weights, biases and thresholds of a converted network in its scheme, at its number of steps.

    With options.checkpoint, a run that was stopped goes on from its last whole epoch and ends as it would have ended.
    The epoch of least loss on held-out patients is kept; that may be epoch 0, the network as it was converted. Raises
    InputError for a scheme without T, bad options, data or checkpoint; MissingExtra without torch or snntorch;
    AnswerIsNo where the chip's integers do not compute what was trained, a defect of Trine.
    """
    if converted.options.scheme not in SCHEMES:
        raise InputError(
            f"fine-tuning trains counts in T levels, which scheme {converted.options.scheme} does not have: use "
            f"--scheme {' or '.join(SCHEMES)}"
        )
    data = load_training(converted.graph, converted.levels.net, options)
    try:
        import snntorch  # noqa: F401  # missing before work is begun
        import torch
    except ImportError as error:
        raise MissingExtra(error.name or "snntorch", "neuromorphic", "fine-tuning") from None
    from trine.neuromorphic.finetune.training import Trainer, repeatable

    with repeatable(options.seed):
        trainer = Trainer(converted, data, options)
        identity = identity_of(converted, data, options, torch.__version__)
        run(trainer, identity, options, progress)
        tuned = converted
        if trainer.chosen.epoch:
            levels = trainer.tuned()
            tuned = replace(
                converted, levels=levels, network=whole_numbers(levels, converted.options), spiking=None
            )
        proof = proved(trainer, tuned, data)
    return Tuned(tuned, record_of(trainer, data, options, proof))


def run(trainer: Trainer, identity: Identity, options: FineTuning, progress: Progress) -> None:
    """All epochs that are left; the state is kept after each."""
    state = None if options.checkpoint is None else load(options.checkpoint, identity)
    if state is None:
        trainer.begin()
    else:
        trainer.restore(state)
    while len(trainer.history) <= options.epochs:
        trainer.epoch(progress)
        if options.checkpoint is not None:
            save(options.checkpoint, identity, trainer.state())
    progress("fine-tuning", options.epochs * trainer.batches, options.epochs * trainer.batches)


def identity_of(converted: Converted, data: TrainingSet, options: FineTuning, torch: str) -> Identity:
    """What a checkpoint must be of."""
    kept = {k: v for k, v in asdict(options).items() if k not in ("train", "checkpoint")}
    named = ", ".join(f"{k} {v}" for k, v in sorted(kept.items()))
    return Identity(
        named, data.digest, digest(converted.levels, repr(converted.options)), torch.split("+")[0]
    )


def proved(trainer: Trainer, tuned: Converted, data: TrainingSet) -> dict[str, int]:
    """The trained network against the spiking net on the engine, count by count and membrane by membrane.

    Raises AnswerIsNo where anything differs.
    """
    inputs, _ = data.take(data.judged[:PROVED])
    trainer.net.load(trainer.best)
    trained = trainer.net.answer(inputs)
    made = spike(tuned).spiking
    assert made is not None
    ran = run_spiking(made, tuned.network, tuned.network.encode(inputs), keep=True)
    output = tuned.network.output.name
    membrane = trained[output] * (1 << ACTIVATION_SHIFT)
    pairs = [(membrane, ran.membrane), *((trained[k], found) for k, found in ran.counts.items())]
    differing = sum(int(np.count_nonzero(a != b)) for a, b in pairs)
    values = sum(b.size for _, b in pairs)
    if differing:
        raise AnswerIsNo(
            f"fine-tuning: {differing} of {values} counts and membranes of the spiking net are not those that were "
            "trained; this is a defect of Trine: report it"
        )
    return {"examples": len(membrane), "values": values, "differing": differing}


def record_of(
    trainer: Trainer, data: TrainingSet, options: FineTuning, proof: dict[str, int]
) -> dict[str, Any]:
    """Loss by epoch, before and after on held-out examples, proof."""
    epochs = [asdict(epoch) for epoch in trainer.history]
    chosen = {k: v for k, v in asdict(options).items() if k not in ("train", "checkpoint")}
    return {
        "options": chosen,
        "train": {"file": options.train.name, "sha256": data.digest},
        "held_out": data.held_out,
        "held_out_examples": len(data.judged),
        "epochs": epochs,
        "before": epochs[0],
        "after": asdict(trainer.chosen),
        "proof": proof,
    }
