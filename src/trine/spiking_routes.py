"""What the command line's options mean to the neuromorphic pillar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices.errors import AnswerIsNo, InputError
from trine.options import Choices, parse_steps, spelled
from trine.presenting import say

if TYPE_CHECKING:
    from trine.compilers.battery_life import Duty
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Progress, Target
    from trine.devices import Device, NeuroChip
    from trine.neuromorphic.net import SpikingNet
    from trine.neuromorphic.nir_target import NirChoices
    from trine.neuromorphic.target import NeuromorphicOptions

CONVERSION = ("scheme", "lag", "input_bits", "weight_bits", "per_channel", "calibration_examples")
TRAINING = ("epochs", "learning_rate", "checkpoint", "seed")


def options_of(choices: Choices, duty: Duty) -> NeuromorphicOptions:
    """Options of the target. Raises InputError for options of --fine-tune without it."""
    from trine.neuromorphic.conversion.convert import ConversionOptions
    from trine.neuromorphic.target import NeuromorphicOptions

    chosen = choices.given(*CONVERSION)
    if choices.no_refit:
        chosen["refit"] = False
    if choices.steps is not None:
        chosen["steps"] = parse_steps(choices.steps)
    more = choices.given("chips", "seed")
    training = choices.given(*TRAINING)
    if choices.fine_tune is not None:
        from trine.neuromorphic.finetune.options import FineTuning

        more["fine_tune"] = FineTuning(choices.fine_tune, **training)
    elif set(training) - {"seed"}:
        named = ", ".join(spelled(name) for name in training if name != "seed")
        raise InputError(f"{named}: only with --fine-tune TRAIN.npz")
    if choices.lag is not None and choices.scheme != "rate":
        raise InputError(f"--lag {choices.lag}: only --scheme rate has a lag")
    return NeuromorphicOptions(ConversionOptions(**chosen), duty=duty, **more)


def nir(device: Device, data: Path | None, choices: Choices, options: Any) -> tuple[Target, NirChoices]:
    """Target and options of a .nir file. Raises InputError for options of a conversion, and for edge devices."""
    from trine.neuromorphic.nir_target import TARGET

    if device.kind != "neuromorphic":
        raise InputError(f"a .nir file holds a spiking net, {device.name} is of kind {device.kind}")
    wrong = choices.given(*CONVERSION, *TRAINING[:3], "steps", "no_refit", "fine_tune")
    if wrong:
        raise InputError(f"{', '.join(map(spelled, wrong))}: for networks, a .nir file holds spikes already")
    given = choices.given("slower_cycles", "seed") | ({} if choices.dt is None else {"dt_s": choices.dt})
    return TARGET, nir_choices(options, spikes=data, **given)


def nir_choices(options: NeuromorphicOptions, **more: Any) -> NirChoices:
    """Options that a .nir file shares with networks, and its own."""
    from trine.neuromorphic.nir_target import NirChoices

    return NirChoices(chips=options.chips, duty=options.duty, **more)


def check_nir(source: Path, device: NeuroChip) -> tuple[bool, str, Mapping[str, Any]]:
    """Whether a .nir file has a form in the chip's integers; (answer, text, object for --json)."""
    from trine.compilers.target import Job
    from trine.neuromorphic.nir_target import TARGET, NirChoices

    job = Job(source, device, Path(), options=NirChoices())
    program = TARGET.load(job)
    obstacles = TARGET.obstacles(program, device)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  " + "\n  ".join(obstacles))
    for step in TARGET.passes:
        program, _ = step.apply(program, job, None)
    placed = program.mapping
    assert placed is not None
    size, broken = TARGET.size(program), [str(v) for v in placed.violations]
    text = f"{source.name} for {device.name}: {size['neurons']:,} neurons, {placed.cores} cores"
    found = {"model": source.name, "device": device.name, "ok": not broken, "cores": placed.cores, "fit": [],
             "violations": broken, **size}  # fmt: skip
    return not broken, "\n  ".join([text, *broken]), found


