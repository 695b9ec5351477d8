"""From a program to the same program whose first layers run band by band.

Every band is made of ordinary steps: the rows of the input it needs (a Slice), each layer on the rows the band needs,
padded where the image really ends and nowhere else, and a Concat of all bands into the cut, which the memory plan lets
the bands write straight into. Rows that two bands both need are computed twice. Bands of equal geometry are equal C
functions and equal constants, and the prints store equal ones once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import gcd

import numpy as np

from trine.devices.errors import InputError
from trine.edge.patches.region import Band, Region, bands, region_at
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.streaming.rules import Along, stream_of

WORD = 4  # bytes that places in the arena are multiples of: bands that are whole words lie where the cut has them


def patched(program: IntegerProgram, cut: str, count: int) -> IntegerProgram:
    """The program with the layers before the tensor `cut` run in about `count` bands, one after the other.

    Bands have equal rows but for the last, in whole words of memory where that is possible, so there may be fewer of
    them; `count` 1 gives the program back. Its outputs are the same bits. Raises InputError where the layers before
    the cut do not work on bands, with the cuts that there are.
    """
    region = region_at(program, cut)
    length = program.tensors[cut].shape[region.axes[cut]]
    if not 1 <= count <= length:
        raise InputError(f"{cut} has {length} rows: choose from 1 to {length} patches, not {count}")
    rows = band_rows(program.tensors[cut], region.axes[cut], count)
    return program if rows >= length else split(program, region, rows)


def band_rows(tensor: QuantizedTensor, axis: int, count: int) -> int:
    """Rows of a band: enough for `count` of them, in whole words."""
    row = tensor.bytes // tensor.shape[axis]
    whole = WORD // gcd(WORD, row)
    return -(-tensor.shape[axis] // count // whole) * whole


def split(program: IntegerProgram, region: Region, rows: int) -> IntegerProgram:
    """The program with a region run in bands of `rows` rows of its cut."""
    builder, axis = Builder(program, region, dict(program.tensors)), region.axes[region.cut]
    pieces = bands(program.tensors[region.cut].shape[axis], rows)
    joined = [builder.add_band(i, band) for i, band in enumerate(pieces)]
    concat = Step("concat", f"{region.cut}_patches", tuple(joined), region.cut, {}, {"axis": axis})
    rest = (step for i, step in enumerate(program.steps) if i not in region.steps)
    made = replace(program, steps=(*builder.steps, concat, *rest), tensors=builder.tensors)
    inner = {program.steps[i].output for i in region.steps} - {region.cut}
    return replace(made, tensors={name: t for name, t in made.tensors.items() if name not in inner})


@dataclass
class Builder:
    """Bands as they are added. tensors: the program's and theirs."""

    program: IntegerProgram
    region: Region
    tensors: dict[str, QuantizedTensor]
    steps: list[Step] = field(default_factory=list)

    def add_band(self, number: int, band: Band) -> str:
        """Add the steps of one band of the cut; returns the tensor that holds it."""
        needs = self.region.needs(self.program, band)
        held = {name: (name, (0, self.rows(name))) for name in self.program.inputs}
        for i in self.region.steps:
            step, along = self.program.steps[i], self.region.along[i]
            output = f"{step.output}@{number}"
            inputs, pads = [], (0, 0)
            for name, wanted, outside in self.region.reads(self.program, i, needs[step.output]):
                pads = outside
                inputs.append(self.taken(held, name, wanted, number))
            self.declare(step.output, output, needs[step.output])
            made = on_rows(step, along, pads, needs[step.output][1] - needs[step.output][0])
            self.steps.append(
                replace(made, name=f"{step.name}@{number}", inputs=tuple(inputs), output=output)
            )
            held[step.output] = output, needs[step.output]
        return f"{self.region.cut}@{number}"

    def rows(self, name: str) -> int:
        """Rows of a whole tensor."""
        return self.program.tensors[name].shape[self.region.axes[name]] if name in self.region.axes else 0

    def declare(self, name: str, part: str, band: Band) -> None:
        """Declare a tensor of some rows of another."""
        tensor, axis = self.program.tensors[name], self.region.axes[name]
        shape = (*tensor.shape[:axis], band[1] - band[0], *tensor.shape[axis + 1 :])
        self.tensors[part] = replace(tensor, name=part, shape=shape)

    def taken(self, held: dict[str, tuple[str, Band]], name: str, wanted: Band, number: int) -> str:
        """The tensor that holds just these rows: what is held, or a Slice of it, made once a band."""
        source, (first, end) = held[name]
        if (first, end) == wanted:
            return source
        part = f"{name}@{number}_{wanted[0]}_{wanted[1]}"
        if part in self.tensors:
            return part
        self.declare(name, part, wanted)
        shape, axis = self.tensors[part].shape, self.region.axes[name]
        starts = tuple(wanted[0] - first if a == axis else 0 for a in range(len(shape)))
        of = {"starts": starts, "steps": (1,) * len(shape), "counts": shape}
        attributes = {"op": "Slice", "of": of, "fill": self.program.tensors[name].zero_point}
        self.steps.append(Step("move", f"rows of {part}", (source,), part, {}, attributes))
        return part


def on_rows(step: Step, along: Along, pads: Band, rows: int) -> Step:
    """A step for `rows` rows of its output, with `pads` rows of padding before and after those it reads."""
    rule = stream_of(step.kernel)
    if rule is None:
        raise ValueError(f"{step.name}: no rule for {step.kernel}")
    made = rule.part(step, along, pads, rows)
    # For a single row streaming hands a dilated window the rows it reads alone; a band has those between too.
    kept = {name: step.attributes[name] for name in ("dilations",) if name in step.attributes}
    return replace(made, attributes={**made.attributes, **kept}) if kept else made


def multiply_accumulates(program: IntegerProgram) -> int:
    """Multiply-accumulates of the layers with weights in one inference; a layer of padding counts as computed."""
    total = 0
    for step in program.steps:
        weight = step.constants.get("weight")
        if weight is None or not weight.size:
            continue
        # conv_transpose spreads each place of its input, the others gather each place of their output.
        over = step.inputs[0] if step.kernel == "conv_transpose" else step.output
        shape = program.tensors[over].shape
        places = program.tensors[over].size // (
            shape[-1] if step.kernel in ("dense", "experts") else shape[0]
        )
        total += places * int(np.prod(weight.shape, dtype=np.int64))
    return total
