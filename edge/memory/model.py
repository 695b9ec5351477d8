"""What the memory plan is made from and what it says: operations, buffers and the plan itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Buffer:
    """Bytes that operations read and write.

    external: the caller's pointer holds it (a network's input or output), so it takes no room in the arena.
    kept: an arena buffer that must still be whole when the last operation has run.
    An arena buffer that no operation writes is taken to be there from the start.
    """

    name: str
    size_bytes: int
    external: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Operation:
    """One step of the program; every buffer is written by at most one operation.

    scratch_bytes: work memory needed only while it runs.
    in_place: inputs of the output's size whose bytes it may overwrite while it reads them (elementwise).
    alias: the input whose very bytes, from alias_at on, are the output (a reshape, a run of rows): nothing is computed.
    traffic: bytes read or written of each buffer, by its name, and of the scratch, under ""; what is not named is
    touched once. Only plans of several banks look at it.
    parts: (input, byte offset) of a concatenation whose input may be written into the output straight away.
    At most one of in_place, alias and parts is given, and then there is one output.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    scratch_bytes: int = 0
    in_place: tuple[str, ...] = ()
    alias: str | None = None
    alias_at: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    traffic: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Where every buffer lies while the operations run in `order` (indices of the given operations).

    offsets: arena offset in bytes of each buffer; scratch_offsets: of each operation's scratch, by its name.
    in_external: buffer -> the external buffer that holds its bytes (through `alias`); external_offsets: from which byte
    of it on, where that is not the first.
    in_place, placed, aliased: the (input, output) pairs that share bytes by `in_place`, by `parts` and by `alias`.
    arena_bytes: size of the arena. bank_starts: where each bank of memory begins in it, one after the other; nothing
    lies across two. lower_bound_bytes: the most bytes live at once in this order with this
    sharing, scratch counted; no placement can use less.
    order_searched: "given" (the given order's bound is already the least of any order, or there is only one
    order), "exact" (all orders by dynamic programming) or "beam" (a bounded search).
    order_optimal: no order has a smaller lower bound. optimal: no placement of this order is smaller, with
    all the sharing that this plan could have.
    """

    order: tuple[int, ...]
    offsets: Mapping[str, int]
    scratch_offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    in_place: tuple[tuple[str, str], ...] = ()
    placed: tuple[tuple[str, str], ...] = ()
    aliased: tuple[tuple[str, str], ...] = ()
    in_external: Mapping[str, str] = field(default_factory=dict)
    external_offsets: Mapping[str, int] = field(default_factory=dict)
    alignment: int = 4
    order_searched: str = "given"
    order_optimal: bool = False
    optimal: bool = False
    bank_starts: tuple[int, ...] = (0,)

    def bank_of(self, offset: int) -> tuple[int, int]:
        """(bank, offset in it) of an offset in the arena."""
        bank = max(i for i, start in enumerate(self.bank_starts) if start <= offset)
        return bank, offset - self.bank_starts[bank]

    def bank_bytes(self) -> tuple[int, ...]:
        """Bytes used of each bank, the gap before the next one's aligned start included."""
        ends = (*self.bank_starts[1:], self.arena_bytes)
        return tuple(end - start for start, end in zip(self.bank_starts, ends, strict=True))


def aligned(value: int, alignment: int) -> int:
    """The next multiple of `alignment` at or above `value`."""
    return -(-value // alignment) * alignment


def validate(operations: Sequence[Operation], buffers: Sequence[Buffer], alignment: int) -> None:
    """Raise ValueError naming everything inconsistent; a defect of the caller's lowering, not of the user."""
    problems = (
        [] if alignment in (1, 2, 4, 8, 16, 32, 64) else [f"alignment {alignment} is no small power of two"]
    )
    known = {buffer.name: buffer for buffer in buffers}
    problems += [f"buffer {b.name}: size {b.size_bytes}" for b in buffers if b.size_bytes < 0]
    for what, names in (("buffer", [b.name for b in buffers]), ("operation", [o.name for o in operations])):
        problems += [
            f"{what} {name} is given twice" for name in sorted({n for n in names if names.count(n) > 1})
        ]
    writers = [name for operation in operations for name in operation.writes]
    problems += [
        f"buffer {name} is written twice" for name in sorted({n for n in writers if writers.count(n) > 1})
    ]
    written = set(writers)
    ready = {name for name in known if name not in written}
    for operation in operations:
        where = f"operation {operation.name}"
        unknown = sorted({*operation.reads, *operation.writes} - set(known))
        if unknown:
            problems.append(f"{where}: unknown buffers {', '.join(unknown)}")
            continue
        early = sorted(set(operation.reads) - ready)
        problems += [f"{where}: reads {name} before it is written" for name in early]
        problems += [f"{where}: {text}" for text in _sharing_problems(operation, known)]
        if operation.alias_at % alignment:
            problems.append(
                f"{where}: a view from byte {operation.alias_at} on is not aligned to {alignment}"
            )
        ready.update(operation.writes)
    if problems:
        raise ValueError("memory plan: " + "; ".join(problems))


def _sharing_problems(operation: Operation, known: Mapping[str, Buffer]) -> list[str]:
    """What is wrong with the in_place, alias, parts and scratch of one operation whose buffers are known."""
    problems = [f"scratch of {operation.scratch_bytes} bytes"] if operation.scratch_bytes < 0 else []
    shared = [
        *operation.in_place,
        *([operation.alias] if operation.alias else []),
        *(p for p, _ in operation.parts),
    ]
    if not shared:
        return problems
    if (
        len(operation.writes) != 1
        or sum(map(bool, (operation.in_place, operation.alias, operation.parts))) != 1
    ):
        return [*problems, "in_place, alias and parts exclude each other and need exactly one output"]
    problems += [f"{name} is shared but not read" for name in shared if name not in operation.reads]
    output = known[operation.writes[0]]
    if operation.alias:
        inside = known.get(operation.alias, output).size_bytes - operation.alias_at
        outside = operation.alias_at < 0 or output.size_bytes > inside
        cut = output.external and inside != output.size_bytes
        problems += [f"{output.name} leaves {operation.alias}"] if outside else []
        return [*problems, f"{output.name} is external and a part of {operation.alias}"] if cut else problems
    if operation.in_place:
        wrong = [name for name in shared if name in known and known[name].size_bytes != output.size_bytes]
        return [*problems, *(f"{name} and {output.name} share bytes but differ in size" for name in wrong)]
    end = 0
    for name, offset in sorted(operation.parts, key=lambda part: part[1]):
        size = known[name].size_bytes if name in known else 0
        if offset < end or offset + size > output.size_bytes:
            problems.append(f"part {name} at {offset} overlaps another or leaves {output.name}")
        end = offset + size
    return problems
