"""The integer kernels: one file each, exporting one record named KERNEL.

A record lowers the operators of `Graph` it serves to a `Step`, says what the step computes in NumPy
(`run`, the definition), how it is written as QDQ ONNX, and how as C. The last two are compared with the
first everywhere.
Packages outside Trine add kernels through the entry-point group `trine.kernels`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.schedule import Schedule
    from trine.edge.c.writer import LayerWriter
    from trine.edge.lower import Lowering
    from trine.edge.qdq import QdqWriter


def no_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """For kernels that need no working memory."""
    return 0


@dataclass(frozen=True)
class Kernel:
    """One integer kernel.

    ops: operators of `Graph` it serves. lower(lowering, node) -> one Step or several. run(program, step, inputs [n,
    *shape]) -> the output, or a list of them where the step has several.
    qdq(writer, step) appends ONNX nodes. c(layer, step) appends the statements of the layer's C function.
    scratch(program, step, schedule) -> bytes of working memory the C needs.
    layout: how the C wants its tensors: "last" (channels last), "row" (ONNX order), "any" (all alike).
    in_place: the output may overwrite the first input where it dies (element by element kernels); or asks the step.
    words: every text that attributes of its steps may hold.
    floats: it reads and writes float32 as it is (trees compare features by their bits, without arithmetic).
    apart: output steps by which onnxruntime, which computes this in float32, may differ.
    int16: it computes int16 activations too; or for which of its operators.
    """

    name: str
    ops: tuple[str, ...]
    lower: Callable[[Lowering, Node], Step | tuple[Step, ...]]
    run: Callable[[IntegerProgram, Step, Sequence[Array]], Any]
    qdq: Callable[[QdqWriter, Step], None]
    c: Callable[[LayerWriter, Step], None]
    layout: str = "any"
    in_place: bool | Callable[[Step], bool] = False
    scratch: Callable[[IntegerProgram, Step, Schedule], int] = no_scratch
    apart: int = 0
    floats: bool = False
    words: tuple[str, ...] = ()
    int16: bool | Collection[str] = False

    def wide(self, op: str) -> bool:
        """Whether it computes an operator in int16."""
        return self.int16 if isinstance(self.int16, bool) else op in self.int16

    def overwrites(self, step: Step) -> bool:
        """Whether a step's output may overwrite its first input."""
        return self.in_place(step) if callable(self.in_place) else self.in_place


@cache
def kernels() -> Mapping[str, Kernel]:
    """All kernels by name: the files of this folder, then entry points."""
    found: dict[str, Kernel] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        record = import_module(f"{__name__}.{module}").KERNEL
        found[record.name] = record
    for entry in metadata.entry_points(group="trine.kernels"):
        record = entry.load()
        found[record.name] = record
    return found


@cache
def kernel_of() -> Mapping[str, Kernel]:
    """The kernel that serves each operator of `Graph`."""
    return {op: kernel for kernel in kernels().values() for op in kernel.ops}


def kernel_for(graph: Graph, node: Node) -> Kernel | None:
    """The kernel that serves a node in int8, if there is one.

    Where all it reads and writes are whole numbers or truth values nothing is quantised: the operator's own meaning.
    """
    from trine.edge.float32 import writers

    kinds = {np.dtype(graph.dtype(name)).kind for name in (*node.inputs, *node.outputs) if name}
    if kinds <= set("iub") and node.op in writers():
        return kernels()["float32"]
    return kernel_of().get(node.op)
