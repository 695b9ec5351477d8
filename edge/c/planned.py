"""The memory planner's view of a program, and the plan: what each layer reads, writes and needs beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trine.devices.errors import AnswerIsNo
from trine.edge.c.layout import LaidOut
from trine.edge.c.movement import placed_parts, view_at
from trine.edge.c.schedule import Schedule
from trine.edge.c.traffic import traffic_of
from trine.edge.memory import Bank, Buffer, Operation, Plan, plan_banks, plan_memory
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram


def operations_of(laid_out: LaidOut, schedule: Schedule) -> tuple[list[Operation], list[Buffer]]:
    """The memory planner's view of a laid-out program."""
    program = laid_out.program
    external = {*program.inputs, *program.outputs}
    buffers = [
        Buffer(t.name, t.bytes, t.name in external) for t in program.tensors.values() if used(program, t.name)
    ]
    operations = []
    for step in program.steps:
        kernel, sharing = kernels()[step.kernel], dict[str, Any]()
        output = program.tensors[step.output]
        at = view_at(laid_out, step)
        if at is not None and at % alignment(program) == 0 and not {step.inputs[0], step.output} <= external:
            sharing = {"alias": step.inputs[0], "alias_at": at} if step.output not in external else {}
        elif kernel.overwrites(step) and not step.also:
            fits = tuple(n for n in dict.fromkeys(step.inputs) if program.tensors[n].bytes == output.bytes)
            sharing = {"in_place": tuple(n for n in fits if n not in program.inputs)} if fits else {}
        elif placed_parts(laid_out, step):
            parts = tuple((n, at) for n, at in placed_parts(laid_out, step) if n not in program.inputs)
            sharing = {"parts": parts} if parts else {}
        scratch = kernel.scratch(program, step, schedule)
        operations.append(
            Operation(
                step.name,
                tuple(dict.fromkeys(step.inputs)),
                step.outputs,
                scratch,
                traffic=traffic_of(program, step, schedule),
                **sharing,
            )
        )
    return operations, buffers


def alignment(program: IntegerProgram) -> int:
    """Bytes that every place of the arena is a multiple of: a word, or the largest type stored."""
    return max([4, *(np.dtype(tensor.dtype).itemsize for tensor in program.tensors.values())])


def used(program: IntegerProgram, name: str) -> bool:
    """Whether a tensor is an input or written by a step."""
    return name in program.inputs or any(name in step.outputs for step in program.steps)


def unique_steps(program: IntegerProgram) -> IntegerProgram:
    """Step names made unique, since layer functions and operations are named after them."""
    seen: dict[str, int] = {}
    steps = []
    for step in program.steps:
        seen[step.name] = seen.get(step.name, 0) + 1
        name = step.name if seen[step.name] == 1 else f"{step.name}_{seen[step.name]}"
        steps.append(replace(step, name=name))
    return program.with_steps(tuple(steps))


def planned(
    program: IntegerProgram, operations: Sequence[Operation], buffers: Sequence[Buffer], banks: Sequence[Bank]
) -> Plan:
    """The memory plan, over banks where some are given. Raises AnswerIsNo where nothing was found that fits them."""
    if not banks:
        return plan_memory(operations, buffers, alignment(program))
    plan = plan_banks(operations, buffers, banks, alignment(program))
    if plan is None:
        least = plan_memory(operations, buffers, alignment(program))
        sizes = " and ".join(f"{bank.name} of {bank.size_bytes:,}" for bank in banks)
        raise AnswerIsNo(
            f"{program.name} found no place in banks {sizes} bytes: {least.arena_bytes:,} are needed in one piece, "
            f"{least.lower_bound_bytes:,} of them at once; run the first layers in patches, or take a larger device"
        )
    return plan
