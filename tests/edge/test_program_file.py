"""An `IntegerProgram` comes back from its file as it was: same run, same C, same bytes when saved again."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_samples import bundles, chain, conv, hard_inputs, lowered

from trine.compilers.graph import Array, Graph, Node
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.program import IntegerProgram
from trine.edge.program_file import load_program, save_program
from trine.edge.qdq import to_qdq

AFTER = {
    "Relu": {}, "Sigmoid": {}, "Tanh": {}, "Clip": {"min": -0.25, "max": 0.5}, "Softmax": {"axis": 0},
    "Reshape": {"shape": (24,)}, "Transpose": {"perm": (1, 0)}, "ReduceMean": {"axes": (1,), "keepdims": 1},
    "Identity": {},
}  # fmt: skip


@st.composite
def networks(draw: Any) -> Graph:
    """A convolution and up to three nodes after it; names of any letters."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=6, max_size=6, unique=True))
    given_name, *rest = names
    constants: dict[str, Array] = {
        "w": rng.normal(0, draw(st.sampled_from([1e-3, 0.3, 50])), (4, 2, 3)).astype(np.float32),
        "b": rng.normal(0, 1, 4).astype(np.float32),
    }
    constants = {f"constant {k}": v for k, v in constants.items()}
    nodes = [conv("first", given_name, rest[0], "constant w", "constant b", pads=(1, 1))]
    for i, op in enumerate(draw(st.lists(st.sampled_from(sorted(AFTER)), max_size=3))):
        nodes.append(Node(op, f"{op} {i}", (nodes[-1].outputs[0],), (rest[i + 1],), AFTER[op]))
        if op in ("Reshape", "Transpose", "ReduceMean"):
            break
    return chain("a net", [(given_name, (2, 6))], nodes, constants)


def round_trip(program: IntegerProgram, folder: Path) -> IntegerProgram:
    """Saved and loaded; saving what was loaded gives the same bytes."""
    save_program(program, folder / "a.npz")
    found = load_program(folder / "a.npz")
    save_program(found, folder / "b.npz")
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()
    return found


def same(program: IntegerProgram, found: IntegerProgram) -> None:
    inputs = hard_inputs(program)
    before, after = program.run(inputs), found.run(inputs)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert emit_c(found, "cortex-m4f") == emit_c(program, "cortex-m4f")
    assert found.tensors == program.tensors


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.sampled_from(["exact", "tflite"]))
def test_small_programs_come_back(graph: Graph, requantize: str) -> None:
    program = lowered(graph, requantize).program
    with TemporaryDirectory() as folder:
        found = round_trip(program, Path(folder))
    same(program, found)
    assert found.requantize == requantize
    assert to_qdq(found, "uint8") == to_qdq(program, "uint8")


def test_every_kernel_comes_back(tmp_path: Path) -> None:
    kernels = set()
    for name, made in bundles().items():
        found = round_trip(made.program, tmp_path)
        kernels |= {step.kernel for step in found.steps}
        for a, b in zip(made.program.steps, found.steps, strict=True):
            assert (a.kernel, a.name, a.inputs, a.output) == (b.kernel, b.name, b.inputs, b.output)
            assert a.attributes == b.attributes, name
            assert a.constants.keys() == b.constants.keys()
            for key, value in a.constants.items():
                assert value.dtype == b.constants[key].dtype
                assert np.array_equal(value, b.constants[key])
    assert len(kernels) >= 10


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    weights = {"w": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float32)}
    program = lowered(
        chain("net", [("x", (3,))], [Node("Gemm", "g", ("x", "w", "b"), ("y",))], weights)
    ).program
    save_program(program, tmp_path / "program.npz")
    return tmp_path / "program.npz"


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_program(path)
    for word in (path.name, *words):
        assert word in str(caught.value)


def test_files_that_are_no_programs(saved: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:-30]):
        saved.write_bytes(content)
        refused(saved, "not an integer program", "compile the model again")
    np.savez(saved, x=np.zeros(3))
    refused(saved, "not an integer program")
    np.savez(saved, program=np.frombuffer(b"[]", np.uint8))
    refused(saved)
    np.savez(saved, program=np.frombuffer(b"{}", np.uint8))
    refused(saved, "schema None")


def changed(saved: Path) -> dict[str, Any]:
    """The structure of a saved program."""
    with np.load(saved) as file:
        result: dict[str, Any] = json.loads(file["program"].tobytes())
    return result


def rewrite(saved: Path, head: dict[str, Any], drop: str = "", objects: bool = False) -> None:
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files if name != "program"}
    arrays = {name: a for name, a in arrays.items() if not drop or drop not in name}
    if objects:
        arrays = {name: a.astype("S4") for name, a in arrays.items()}
    np.savez(saved, program=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)


def test_structures_that_are_no_programs(saved: Path) -> None:
    whole = saved.read_bytes()
    for change in (
        {"steps": [{"kernel": "dense"}]}, {"steps": 3}, {"tensors": [["x", ["3"], 1.0, 0]]}, {"tensors": []},
        {"outputs": ["nowhere"]}, {"tensors": [["x", [3], 1.0, 0.5]]},
    ):  # fmt: skip
        saved.write_bytes(whole)
        rewrite(saved, {**changed(saved), **change})
        refused(saved, "not an integer program")
    for drop, objects in (("weight", False), ("", True)):
        saved.write_bytes(whole)
        rewrite(saved, changed(saved), drop, objects)
        refused(saved, "not an integer program")


def test_no_text_of_a_file_reaches_the_c_print(saved: Path) -> None:
    whole = saved.read_bytes()
    for place in ("attributes", "constants", "requantizer"):
        saved.write_bytes(whole)
        head = changed(saved)
        head["steps"][0][place]["group"] = '1); system("true"); ('
        rewrite(saved, head)
        refused(saved, "unknown word")
    saved.write_bytes(whole)
    head = changed(saved)
    head["steps"][0]["kernel"] = "elsewhere"
    rewrite(saved, head)
    refused(saved, "unknown kernels elsewhere")


def test_nothing_is_unpickled(saved: Path) -> None:
    np.savez(saved, program=np.array([{}], object))
    refused(saved)
