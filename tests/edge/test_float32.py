"""Every case of every operator through the float32 C: whole numbers equal NumPy's, floats are near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from program_samples import Job, run_on_host, together, write_sources
from test_c import MEMORY, PICKY, compile_object

import trine.edge.float32 as package
from trine.compilers.cases import case_graph, draw
from trine.compilers.graph import Graph
from trine.compilers.operators import operators
from trine.edge.c.emit import emit_c
from trine.edge.float32 import float_program

FILES = sorted(info.name for info in iter_modules(package.__path__))
TOLERANCE = 1e-5  # of the greatest value of an output


def graphs_of(file: str) -> Iterator[Graph]:
    """One network a case of the operators whose C a file writes."""
    for op in sorted(import_module(f"{package.__name__}.{file}").FLOAT32):
        for case in operators()[op].cases if op in operators() else ():
            yield case_graph(op, case)


@pytest.mark.parametrize("file", FILES)
def test_c_equals_numpy(file: str, tmp_path: Path) -> None:
    graph = together("case", list(graphs_of(file)))
    inputs = draw(graph, 6, seed=3)
    program = replace(float_program(graph), name="case")
    (found,) = run_on_host([Job(program, emit_c(program), inputs)], tmp_path)
    wanted = graph.run(inputs)
    assert wanted
    for name, values in wanted.items():
        op = next(node.op for node in graph.nodes if name in node.outputs)
        assert found[name].dtype == values.dtype, op
        scale = np.abs(values).max(initial=0) * TOLERANCE if values.dtype.kind == "f" else 0
        np.testing.assert_allclose(found[name], values, rtol=0, atol=scale, err_msg=f"{op} {name}")


@pytest.mark.parametrize("core", ["cortex-m0", "rv32imc"])
def test_a_core_without_floats_needs_only_the_compilers_own_functions(core: str, tmp_path: Path) -> None:
    """No warning, no libm, no memory function: one case of each operator."""
    ops = sorted({graph.nodes[0].op for file in FILES for graph in graphs_of(file)})
    graph = together("sample", [case_graph(op, operators()[op].cases[0]) for op in ops])
    write_sources(emit_c(replace(float_program(graph), name="sample"), core), tmp_path)
    done = compile_object(tmp_path, core, "zig", "sample", *PICKY)
    assert done.returncode == 0, done.stderr[:3000]
    with (tmp_path / "out.o").open("rb") as file:
        tables = [s for s in ELFFile(file).iter_sections() if isinstance(s, SymbolTableSection)]
        undefined = {
            s.name for t in tables for s in t.iter_symbols() if s.name and s["st_shndx"] == "SHN_UNDEF"
        }
    assert undefined
    assert all(name.startswith("__") for name in undefined), undefined
    assert not undefined & MEMORY
