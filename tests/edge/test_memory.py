"""Laws of the memory plan: valid, never below its bound, near it nearly always, exact where it says so."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.edge.memory import Buffer, Operation, Plan, check, plan_memory
from trine.edge.memory import order as ordering
from trine.edge.memory.placement import Block, live_bytes, place
from trine.edge.memory.sharing import Rectangle, Sharing

Network = tuple[list[Operation], list[Buffer]]


def random_network(seed: int, length: int, simple: bool = False, views: bool = False) -> Network:
    """A random graph of convolutions, elementwise operations, concatenations and reshapes; views: of rows too."""
    rng = random.Random(seed)
    size = {"in": rng.randint(1, 2000)}
    buffers = [Buffer("in", size["in"], external=rng.random() < 0.5)]
    operations: list[Operation] = []
    for i in range(length):
        recent = list(size)[-6:]
        x, kind = (
            rng.choice(recent),
            rng.choice(("conv", "conv", "conv", "unary", "add", "concat", "reshape", *(["rows"] * views))),
        )
        name, output = f"op{i}", f"b{i}"
        if kind == "conv" or (simple and kind in ("concat", "reshape")):
            reads = tuple(dict.fromkeys([x, rng.choice(recent)]))
            operations.append(
                Operation(name, reads, (output,), scratch_bytes=rng.choice((0, 0, rng.randint(1, 500))))
            )
            bytes_ = rng.randint(1, 2000)
        elif kind == "concat":
            chosen = [rng.choice(recent) for _ in range(rng.randint(2, 3))]
            starts = [sum(size[n] for n in chosen[:k]) for k in range(len(chosen))]
            bytes_ = sum(size[n] for n in chosen)
            reads = tuple(dict.fromkeys(chosen))
            operations.append(
                Operation(name, reads, (output,), parts=tuple(zip(chosen, starts, strict=True)))
            )
        elif kind == "rows":
            at = rng.randrange(0, size[x], 16)
            bytes_ = rng.randint(1, size[x] - at)
            operations.append(Operation(name, (x,), (output,), alias=x, alias_at=at))
        else:
            bytes_ = size[x]
            same = [n for n in size if size[n] == bytes_] if kind == "add" else [x]
            reads = tuple(dict.fromkeys([x, rng.choice(same)]))
            if kind == "reshape":
                operations.append(Operation(name, (x,), (output,), alias=x))
            else:
                operations.append(Operation(name, reads, (output,), in_place=reads))
        size[output] = bytes_
        buffers.append(Buffer(output, bytes_, kept=i == length - 1))
    return operations, buffers


def orders(operations: Sequence[Operation]) -> Iterator[tuple[int, ...]]:
    """Every order in which the operations can run."""
    writer = {name: i for i, operation in enumerate(operations) for name in operation.writes}
    for order in permutations(range(len(operations))):
        step = {index: at for at, index in enumerate(order)}
        if all(step[writer[n]] < step[i] for i in order for n in operations[i].reads if n in writer):
            yield order


def peak_by_definition(
    operations: Sequence[Operation], buffers: Sequence[Buffer], order: Sequence[int]
) -> int:
    """Most bytes live at one step, elementwise outputs on top of an input that dies; no aliases, no parts."""
    size = {b.name: 0 if b.external else b.size_bytes for b in buffers}
    kept = {b.name for b in buffers if b.kept}
    there = {b.name for b in buffers} - {n for o in operations for n in o.writes}
    peak = sum(size[name] for name in there)
    for at, index in enumerate(order):
        operation = operations[index]
        later = kept | {name for i in order[at + 1 :] for name in operations[i].reads}
        dying = [n for n in operation.in_place if n not in later and size[n]]
        live = there | set(operation.writes)
        saved = size[operation.writes[0]] if dying else 0
        peak = max(peak, sum(size[n] for n in live) + operation.scratch_bytes - saved)
        there = {name for name in live if name in later}
    return peak


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 14), alignment=st.sampled_from((4, 8, 16)))
def test_every_plan_is_valid_and_not_below_its_bound(seed: int, length: int, alignment: int) -> None:
    operations, buffers = random_network(seed, length)
    plan = plan_memory(operations, buffers, alignment)
    check(plan, operations, buffers)
    assert plan.arena_bytes >= plan.lower_bound_bytes
    assert plan == plan_memory(operations, buffers, alignment)


def test_arena_is_within_a_twentieth_of_the_bound_for_nearly_all_graphs() -> None:
    ratios = []
    for seed in range(200):
        operations, buffers = random_network(seed, 3 + seed % 14)
        plan = plan_memory(operations, buffers)
        check(plan, operations, buffers)
        ratios.append(plan.arena_bytes / plan.lower_bound_bytes)
    assert sum(ratio <= 1.05 for ratio in ratios) >= 0.95 * len(ratios)
    assert max(ratios) < 1.25


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 6))
def test_order_is_the_best_of_all_orders_of_a_small_graph(seed: int, length: int) -> None:
    operations, buffers = random_network(seed, length, simple=True)
    plan = plan_memory(operations, buffers)
    least = min(peak_by_definition(operations, buffers, order) for order in orders(operations))
    assert plan.order_optimal
    assert plan.lower_bound_bytes == least


rectangles = st.builds(
    lambda size, start, length: Rectangle(0, size, start, start + length),
    st.integers(1, 6),
    st.integers(0, 4),
    st.integers(0, 3),
)


def smallest_by_trying(blocks: Sequence[Block]) -> int:
    """The least arena over all integer offsets, by trying them."""
    bound = live_bytes(blocks)
    for arena in range(bound, sum(block.size for block in blocks) + 1):
        for offsets in product(*(range(arena - block.size + 1) for block in blocks)):
            spans = [(at, b.rectangles[0]) for at, b in zip(offsets, blocks, strict=True)]
            if all(
                p + a.size <= q or q + b.size <= p or a.end < b.start or b.end < a.start
                for k, (p, a) in enumerate(spans)
                for q, b in spans[:k]
            ):
                return arena
    raise AssertionError("blocks side by side always fit")


@settings(max_examples=40, deadline=None)
@given(st.lists(rectangles, min_size=1, max_size=5))
def test_placement_of_few_blocks_is_the_smallest_there_is(shapes: list[Rectangle]) -> None:
    blocks = [Block(f"b{i}", (shape,)) for i, shape in enumerate(shapes)]
    placement = place(blocks, 1)
    assert placement.optimal
    assert placement.arena_bytes == smallest_by_trying(blocks)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans()), min_size=1, max_size=12))
def test_chains_reach_the_bound(layers: list[tuple[int, bool]]) -> None:
    """Of two neighbours one lies at each end of the arena; only rounding to the alignment is added."""
    buffers = [Buffer("b0", 4 * 700)]
    operations = []
    for i, (size, elementwise) in enumerate(layers):
        size = buffers[-1].size_bytes if elementwise else 4 * size
        x = buffers[-1].name
        operations.append(Operation(f"op{i}", (x,), (f"b{i + 1}",), in_place=(x,) if elementwise else ()))
        buffers.append(Buffer(f"b{i + 1}", size, kept=i == len(layers) - 1))
    plan = plan_memory(operations, buffers)
    check(plan, operations, buffers)
    assert plan.arena_bytes == plan.lower_bound_bytes
    assert plan.optimal
    assert plan.order_optimal
    elementwise_pairs = sum(elementwise for _, elementwise in layers)
    assert len(plan.in_place) == elementwise_pairs


def test_order_search_finds_the_branch_to_run_first() -> None:
    """Two branches that each swell and shrink: side by side they need both swellings' inputs, in turn one."""
    operations = [
        Operation("a1", ("x",), ("a_big",)),
        Operation("b1", ("x",), ("b_big",)),
        Operation("a2", ("a_big",), ("a",)),
        Operation("b2", ("b_big",), ("b",)),
        Operation("join", ("a", "b"), ("y",)),
    ]
    sizes = {"x": 40, "a_big": 1000, "b_big": 1000, "a": 8, "b": 8, "y": 8}
    buffers = [Buffer(name, size, external=name in ("x", "y")) for name, size in sizes.items()]
    plan = plan_memory(operations, buffers)
    check(plan, operations, buffers)
    # One big one live with the results of both branches at most: 1000 + 8 while shrinking, + 8 of the other.
    assert (plan.arena_bytes, plan.order_searched, plan.optimal) == (1016, "exact", True)
    assert peak_by_definition(operations, buffers, range(5)) == 2008
    limited = plan_memory(operations, buffers, states=2)
    assert (limited.arena_bytes, limited.order_searched, limited.order_optimal) == (1016, "beam", False)