def simulate(
    deployment: Deployment, device: NeuroChip, data: Path | None, choices: Choices, options: NeuromorphicOptions,
    progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """Run a deployment on examples."""
    refuse_lonely(choices)
    options = as_compiled(deployment, options, choices.chips)
    if choices.record is not None:
        if data is not None:
            raise InputError("--data, --record: one of the two")
        return simulate_record(deployment, device, choices.record, choices, options, progress)
    if data is None:
        raise InputError("nothing to run: give --data X.npz, or --record R for a WFDB record")
    if deployment.record.get("target") == "nir":
        from trine.neuromorphic import nir_target

        if choices.backend not in (None, "native") or choices.plots is not None:
            raise InputError("--backend, --plots: for converted networks, this deployment holds a .nir file")
        return nir_target.simulate(deployment, device, data, nir_choices(options), progress)
    return simulate_examples(deployment, device, data, choices, options, progress)


def refuse_lonely(choices: Choices) -> None:
    """Raise InputError for options without the one they belong to, and for pictures that cannot be written."""
    if choices.time_limit is not None and choices.backend not in ("lava", "sanafe"):
        raise InputError("--time-limit: only with --backend lava or --backend sanafe")
    if choices.plot_format is not None and choices.plots is None:
        raise InputError("--plot-format: only with --plots DIR")
    alone = choices.given("seconds", "encoder")
    if alone and choices.record is None:
        raise InputError(f"{', '.join(map(spelled, alone))}: only with --record")
    if choices.plots is not None:
        from trine.neuromorphic.pictures import refuse

        refuse(choices.plots)


def simulate_examples(
    deployment: Deployment, device: NeuroChip, data: Path, choices: Choices, options: NeuromorphicOptions,
    progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """Run a converted network on examples; with another simulator's word and pictures where they are asked for."""
    from trine.neuromorphic import simulate as spiking

    record: Mapping[str, Any] = spiking.simulate(
        deployment, device, data, options, progress, limit=choices.examples
    )
    if choices.backend not in (None, "native"):
        record = with_witness(record, deployment, device, data, choices, options, progress)
    if choices.plots is not None:
        record = with_pictures(record, deployment, device, data, choices, progress)
    return record


def simulate_record(
    deployment: Deployment, device: NeuroChip, path: Path, choices: Choices, options: NeuromorphicOptions,
    progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """Run a converted network on the beats that a continuous record holds, found by a spiking detector."""
    import tempfile
    import time

    import numpy as np

    from trine.neuromorphic import recordings
    from trine.neuromorphic.simulate import load

    recordings.refuse(load(deployment).inputs)
    began = time.perf_counter()
    progress("detecting beats", 0, 1)
    heard = recordings.listen(path, str(choices.encoder or "delta"), choices.seconds or recordings.SECONDS)
    progress("detecting beats", 1, 1)
    with tempfile.TemporaryDirectory(prefix="trine-record-") as folder:
        data = Path(folder) / f"{heard.record.name}.npz"
        with data.open("wb") as file:
            np.savez(file, allow_pickle=False, **heard.arrays)
        record = simulate_examples(deployment, device, data, choices, options, progress)
    chip = next((c["value"] for c in record["cost"] if c["name"] == "latency_s"), None)
    found = recordings.summary(heard, chip)
    took = time.perf_counter() - began
    say(
        f"{found['seconds']:.0f} s of signal in {took:.1f} s: {found['seconds'] / took:.0f} times real time, measured"
    )
    return {**record, "results": {**record["results"], "recording": found}}


def with_witness(
    record: Mapping[str, Any], deployment: Deployment, device: NeuroChip, data: Path, choices: Choices,
    options: NeuromorphicOptions, progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """The record with what another simulator saw. Raises AnswerIsNo where it must agree and does not."""
    from trine.compilers.examples import Examples
    from trine.neuromorphic.backends import witness
    from trine.neuromorphic.conversion.convert import draw_samples
    from trine.neuromorphic.mapping import map_net
    from trine.neuromorphic.simulate import load

    loaded = load(deployment)
    made, backend = loaded.spiking, str(choices.backend)
    count = choices.examples or witness.EXAMPLES[backend]
    sample = draw_samples(loaded.graph, Examples.open(data, loaded.inputs), count)
    placed = map_net(made.net, device, max_chips=options.chips, seed=options.seed)
    inputs = made.encode(loaded.network.encode(sample))
    seen = witness.ask(made.net, inputs, made.steps, backend, placed, choices.time_limit, progress)
    parity = seen.parity()
    if not parity.ok:
        wrong = [f"{k}: {p.differing:,} of {p.values:,}" for k, p in seen.populations.items() if p.differing]
        raise AnswerIsNo(f"{backend} disagrees with the native engine:\n  " + "\n  ".join(wrong))
    results = record["results"]
    both = [*results["parity"], parity.as_json()]
    return {**record, "parity": both, "results": {**results, "parity": both, "backend": seen.as_json()}}


def with_pictures(
    record: Mapping[str, Any], deployment: Deployment, device: NeuroChip, data: Path, choices: Choices,
    progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """The record with the pictures that were drawn."""
    from trine.compilers.examples import Examples
    from trine.neuromorphic.pictures import Shown, draw
    from trine.neuromorphic.simulate import load

    assert choices.plots is not None
    loaded = load(deployment)
    shown = Shown(loaded, device, record, Examples.open(data, loaded.inputs))
    found = draw(shown, choices.plots, choices.endings, progress)
    return {**record, "results": {**record["results"], "plots": {"folder": str(choices.plots), **found}}}


def verify(deployment: Deployment, device: NeuroChip, options: NeuromorphicOptions) -> Mapping[str, Any]:
    """Prove a deployment again."""
    from trine.neuromorphic import simulate as spiking

    options = as_compiled(deployment, options, None)
    if deployment.record.get("target") == "nir":
        from trine.neuromorphic import nir_target

        return nir_target.verify(deployment, device, nir_choices(options))
    return spiking.verify(deployment, device, options)


def as_compiled(
    deployment: Deployment, options: NeuromorphicOptions, chips: int | None
) -> NeuromorphicOptions:
    """Options with as many chips as the deployment was compiled for, unless the user says otherwise."""
    if chips is not None or not deployment.has("mapping"):
        return options
    stored = json.loads(deployment.artifact("mapping").read_text(encoding="utf-8"))
    return replace(options, chips=max(options.chips, int(stored["chips"])))


def export_nir(source: Path, out: Path, allow_lossy: bool, dt_s: float) -> dict[str, Any]:
    """Write a deployment's net, or a .nir file's, as a .nir file; what was written and lost. Raises InputError."""
    from trine.compilers.deployment import check_hashes, open_deployment
    from trine.neuromorphic.net_file import load_net, side_path
    from trine.neuromorphic.nir_file import read_nir
    from trine.neuromorphic.nir_write import write_nir

    if out.suffix != ".nir":
        raise InputError(f"-o {out}: a NIR file ends in .nir")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"-o {out}: " + ("a folder is there" if out.is_dir() else "no such folder"))
    if source.suffix == ".nir":
        net: SpikingNet = read_nir(source, dt_s)
    else:
        deployment = open_deployment(source)
        check_hashes(deployment)
        net = load_net(deployment.artifact("spiking_net"))
    lost = write_nir(net, out, allow_lossy)
    return {
        "file": str(out), "neurons": net.neurons, "lost": list(lost),
        "exact": str(side_path(out)) if lost else None,
    }  # fmt: skip
