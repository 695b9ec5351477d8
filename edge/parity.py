"""Every print of a program against its definition: C on the host, C on the emulated core, QDQ in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trine.compilers.examples import Examples
from trine.compilers.graph import Array
from trine.compilers.report import Parity
from trine.edge.c.elementwise import IN_FLOAT
from trine.edge.c.planned import alignment
from trine.edge.emulate import Entry, HostCompiler, HostMachine, Machine
from trine.edge.operators import kernels
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import BATCH, run_qdq
from trine.edge.quantize.replay import decibels, noise_ratio

# Of a program against onnxruntime's float32, where a kernel has a meaning of its own (`Kernel.apart` over 1).
CLOSE_DB = 30.0
CLOSE_INT16_DB = 60.0  # of int16 activations, where only the order of sums differs
OWN_INT16_DB = 40.0  # as CLOSE_DB, of a layer of int16 activations
FLOAT_THERE = "float32 there"  # said of a layer whose meaning in integers is our own
FOLLOWED = 4  # batches whose differences are followed to where they begin
FLOAT_TOLERANCE = 1e-4  # of an output's greatest value: float32 sums in another order, and other functions


@dataclass(frozen=True)
class Sample:
    """Examples a print is compared on: float inputs, their int8 codes, and the definition's int8 outputs."""

    inputs: Mapping[str, Array]
    codes: Mapping[str, Int8]
    outputs: Mapping[str, Int8]

    @property
    def count(self) -> int:
        """How many examples."""
        return len(next(iter(self.codes.values())))

    def head(self, count: int) -> Sample:
        """`count` of them, evenly spread."""
        take = np.linspace(0, self.count - 1, min(count, self.count)).astype(int)
        return Sample(
            *({k: v[take] for k, v in part.items()} for part in (self.inputs, self.codes, self.outputs))
        )


def draw(program: IntegerProgram, examples: Examples, count: int) -> Sample:
    """`count` examples, evenly spread over the file, through the definition."""
    chosen = np.unique(np.linspace(0, examples.count - 1, min(count, examples.count)).astype(int))
    parts: dict[str, list[Array]] = {name: [] for name in program.inputs}
    start = 0
    for batch in examples.batches(256):
        size = len(next(iter(batch.values())))
        here = chosen[(chosen >= start) & (chosen < start + size)] - start
        for name in program.inputs:
            parts[name].append(batch[name][here])
        start += size
    inputs = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    codes = program.quantize(inputs)
    outputs: dict[str, list[Int8]] = {name: [] for name in program.outputs}
    for i in range(0, len(chosen), 64):
        for name, q in program.run({k: v[i : i + 64] for k, v in codes.items()}).items():
            outputs[name].append(q)
    return Sample(inputs, codes, {name: np.concatenate(pieces) for name, pieces in outputs.items()})


def difference(
    against: str,
    program: IntegerProgram,
    sample: Sample,
    found: Mapping[str, Int8],
    exact: bool = True,
    note: str = "",
) -> Parity:
    """Compare outputs with the definition's: equal, or of floats within FLOAT_TOLERANCE of the greatest value."""
    gaps = [gaps_of(found[n], sample.outputs[n]) for n in program.outputs]
    gap = np.concatenate(gaps)
    if any(sample.outputs[n].dtype.kind == "f" for n in program.outputs):
        note = note or f"floats: a step is {FLOAT_TOLERANCE:g} of the output's greatest value"
    return Parity(against, sample.count, gap.size, int((gap > 0).sum()), int(gap.max(initial=0)), exact, note)


def gaps_of(found: Array, wanted: Array) -> NDArray[np.int64]:
    """Difference of each value in output steps; of floats in whole FLOAT_TOLERANCE of the greatest finite value."""
    if wanted.dtype.kind != "f":
        return np.abs(found.astype(np.int64) - wanted.astype(np.int64)).ravel()
    finite = np.isfinite(wanted)
    step = FLOAT_TOLERANCE * max(float(np.abs(wanted[finite]).max(initial=0)), 1e-30)
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.floor(np.abs(found.astype(np.float64) - wanted) / step)
    return (
        np.where(same, 0, np.where(np.isfinite(steps), np.minimum(steps, 1e9), 1e9)).astype(np.int64).ravel()
    )