def concatenation(extra: tuple[Operation, ...] = ()) -> Network:
    operations = [
        Operation("left", ("x",), ("l",)),
        Operation("right", ("x",), ("r",)),
        Operation("concat", ("l", "r"), ("c",), parts=(("l", 0), ("r", 100))),
        *extra,
        Operation("head", ("c",), ("y",)),
    ]
    buffers = [Buffer("x", 40, external=True), Buffer("l", 100), Buffer("r", 60), Buffer("c", 160)]
    return operations, [*buffers, Buffer("y", 4, external=True)]


def test_parts_are_written_straight_into_the_concatenation() -> None:
    operations, buffers = concatenation()
    plan = plan_memory(operations, buffers)
    check(plan, operations, buffers)
    assert plan.placed == (("l", "c"), ("r", "c"))
    assert plan.offsets["r"] == plan.offsets["c"] + 100 == plan.offsets["l"] + 100
    assert plan.arena_bytes == plan.lower_bound_bytes == 160


def test_a_misaligned_part_is_copied() -> None:
    operations, buffers = concatenation()
    plan = plan_memory(operations, buffers, alignment=8)
    check(plan, operations, buffers)
    assert plan.placed == (("l", "c"),)


def test_a_part_still_read_is_not_overwritten_in_place() -> None:
    operations, buffers = concatenation((Operation("relu", ("l",), ("z",), in_place=("l",)),))
    operations[-1] = replace(operations[-1], reads=("c", "z"))
    buffers.append(Buffer("z", 100))
    plan = plan_memory(operations, buffers)
    check(plan, operations, buffers)
    # The head reads the concatenation after relu, in every order, so l is never free for z.
    assert plan.in_place == ()
    assert plan.placed == (("l", "c"), ("r", "c"))
    wrong = replace(plan, offsets={**plan.offsets, "z": plan.offsets["l"]})
    with pytest.raises(ValueError, match="damaged"):
        check(wrong, operations, buffers)


