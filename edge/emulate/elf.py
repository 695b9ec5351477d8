"""What a linked image says about itself: sizes by purpose, symbols, and the bytes to load."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError, MissingExtra

_SHF_ALLOC_EXEC = 0x2 | 0x4
_PROGRAM = (".text", ".rodata", ".data", ".bss")


@dataclass(frozen=True)
class Sizes:
    """Bytes the program itself takes in a linked image, the board's start-up code and the stack excluded.

    ``flash_bytes`` = code + constants + initial values of variables; ``ram_bytes`` = variables, the arena
    among them. Library routines that the compiler pulled in (64-bit division, memcpy) count as the program's.
    """

    flash_bytes: int
    ram_bytes: int
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    symbols: dict[str, int]


@dataclass(frozen=True)
class Symbol:
    """A function or object of the image. `address` is without Thumb's lowest bit."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Image:
    """A linked image: loadable bytes at their run-time addresses, symbols, and where the code lies.

    ``code`` holds [start, end) ranges of instructions, literal pools left out; ``segments`` (address, bytes)
    with zero-filled memory included.
    """

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    functions: tuple[Symbol, ...]
    code: tuple[tuple[int, int], ...]

    def function(self, name: str) -> Symbol:
        """The function `name`. Raises InputError when the image has none."""
        for symbol in self.functions:
            if symbol.name == name:
                return symbol
        raise InputError(f"{self.path.name} has no function {name}: is it the C of this deployment?")

    def layers(self, entry: str) -> tuple[Symbol, ...]:
        """The layer functions of the program whose entry is ``trine_NAME_run``, by layer index."""
        prefix = entry.removesuffix("_run") + "_layer_"
        found = [symbol for symbol in self.functions if symbol.name.startswith(prefix)]
        return tuple(sorted(found, key=lambda s: (_index(s.name.removeprefix(prefix)), s.name)))

    def symbol_at(self, address: int) -> str:
        """Name and offset of the function around `address`, for messages."""
        starts = [symbol.address for symbol in self.functions]
        at = bisect_right(starts, address) - 1
        if at < 0 or address >= self.functions[at].address + max(self.functions[at].size, 2):
            return "outside the program"
        symbol = self.functions[at]
        return f"{symbol.name}+{address - symbol.address:#x}"

    def read(self, start: int, end: int) -> bytes:
        """The bytes of [start, end)."""
        for base, data in self.segments:
            if base <= start and end <= base + len(data):
                return data[start - base : end - base]
        raise InputError(f"{self.path.name}: no bytes at {start:#x}..{end:#x}")


def _index(label: str) -> int:
    head = label.split("_", 1)[0]
    return int(head) if head.isdigit() else -1


def _open(path: Path) -> Any:
    try:
        from elftools.elf.elffile import ELFFile
    except ModuleNotFoundError:
        raise MissingExtra("pyelftools", "verify", "reading a linked image") from None
    from io import BytesIO

    return ELFFile(BytesIO(path.read_bytes()))


def sizes(path: Path) -> Sizes:
    """Flash and RAM of the program in the ELF at `path`. Raises MissingExtra without pyelftools."""
    elf = _open(path)
    by_section = dict.fromkeys(_PROGRAM, 0)
    numbers: dict[int, str] = {}
    for number, section in enumerate(elf.iter_sections()):
        if section.name in by_section:
            by_section[section.name] = section["sh_size"]
            numbers[number] = section.name
    symbols: dict[str, int] = {}
    arena = 0
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        section_name = numbers.get(symbol["st_shndx"])
        if section_name is None or symbol["st_info"]["type"] not in ("STT_OBJECT", "STT_FUNC"):
            continue
        symbols[symbol.name] = symbol["st_size"]
        if section_name in (".bss", ".data") and "arena" in symbol.name:
            arena += symbol["st_size"]
    return Sizes(
        flash_bytes=by_section[".text"] + by_section[".rodata"] + by_section[".data"],
        ram_bytes=by_section[".data"] + by_section[".bss"],
        code_bytes=by_section[".text"],
        constant_bytes=by_section[".rodata"],
        arena_bytes=arena,
        symbols=dict(sorted(symbols.items())),
    )


def load_image(path: Path) -> Image:
    """Read the ELF at `path`. Raises MissingExtra without pyelftools."""
    elf = _open(path)
    segments = []
    for segment in elf.iter_segments("PT_LOAD"):
        size = segment["p_memsz"]
        if size:
            segments.append((segment["p_vaddr"], segment.data() + bytes(size - segment["p_filesz"])))
    thumb = 1 if elf["e_machine"] == "EM_ARM" else 0
    marks: list[tuple[int, str]] = []
    functions: dict[int, Symbol] = {}
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        if symbol.name[:2] in ("$t", "$a", "$d", "$x"):
            marks.append((symbol["st_value"], symbol.name[1]))
        elif symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
            address = symbol["st_value"] & ~thumb
            known = functions.get(address)
            if known is None or symbol.name < known.name:
                functions[address] = Symbol(symbol.name, address, symbol["st_size"])
    return Image(path, tuple(segments), tuple(functions[a] for a in sorted(functions)), _code(elf, marks))


def _code(elf: Any, marks: list[tuple[int, str]]) -> tuple[tuple[int, int], ...]:
    """Ranges of instructions, from the mapping symbols of the Arm and RISC-V ELF ABIs."""
    ranges = []
    for section in elf.iter_sections():
        if section["sh_flags"] & _SHF_ALLOC_EXEC != _SHF_ALLOC_EXEC or not section["sh_size"]:
            continue
        start, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        inside = sorted({(a, kind) for a, kind in marks if start <= a < end})
        bounds = [*inside, (end, "d")] if inside else [(start, "x"), (end, "d")]
        for (low, kind), (high, _) in pairwise(bounds):
            if kind != "d" and high > low:
                ranges.append((low, high))
    return tuple(sorted(ranges))
