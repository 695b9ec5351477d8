"""OpenQASM: version 3 out; versions 2 and 3 in. Reading and writing are qiskit's; the messages are ours."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

VERSION = re.compile(r"^\s*OPENQASM\s+(\d+)", re.MULTILINE)


def qasm3(circuit: Circuit) -> str:
    """OpenQASM 3 of a circuit with its measurements; free angles become `input float` declarations."""
    try:
        from qiskit.qasm3 import dumps
    except ImportError:
        raise MissingExtra("qiskit", "quantum", "OpenQASM") from None
    return str(dumps(to_qiskit(circuit, measure=True)))


def load_qasm(path: Path) -> QuantumCircuit:
    """The file as a qiskit circuit, classical control and all.

    Raises InputError with file, line and column for what the language, or the importer of version 3, does not have.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not text.strip():
        raise InputError(f"{Path(path).name}: the file is empty")
    found = VERSION.search(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    try:
        return load_two(text) if found and found[1] == "2" else load_three(text)
    except InputError as error:
        raise InputError(f"{Path(path).name}: {error}") from None


def load_two(text: str) -> Any:
    """OpenQASM 2. Raises InputError with line and column."""
    try:
        from qiskit import qasm2
    except ImportError:
        raise MissingExtra("qiskit", "quantum", "OpenQASM") from None
    try:
        return qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except qasm2.QASM2ParseError as error:
        raise InputError(located(str(error), r"<input>:(\d+),(\d+): (.*)")) from None


def load_three(text: str) -> Any:
    """OpenQASM 3, as far as qiskit's importer goes. Raises InputError with line and column."""
    try:
        import openqasm3
        import qiskit_qasm3_import
        from qiskit import qasm3
    except ImportError:
        raise MissingExtra("qiskit-qasm3-import", "quantum", "OpenQASM 3") from None
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # the parser prints there where it stumbles
            return qasm3.loads(text)
    except (
        openqasm3.parser.QASM3ParsingError,
        qasm3.QASM3ImporterError,
        qiskit_qasm3_import.ConversionError,
    ) as error:
        message = said.getvalue().strip() or str(error) or "no program of OpenQASM 3"
        raise InputError(located(message, r"(\d+)[,:](\d+):?\s*([^\n]*)")) from None
    except (IndexError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"qiskit's importer of OpenQASM 3 fails on it ({type(error).__name__}: {error})"
        ) from None


def located(message: str, pattern: str) -> str:
    """`line 4, column 2: what` from a parser's message."""
    found = re.search(pattern, message, re.DOTALL)
    if found is None:
        return message.strip().strip("'\"")
    return f"line {found[1]}, column {found[2]}: {found[3].strip().rstrip(chr(34))}"


def read_qasm(path: Path) -> Circuit:
    """A file as a `Circuit`. Raises InputError naming line or operation of what a circuit of gates cannot hold."""
    loaded = load_qasm(path)
    try:
        return from_qiskit(loaded)
    except InputError as error:
        raise InputError(f"{Path(path).name}: {error}") from None