def entry_of(program: IntegerProgram, name: str) -> Entry:
    """The C entry function of a program printed under `name`."""
    sizes = [tuple(program.tensors[n].bytes for n in names) for names in (program.inputs, program.outputs)]
    return Entry(f"trine_{name}_run", sizes[0], sizes[1], alignment(program))


def run_machine(machine: Machine | HostMachine, program: IntegerProgram, sample: Sample) -> dict[str, Int8]:
    """int8 outputs of a machine on a sample."""
    flat = [as_bytes(sample.codes[name]) for name in program.inputs]
    outputs = machine.run(flat)
    return {
        name: out.view(program.tensors[name].dtype).reshape(sample.count, *program.tensors[name].shape)
        for name, out in zip(program.outputs, outputs, strict=True)
    }


def as_bytes(values: Array) -> Int8:
    """Stored values [n, ...] as the bytes of each example, int8 [n, bytes]."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return flat.view(np.int8)


def on_host(program: IntegerProgram, sample: Sample, c_dir: Path, entry: Entry) -> Parity:
    """The emitted C, compiled by this machine's compiler."""
    compiler = HostCompiler()
    with HostMachine(c_dir, entry, compiler) as machine:
        return difference(
            f"C on the host ({compiler.version})", program, sample, run_machine(machine, program, sample)
        )


def in_onnxruntime(program: IntegerProgram, sample: Sample, model: bytes) -> list[Parity]:
    """The QDQ print, with all graph optimisations and with none."""
    import onnxruntime

    results = []
    inputs = dict(sample.inputs)
    for optimize in (True, False):
        found = run_qdq(model, program, inputs, optimize)
        what = "all" if optimize else "no"
        against = f"onnxruntime {onnxruntime.__version__}, {what} graph optimisations"
        parity = difference(against, program, sample, found)
        if parity.differing:
            note = explain(program, sample, model, found, optimize)
            parity = difference(against, program, sample, found, exact=not note, note=note)
        results.append(parity)
    return results


