"""Many random programs compiled together, run on this machine and compared with `IntegerProgram.run` bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.emit import emit_c
from trine.edge.emulate.host import HostCompiler
from trine.edge.program import IntegerProgram


def drawn(program: IntegerProgram, count: int, seed: int) -> dict[str, Array]:
    """Random codes over their whole range, three examples constant; -9 to 9 where no code is meant."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        low, high = (-128, 128) if tensor.dtype == "int8" else (-9, 10)
        x = rng.integers(low, high, (count, *tensor.shape)).astype(tensor.dtype)
        if tensor.dtype == "int8":
            x[:3] = np.array([-128, 127, tensor.zero_point], np.int8).reshape(3, *(1,) * len(tensor.shape))
        inputs[name] = x
    return inputs


def ran_in_c(
    programs: Sequence[IntegerProgram], folder: Path, count: int, seed: int, core: str = "cortex-m4f"
) -> list[str]:
    """Compile all programs into one library and run `count` examples of each: C must equal NumPy; returns the C."""
    named = [replace(program, name=f"law{i}") for i, program in enumerate(programs)]
    texts, files = [], []
    for program in named:
        sources = emit_c(program, core)
        (folder / f"{sources.name}.h").write_text(sources.header)
        (folder / f"{sources.name}.c").write_text(sources.source)
        texts.append(sources.source)
        files.append(folder / f"{sources.name}.c")
    library = ctypes.CDLL(str(HostCompiler("-O0").compile(files, folder / "built")))
    wrong = {}
    for program in named:
        inputs = drawn(program, count, seed)
        wanted = program.run(inputs)
        found = {name: np.zeros(values.shape, values.dtype) for name, values in wanted.items()}
        function = getattr(library, f"trine_{program.name}_run")
        for i in range(count):
            ends = [np.ascontiguousarray(inputs[name][i]) for name in program.inputs]
            results = [found[name][i : i + 1] for name in program.outputs]
            assert function(*(ctypes.c_void_p(array.ctypes.data) for array in (*ends, *results))) == 0
        differing = {name: int((found[name] != wanted[name]).sum()) for name in wanted}
        wrong |= {f"{program.name} {name}": n for name, n in differing.items() if n}
    assert not wrong, wrong
    return texts
