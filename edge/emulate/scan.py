"""Which instructions of an image its core does not have.

Emulators are too kind: unicorn's Cortex-M3 executes SMLAD. So the code is disassembled and each instruction
looked up by its group. Groups follow the Armv6-M, Armv7-M and Armv8-M Architecture Reference Manuals (DDI
0419, 0403, 0553) and the RISC-V unprivileged specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trine.devices.errors import AnswerIsNo, MissingExtra
from trine.edge.emulate.cores import Core
from trine.edge.emulate.elf import Image

_SHOWN = 5

# Armv7-M manual, A4.4.3 to A4.4.7: the "DSP extension" columns.
_DSP = re.compile(
    r"^(smla(bb|bt|tb|tt|wb|wt|d|dx|lbb|lbt|ltb|ltt|ld|ldx)|smls(d|dx|ld|ldx)|smm(la|lar|ls|lsr|ul|ulr)"
    r"|smu(ad|adx|sd|sdx|lbb|lbt|ltb|ltt|lwb|lwt)|umaal|[su]x(tb16|tab16|tab|tah)|pkh(bt|tb)|q(d?add|d?sub)"
    r"|(s|q|sh|u|uq|uh)(add8|add16|sub8|sub16|asx|sax)|sel|[su]sat16|usad8|usada8)$"
)
_CONDITION = re.compile(r"(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)$")
_VECTOR = re.compile(r"^v(?!cvt|mov|push|pop|ldm|stm|jcvt).*\.(i|s|u|p)?(8|16|32|64)$|^(cdp|ldc|stc|mcr|mrc)")
_FPV5 = re.compile(r"^v(sel|maxnm|minnm|rint|cvt[anpm]\.)")
_ARMV8M = re.compile(r"^(lda|stl|sg$|tt|bxns|blxns|vlstm|vlldm)")
# Armv6-M manual, A5.3: the only 32-bit encodings, and the Armv7-M ones among the 16-bit encodings.
_V6M_WIDE = frozenset({"bl", "msr", "mrs", "dmb", "dsb", "isb", "udf"})
_V7M_NARROW = re.compile(r"^(cbz|cbnz|it[te]*)$")
_ATOMIC = re.compile(r"^(lr|sc|amo\w+)\.")


class IsaViolation(AnswerIsNo):
    """The image holds instructions that its core does not have."""


def scan(image: Image, core: Core) -> int:
    """Check every instruction of `image` against `core` and return how many were read (0 if not scannable).

    Raises IsaViolation naming the first few offenders, MissingExtra without capstone.
    """
    if not core.scannable:
        return 0
    seen = 0
    offenders: list[str] = []
    for start, end in image.code:
        for address, size, mnemonic, operands in _disassemble(image.read(start, end), start, core):
            seen += 1
            group = _group(mnemonic, size, operands, core)
            if group is not None:
                what = f"{mnemonic} {operands}".strip()
                offenders.append(f"{address:#x} {image.symbol_at(address)}: {what} ({group})")
    if offenders:
        more = f"\n  and {len(offenders) - _SHOWN} more" if len(offenders) > _SHOWN else ""
        shown = "\n  ".join(offenders[:_SHOWN])
        raise IsaViolation(f"{core.id} does not have {len(offenders)} of the instructions:\n  {shown}{more}")
    return seen


def _disassemble(code: bytes, start: int, core: Core) -> Iterator[tuple[int, int, str, str]]:
    engine = _engine(core)
    at = 0
    while at < len(code):
        for address, size, mnemonic, operands in engine.disasm_lite(code[at:], start + at):
            at = address + size - start
            yield address, size, mnemonic, operands
        if at < len(code):
            size = _width(code, at, core)
            yield start + at, size, "undecodable", code[at : at + size].hex()
            at += size


def _width(code: bytes, at: int, core: Core) -> int:
    low = code[at] | (code[at + 1] << 8) if at + 1 < len(code) else 0
    wide = low >> 11 in (0b11101, 0b11110, 0b11111) if core.family == "arm" else low & 3 == 3
    return 4 if wide else 2


def _engine(core: Core) -> Any:
    try:
        import capstone
    except ModuleNotFoundError:
        raise MissingExtra("capstone", "verify", "checking the instructions of an image") from None
    if core.family == "riscv":
        return capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC)
    mode = capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS
    # Without V8 capstone rejects the FPv5 instructions that a Cortex-M7 has; _group tells the two apart.
    return capstone.Cs(capstone.CS_ARCH_ARM, mode | capstone.CS_MODE_V8)


def _group(mnemonic: str, size: int, operands: str, core: Core) -> str | None:
    """The group that puts an instruction outside `core`, or None."""
    if mnemonic == "undecodable":
        return "no known instruction"
    groups = _riscv_groups(mnemonic) if core.family == "riscv" else _arm_groups(mnemonic, size)
    return next((group for group in groups if group in core.outside), None)


def _arm_groups(mnemonic: str, size: int) -> Iterator[str]:
    base = mnemonic.removesuffix(".w").removesuffix(".n")
    plain = _CONDITION.sub("", base) if not _DSP.match(base) else base
    if (size == 4 and base not in _V6M_WIDE) or _V7M_NARROW.match(base):
        yield "thumb2"
    if _DSP.match(plain):
        yield "dsp"
    if _VECTOR.match(base):
        yield "vector"
    if base.startswith("v"):
        if ".f64" in base:
            yield "fp64"
        if _FPV5.match(base):
            yield "fpv5"
        yield "fp"
    if _ARMV8M.match(base):
        yield "armv8m"


def _riscv_groups(mnemonic: str) -> Iterator[str]:
    base = mnemonic.removeprefix("c.")
    if _ATOMIC.match(base):
        yield "atomic"
    if base.startswith("f") and not base.startswith("fence"):
        yield "fp"