def explain(
    program: IntegerProgram, sample: Sample, model: bytes, found: Mapping[str, Int8], optimize: bool
) -> str:
    """Why onnxruntime's outputs differ, or "" where nothing explains it.

    Without optimisations it dequantises, sums in float32 and quantises: an integer sum whose exact value lies on a
    half, or within float32's rounding of one, may round to the other side there, and what follows differs. Each
    differing example is followed to the first tensor that is not equal, and the distance of that value from a half
    is measured.
    """
    wrong = np.zeros(sample.count, bool)
    for name in program.outputs:
        wrong |= (found[name] != sample.outputs[name]).reshape(sample.count, -1).any(axis=1)
    wide = any(program.tensors[step.output].dtype == "int16" for step in program.steps)
    if (
        optimize and not wide
    ):  # of int16 nothing is fused: the optimised graph sums in float32 as the other does
        used = [kernels()[step.kernel] for step in program.steps]
        floats = sorted({kernel.name for kernel in used if kernel.apart})
        gap = largest_gap(program, sample, found)
        # What follows a layer with a meaning of its own may enlarge its steps: there the signal decides.
        own = any(kernel.apart > 1 for kernel in used)
        close = floats and (gap <= 1 or (own and least_decibels(program, sample, found) >= CLOSE_DB))
        if close or not any(map(in_float, program.steps)):
            return f"{', '.join(floats)}: computed in float32 there, up to {gap} steps apart" if close else ""
    known: list[str] = []
    # Float sums depend on how many examples run together: each is followed in the batch it differed in.
    for start in list(dict.fromkeys(np.flatnonzero(wrong) // BATCH * BATCH))[:FOLLOWED]:
        batch = {name: x[start : start + BATCH] for name, x in sample.inputs.items()}
        firsts = first_differences(program, model, batch, optimize and not wide)
        known += [firsts[i] for i in np.flatnonzero(wrong[start : start + BATCH])]
    if not all(known):
        close = optimize and least_decibels(program, sample, found) >= CLOSE_INT16_DB
        return f"int16 sums in {FLOAT_THERE}, in another order" if close else ""
    counted: dict[str, int] = {}
    for text in known:
        counted[text] = counted.get(text, 0) + 1
    listed = "; ".join(f"{text}: {count}" for text, count in sorted(counted.items()))
    where = "" if any(FLOAT_THERE in text for text in counted) else " at ties"
    return f"{int(wrong.sum())} examples, float32 rounding of onnxruntime's own sums{where}. First there: {listed}"


def largest_gap(program: IntegerProgram, sample: Sample, found: Mapping[str, Int8]) -> int:
    """Greatest difference in output steps."""
    return max(
        int(np.abs(found[n].astype(int) - sample.outputs[n].astype(int)).max(initial=0))
        for n in program.outputs
    )


def least_decibels(program: IntegerProgram, sample: Sample, found: Mapping[str, Int8]) -> float:
    """SQNR in dB of the definition's outputs against what was found, of the output where it is least."""
    ratios = []
    for name in program.outputs:
        theirs, ours = (program.tensors[name].dequantize(q[name]) for q in (found, sample.outputs))
        ratios.append(noise_ratio(theirs, ours))
    return decibels(max(ratios))


def in_float(step: Step) -> bool:
    """Whether a step of stated scales is rounded in float32, as ONNX defines it: no integer rule is equal.

    onnxruntime's QLinearAdd and QLinearMul round such sums by a formula of each processor's own (fused multiply-adds on
    x86, multipliers of 22 bits on Arm), so that ties fall differently.
    """
    return getattr(step.requantizer, "by_float", None) is not None or step.attributes.get("wide") == IN_FLOAT


def first_differences(
    program: IntegerProgram, model: bytes, inputs: Mapping[str, Array], fused: bool = False
) -> list[str]:
    """For each example the first step where onnxruntime leaves the program by one output step, or "".

    A layer with a meaning of its own may leave it by `Kernel.apart` steps, or by CLOSE_DB (OWN_INT16_DB) of its signal.
    fused: with all optimisations, where otherwise only steps that are `in_float` may leave it.
    """
    from trine.edge.qdq import run_qdq_tensors

    theirs = run_qdq_tensors(model, program, dict(inputs), fused)
    codes = program.quantize(inputs)
    count = len(next(iter(codes.values())))
    found = [""] * count
    settled = np.zeros(count, bool)
    for step, q in program.trace(codes):
        if step.output not in theirs:
            continue
        gap = np.abs(q.astype(int) - theirs[step.output].astype(int)).reshape(count, -1)
        kernel, tensor = kernels()[step.kernel], program.tensors[step.output]
        for i in np.flatnonzero(~settled & (gap.max(axis=1) > 0)):
            settled[i] = True
            most, reals = int(gap[i].max()), (tensor.dequantize(v[i]) for v in (theirs[step.output], q))
            close = OWN_INT16_DB if tensor.dtype == "int16" else CLOSE_DB
            if tensor.dtype == "int16" and most <= 1 + int(step.attributes.get("off", kernel.apart)):
                found[i] = f"{step.name} ({step.kernel}, int16: {FLOAT_THERE}, up to {most} steps)"
            elif kernel.apart > 1 and (most <= kernel.apart or decibels(noise_ratio(*reals)) >= close):
                found[i] = f"{step.name} ({step.kernel}: {FLOAT_THERE}, integers here)"
            elif most == 1 and (in_float(step) or kernel.apart == 1 if fused else kernel.apart <= 1):
                off = f"{int((gap[i] > 0).sum())} of {gap.shape[1]} values by one step"
                found[i] = f"{step.name} ({step.kernel}, {off})"
    return found


def vectors(sample: Sample, program: IntegerProgram, count: int = 64) -> dict[str, Array]:
    """Int8 inputs and outputs to store with a deployment: in_NAME, out_NAME."""
    head = sample.head(count)
    stored: dict[str, Array] = {f"in_{name}": head.codes[name] for name in program.inputs}
    stored.update({f"out_{name}": head.outputs[name] for name in program.outputs})
    return stored


def stored_sample(program: IntegerProgram, arrays: Mapping[str, Array]) -> Sample:
    """A sample from stored vectors; its float inputs are the dequantised codes, which quantise back to them."""
    codes = {name: arrays[f"in_{name}"] for name in program.inputs}
    inputs = {name: program.tensors[name].dequantize(q) for name, q in codes.items()}
    return Sample(inputs, codes, {name: arrays[f"out_{name}"] for name in program.outputs})


def all_ok(parities: Sequence[Parity]) -> bool:
    """Whether nothing differs without an explanation."""
    return all(parity.ok for parity in parities)