def test_an_alias_of_an_output_lies_in_the_callers_memory() -> None:
    operations = [Operation("conv", ("x",), ("h",)), Operation("flatten", ("h",), ("y",), alias="h")]
    buffers = [Buffer("x", 10, external=True), Buffer("h", 30), Buffer("y", 30, external=True)]
    plan = plan_memory(operations, buffers)
    check(plan, operations, buffers)
    assert dict(plan.in_external) == {"h": "y"}
    assert plan.arena_bytes == 0
    with pytest.raises(ValueError, match="x and y are the same bytes but both external"):
        plan_memory(
            [Operation("flatten", ("x",), ("y",), alias="x")], [replace(b, size_bytes=9) for b in buffers]
        )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(2, 12))
def test_views_lie_in_what_they_are_rows_of(seed: int, length: int) -> None:
    operations, buffers = random_network(seed, length, views=True)
    plan = plan_memory(operations, buffers, 16)
    check(plan, operations, buffers)
    assert plan.arena_bytes >= plan.lower_bound_bytes
    for operation in operations:
        x, y = operation.alias, operation.writes[0]
        if x is not None and y in plan.offsets:
            assert plan.offsets[y] == plan.offsets[x] + operation.alias_at
            moved = replace(plan, offsets={**plan.offsets, y: plan.offsets[y] + 16}, arena_bytes=10**5)
            if any(y in o.reads for o in operations):
                with pytest.raises(ValueError, match="damaged"):
                    check(moved, operations, buffers)
        elif x is not None:
            assert plan.external_offsets.get(y, 0) == plan.external_offsets.get(x, 0) + operation.alias_at


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(3, 12))
def test_check_notices_a_live_buffer_that_is_overlapped(seed: int, length: int) -> None:
    operations, buffers = random_network(seed, length)
    plan = plan_memory(operations, buffers)
    for operation in operations:
        for x, y in product(operation.reads, operation.writes):
            allowed = x in operation.in_place or x == operation.alias or x in dict(operation.parts)
            if allowed or not {x, y} <= set(plan.offsets):
                continue
            moved = {**plan.offsets, y: plan.offsets[x]}
            with pytest.raises(ValueError, match="memory plan is not valid"):
                check(replace(plan, offsets=moved, arena_bytes=10**5), operations, buffers)


def changed(plan: Plan, change: dict[str, Any]) -> Plan:
    return replace(plan, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arena_bytes": 100}, "leaves the arena"),
        ({"offsets": {}}, "has no offset"),
        ({"order": (0, 0, 1, 2)}, "no permutation"),
        ({"order": (2, 0, 1, 3)}, "reads l damaged"),
        ({"alignment": 16}, "not aligned to 16"),
    ],
)
def test_check_names_what_is_wrong(change: dict[str, Any], message: str) -> None:
    operations, buffers = concatenation()
    plan = changed(plan_memory(operations, buffers), change)
    with pytest.raises(ValueError, match=message):
        check(plan, operations, buffers)


def test_inconsistent_input_is_named_all_at_once() -> None:
    operations = [
        Operation("one", ("b",), ("a",), in_place=("b",), scratch_bytes=-1),
        Operation("two", ("a", "ghost"), ("b",)),
        Operation("two", ("a",), ("a",)),
    ]
    with pytest.raises(ValueError, match="memory plan") as error:
        plan_memory(operations, [Buffer("a", 4), Buffer("b", 5)], alignment=3)
    for text in (
        "alignment 3",
        "two is given twice",
        "a is written twice",
        "ghost",
        "differ in size",
        "scratch of -1",
    ):
        assert text in str(error.value)


def test_the_search_of_a_long_network_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that may be run in any turn; the fuzzer found one of 380 operations that took over ten seconds."""
    chains, length = 16, 10
    names = [[f"{c}_{i}" for i in range(length)] for c in range(chains)]
    sizes = random.Random(3)
    operations = [
        Operation(chain[i + 1], (chain[i],), (chain[i + 1],)) for chain in names for i in range(length - 1)
    ]
    operations.append(Operation("end", tuple(chain[-1] for chain in names), ("end",)))
    buffers = [Buffer(name, sizes.randint(1, 99)) for chain in names for name in chain] + [
        Buffer("end", 1, kept=True)
    ]
    calls, ready = [0], ordering._Liveness.ready

    def counted(*arguments: Any) -> tuple[int, ...]:
        calls[0] += 1
        return ready(*arguments)

    monkeypatch.setattr(ordering._Liveness, "ready", counted)
    ordering.best_order(Sharing(operations, buffers, 4), ordering.SEARCH_STATES)
    assert calls[0] <= ordering.SEARCH_STATES + ordering.BEAM_WIDTH * len(operations)
