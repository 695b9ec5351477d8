"""Laws of plans over two banks: valid, inside each bank, what is touched most in the fast one; the same bits in C."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_samples import Job, chain, conv, hard_inputs, lowered, run_on_host, write_sources
from test_memory import random_network

from trine.compilers.graph import Graph, Node
from trine.devices import EdgeDevice, load_device
from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.c.emit import emit_c
from trine.edge.emulate import HostCompiler
from trine.edge.memory import Bank, Buffer, Operation, bank_uses, banks_of, check, plan_banks, plan_memory
from trine.edge.memory.banks import place_in_banks
from trine.edge.memory.placement import Block, place
from trine.edge.memory.sharing import Rectangle
from trine.edge.patches import patched
from trine.edge.program import IntegerProgram

TWO = st.tuples(st.floats(0.05, 1.1), st.floats(0.3, 1.1))


def banks_for(whole: int, shares: tuple[float, float]) -> list[Bank]:
    """Two banks of shares of what is needed in one piece, in whole units of the alignment."""
    sizes = [-(-int(whole * share) // 16) * 16 for share in shares]
    return [Bank("fast", sizes[0]), Bank("slow", sizes[1])]


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 14), shares=TWO, views=st.booleans())
def test_every_plan_is_valid_and_inside_its_banks(
    seed: int, length: int, shares: tuple[float, float], views: bool
) -> None:
    operations, buffers = random_network(seed, length, views=views)
    whole = plan_memory(operations, buffers, 16)
    banks = banks_for(whole.arena_bytes, shares)
    plan = plan_banks(operations, buffers, banks, 16)
    if plan is None:
        assert banks[1].size_bytes < whole.arena_bytes  # all in the slow bank is a plan like any other
        return
    check(plan, operations, buffers)
    assert plan == plan_banks(operations, buffers, banks, 16)
    uses = bank_uses(plan, operations, buffers, banks)
    for bank, use in zip(banks, uses, strict=True):
        assert use.used_bytes <= bank.size_bytes
    if any(
        operation.alias is None and not operation.parts for operation in operations
    ):  # a view moves nothing
        assert sum(use.traffic_bytes for use in uses) > 0


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(3, 12))
def test_check_notices_what_lies_across_two_banks(seed: int, length: int) -> None:
    operations, buffers = random_network(seed, length)
    plan = plan_memory(operations, buffers, 8)
    sizes = {b.name: b.size_bytes for b in buffers}
    for name, at in plan.offsets.items():
        if sizes[name] > 8:
            with pytest.raises(ValueError, match=f"buffer {name} at {at} lies across two banks"):
                check(replace(plan, bank_starts=(0, at + 8)), operations, buffers)


def possible(blocks: list[Block], first: int, second: int) -> bool:
    """Whether any choice of blocks for the first bank leaves both within their sizes, by exact placement."""
    for taken in product((False, True), repeat=len(blocks)):
        parts = [[b for b, t in zip(blocks, taken, strict=True) if t == side] for side in (True, False)]
        if all(place(part, 4).arena_bytes <= size for part, size in zip(parts, (first, second), strict=True)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.integers(1, 25), st.integers(0, 5), st.integers(0, 3), st.integers(0, 100)),
        min_size=1, max_size=6,
    ),
    first=st.integers(1, 20),
    second=st.integers(1, 20),
)  # fmt: skip
def test_few_blocks_find_a_place_whenever_there_is_one(
    lives: list[tuple[int, int, int, int]], first: int, second: int
) -> None:
    blocks = [
        Block(f"b{i}", (Rectangle(0, 4 * size, start, start + more),), traffic)
        for i, (size, start, more, traffic) in enumerate(lives)
    ]
    banks = [Bank("fast", 8 * first), Bank("slow", 8 * second)]
    found = place_in_banks(blocks, banks, 4)
    assert (found is not None) == possible(blocks, 8 * first, 8 * second)


def test_what_fits_no_single_bank_fits_both() -> None:
    operations = [
        Operation("a", ("x",), ("p",)), Operation("b", ("p",), ("q",)), Operation("c", ("q",), ("y",)),
    ]  # fmt: skip
    buffers = [Buffer("x", 8, True), Buffer("p", 600), Buffer("q", 500), Buffer("y", 8, True)]
    assert plan_memory(operations, buffers).arena_bytes == 1100
    banks = [Bank("fast", 512), Bank("slow", 640)]
    plan = plan_banks(operations, buffers, banks)
    assert plan is not None
    check(plan, operations, buffers)
    assert plan.bank_of(plan.offsets["q"]) == (0, 0)
    assert plan.bank_of(plan.offsets["p"]) == (1, 0)
    assert plan.bank_bytes() == (504, 600)
    assert plan_banks(operations, buffers, [Bank("fast", 496), Bank("slow", 640)]) is None


def test_what_is_touched_most_lies_in_the_fast_bank() -> None:
    operations = [
        Operation("a", ("x",), ("p",), scratch_bytes=64, traffic={"": 9000}),
        Operation("b", ("p",), ("q",), traffic={"p": 5000}),
        Operation("c", ("q",), ("y",)),
    ]
    buffers = [Buffer("x", 8, True), Buffer("p", 600), Buffer("q", 640), Buffer("y", 8, True)]
    banks = [Bank("fast", 700), Bank("slow", 2000)]
    plan = plan_banks(operations, buffers, banks)
    assert plan is not None
    bank = {name: plan.bank_of(at)[0] for name, at in {**plan.offsets, **plan.scratch_offsets}.items()}
    assert bank == {"p": 0, "q": 1, "a": 0}
    uses = bank_uses(plan, operations, buffers, banks)
    assert [use.traffic_bytes for use in uses] == [9000 + 600 + 5000, 640 + 640]


def small() -> Graph:
    rng = np.random.default_rng(3)
    shapes = {"w1": (8, 2, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (4, 8, 1, 1), "b3": (4,)}
    constants = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        conv("c1", "x", "a", "w1", "b1", rank=2, pads=(1, 1, 1, 1)),
        conv("c2", "a", "b", "w2", "b2", rank=2, pads=(1, 1, 1, 1), group=8),
        Node("Add", "s", ("a", "b"), ("c",)),
        Node("Sigmoid", "t", ("c",), ("d",)),
        conv("c3", "d", "e", "w3", "b3", rank=2),
        Node("GlobalAveragePool", "g", ("e",), ("y",)),
    ]
    return chain("small", [("x", (2, 12, 10))], nodes, constants)


def named(program: IntegerProgram, name: str) -> IntegerProgram:
    return replace(program, name=name)


def test_c_in_banks_prints_the_same_bits(tmp_path: Path) -> None:
    program = lowered(small()).program
    jobs = []
    for made, what in ((program, "whole"), (patched(program, "e", 4), "bands")):
        whole = emit_c(made, "cortex-m7").plan.arena_bytes
        for i, shares in enumerate(((0.1, 1.0), (0.7, 0.75), (0.04, 1.0), (1.0, 0.1))):
            source = named(made, f"{what}{i}")
            sources = emit_c(source, "cortex-m7", banks_for(whole, shares))
            assert sources.source.count("TRINE_BANK1 /*") == 1
            jobs.append(Job(source, sources, hard_inputs(program)))
    assert any("bank1 + " in job.sources.source for job in jobs)
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        np.testing.assert_array_equal(found["y"], program.run(job.inputs)["y"])


def test_the_build_says_where_a_bank_lies(tmp_path: Path) -> None:
    program = lowered(small()).program
    whole = emit_c(program).plan.arena_bytes
    sources = emit_c(program, banks=banks_for(whole, (0.6, 0.6)))
    write_sources(sources, tmp_path)
    assert "int trine_small_run(const int8_t *in, int8_t *out);" in sources.header
    assert f"#define TRINE_SMALL_BANK0_SIZE {sources.banks[0].used_bytes} /* fast */" in sources.header
    where = '-DTRINE_BANK0=__attribute__((section(".dtcm_bss")))'
    command = [*HostCompiler().command, "-std=c99", where, "-c", "small.c", "-o", "small.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b".dtcm_bss" in (tmp_path / "small.o").read_bytes()


def test_no_place_is_an_answer() -> None:
    program = lowered(small()).program
    with pytest.raises(
        AnswerIsNo, match=r"small found no place in banks fast of 100 and slow of 200 bytes: .* in one"
    ):
        emit_c(program, banks=[Bank("fast", 100), Bank("slow", 200)])


def test_banks_of_devices() -> None:
    device = load_device("stm32f746")
    assert isinstance(device, EdgeDevice)
    assert banks_of(device, 4096) == (Bank("tcm", 64 * 1024), Bank("sram", 252 * 1024))
    assert sum(size for _, size in device.banks) == device.ram_bytes
    other = load_device("nrf52840")
    assert isinstance(other, EdgeDevice)
    with pytest.raises(
        InputError, match=r"nrf52840 states no banks of RAM .* devices that do: stm32f746, stm32h7a3"
    ):
        banks_of(other)
    with pytest.raises(InputError, match="leave nothing"):
        banks_of(device, 1 << 20)
