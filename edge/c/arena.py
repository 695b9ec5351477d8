"""The working memory in C: one static array, or one for each bank of RAM, that the user places by a macro."""

from __future__ import annotations

from collections.abc import Sequence

from trine.edge.memory import Bank, Plan


def place_text(plan: Plan, offset: int) -> str:
    """A place in the arena as C says it."""
    bank, at = plan.bank_of(offset)
    return f"{bank_name(bank)} + {at}"


def bank_name(bank: int) -> str:
    """The pointer to a bank in the entry function."""
    return f"bank{bank}" if bank else "arena"


def declaration(name: str, plan: Plan, banks: Sequence[Bank]) -> str:
    """The arrays, aligned for every type."""
    bound = f"no plan of this order needs fewer than {plan.lower_bound_bytes}."
    if not banks:
        return f"/* {plan.arena_bytes} bytes; {bound} */\n{array(name, 0, plan.arena_bytes, '')}"
    how = "-D'TRINE_BANK0=__attribute__((section(\".dtcm\")))'"
    parts = [
        f"/* {plan.arena_bytes} bytes in {len(banks)} banks; {bound} Where each lies is up to the build,\n"
        f"   for instance {how}; else where other variables do. */"
    ]
    for i, (bank, size) in enumerate(zip(banks, plan.bank_bytes(), strict=True)):
        macro = f"TRINE_BANK{i}"
        parts.append(
            f"#ifndef {macro}\n#define {macro} /* {bank.name}, {bank.size_bytes} bytes there */\n#endif"
        )
        parts.append(array(name, i, size, f" {macro}"))
    return "\n".join(parts)


def array(name: str, bank: int, size: int, where: str) -> str:
    """One array of bytes; ISO C has none of length 0."""
    return (
        f"static union {{\n    int64_t align;\n    int8_t bytes[{max(size, 1)}];\n}} "
        f"trine_{name}_{bank_name(bank)}{where};\n"
    )


def entry_lines(name: str, plan: Plan) -> str:
    """The pointers that the calls are written with."""
    return "".join(
        f"    int8_t *{at} = trine_{name}_{at}.bytes;\n    (void){at};\n"
        for at in map(bank_name, range(len(plan.bank_starts)))
    )


def size_macros(name: str, plan: Plan, banks: Sequence[Bank]) -> list[str]:
    """Bytes of the arena, and of each bank of it."""
    lines = [f"#define TRINE_{name.upper()}_ARENA_SIZE {max(plan.arena_bytes, 1)}"]
    for i, (bank, size) in enumerate(zip(banks, plan.bank_bytes(), strict=False)):
        lines.append(f"#define TRINE_{name.upper()}_BANK{i}_SIZE {max(size, 1)} /* {bank.name} */")
    return lines
