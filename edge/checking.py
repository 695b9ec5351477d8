"""`trine check`: will a model lower and fit, every obstacle at once, without calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.compilers.graph import Graph, Shape
from trine.compilers.report import Fit
from trine.compilers.source import load_source
from trine.devices import EdgeDevice
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.fit import runs_onnx, static_fit
from trine.edge.fusing import observed
from trine.edge.lower import lower
from trine.edge.patches import patched
from trine.edge.patches.choose import in_a_line, point_for
from trine.edge.program import IntegerProgram
from trine.edge.remedies import remedies_for
from trine.edge.simplify import simplify
from trine.edge.stated import is_quantised, strip
from trine.edge.target import TARGET


@dataclass(frozen=True)
class CheckReport:
    """What `trine check` found; `remedies` are given when the model does not fit.

    patches: what `compile` does to make it fit, "" where it fits whole or not at all.
    """

    model: str
    device: str
    macs: int
    parameters: int
    operators: Mapping[str, int]
    fit: Sequence[Fit]
    remedies: Sequence[str]
    patches: str = ""

    @property
    def ok(self) -> bool:
        """Lowers and fits."""
        return all(fit.ok for fit in self.fit)

    def as_json(self) -> dict[str, Any]:
        """The object of `trine check --json`."""
        return {
            "model": self.model, "device": self.device, "macs": self.macs, "parameters": self.parameters,
            "operators": dict(self.operators), "fit": [f.as_json() for f in self.fit], "ok": self.ok,
            "remedies": list(self.remedies), "patches": self.patches,
        }  # fmt: skip

    def text(self) -> str:
        """For reading."""
        operators = ", ".join(f"{count} {op}" for op, count in self.operators.items())
        lines = [
            f"{self.model} for {self.device}: every node lowers ({operators})",
            f"  {self.macs:,} multiply-accumulates, {self.parameters:,} parameters",
        ]
        lines += [f"  in {self.patches}"] if self.patches else []
        for f in self.fit:
            there = "limit not published" if f.available is None else f"of {f.available:,} {f.unit}"
            lines.append(f"  {f.limit}: {f.used:,} {there} ({f.how}){'' if f.ok else '  DOES NOT FIT'}")
        lines += [f"  {i}. {text}" for i, text in enumerate(self.remedies, 1)]
        return "\n".join(lines)


def check_edge(source: Path, device: EdgeDevice, shapes: Mapping[str, Shape]) -> CheckReport:
    """Lower with made-up ranges, which decide no size, and lay out memory. InputError: all obstacles."""
    graph = load_source(source, shapes)
    graph = graph if is_quantised(graph) else simplify(graph)
    obstacles = TARGET.obstacles(graph, device)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  " + "\n  ".join(obstacles))
    try:
        program, patches = arranged(program_of(graph), device)
        fit = memory_of(program, device)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  {error}") from error
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.op] = counts.get(node.op, 0) + 1
    sources = None if runs_onnx(device) else emit_c(program, device.core)
    remedies = [] if all(f.ok for f in fit) else remedies_for(program, sources, device, fit)
    return CheckReport(
        source.name, device.name, graph.macs(), graph.parameters(), counts, fit, remedies, patches
    )


def arranged(program: IntegerProgram, device: EdgeDevice) -> tuple[IntegerProgram, str]:
    """The program as it will be run, in patches where it fits only so, and what they save."""
    point = None if runs_onnx(device) else point_for(program, device, "auto", None)
    if point is None:
        return program, ""
    return patched(program, point.cut, point.count), in_a_line(program, device, point)


def made_up(graph: Graph) -> dict[str, tuple[float, float]]:
    """A range for every activation; sizes do not depend on it."""
    return dict.fromkeys(observed(graph), (-1.0, 1.0))


def program_of(graph: Graph) -> IntegerProgram:
    """The int8 program of a network, by its own scales where it has them. Raises ValueError where sums leave int32."""
    if is_quantised(graph):
        stripped = strip(graph)
        return lower(stripped.graph, {}, stated=stripped.stated).program
    return lower(graph, made_up(graph)).program


def memory_of(program: IntegerProgram, device: EdgeDevice) -> list[Fit]:
    """RAM and flash by arithmetic."""
    if runs_onnx(device):
        weights = sum(a.nbytes for step in program.steps for a in step.constants.values())
        return [Fit("ram", weights, device.ram_bytes, "B", "modelled")]
    return static_fit(device, emit_c(program, device.core), program)
