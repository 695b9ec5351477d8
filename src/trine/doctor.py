"""`trine doctor`: every optional part, whether it is there, its version, what it is for, how to get it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

PACKAGES = (  # distribution, extra ("" = base), what for
    ("numpy", "", "every program's definition"),
    ("onnx", "", "reading and writing models"),
    ("onnxruntime", "", "running the int8 ONNX"),
    ("onnxscript", "", "normalising models before lowering"),
    ("torch", "torch", "reading torch modules and .pt2 files; training the examples"),
    ("ziglang", "verify", "compiling the C for emulated cores"),
    ("unicorn", "verify", "emulated Cortex-M0 to M33 and RV32IMC, exact instruction counts"),
    ("pyelftools", "verify", "flash and RAM from the linked program"),
    ("capstone", "verify", "checking that no instruction is beyond the core"),
    ("wfdb", "data", "downloading MIT-BIH records"),
    ("neurokit2", "data", "a synthetic ECG where no recording can be had"),
)
PROGRAMS = (  # program, apt package, what for
    ("cc", "gcc", "running the emitted C on this machine (ziglang serves as well)"),
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi", "a second compiler for the emulated cores"),
    ("qemu-system-arm", "qemu-system-arm", "whole-board boot, Cortex-M55 with Helium"),
)


@dataclass(frozen=True)
class Part:
    """One optional part; version None when it is absent; get: the command that brings it."""

    name: str
    version: str | None
    purpose: str
    get: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, and whether it is there."""
        return {**asdict(self), "present": self.version is not None}


def examine() -> list[Part]:
    """Look for every part; imports none of them."""
    parts = []
    for name, extra, purpose in PACKAGES:
        try:
            version: str | None = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        parts.append(
            Part(name, version, purpose, f"pip install 'trine[{extra}]'" if extra else "pip install trine")
        )
    for name, package, purpose in PROGRAMS:
        path = shutil.which(name)
        parts.append(Part(name, path, purpose, f"apt-get install {package}"))
    return parts


def show(parts: Sequence[Part]) -> None:
    """The table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("part", "version or place", "needed for", "how to get it"):
        table.add_column(column, overflow="fold")
    for part in parts:
        table.add_row(
            part.name,
            part.version or "[bold]absent[/bold]",
            part.purpose,
            "" if part.version else escape(part.get),
        )
    Console().print(table)
