"""What holds for the tree as a whole: names of tests, tools, pins, no trace of a machine."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (".py", ".toml", ".c", ".h", ".ld", ".S", ".md", ".txt", "")
FOLDERS = (
    ".ci", "benchmarks", "compilers", "devices", "docs", "edge", "examples", "neuromorphic", "quantum", "src",
    "tests",
)  # fmt: skip
PACKAGES = (
    "torch", "ziglang", "unicorn", "elftools", "capstone", "wfdb", "neurokit2", "snntorch", "neurobench", "qiskit",
    "qiskit_aer", "qiskit_ibm_runtime", "pennylane", "braket", "dwave", "rdkit", "dask", "qdk", "pyscf", "RNA",
    "pytoulbar2",
)  # fmt: skip
PROGRAMS = ("cc", "make", "arm-none-eabi-gcc", "qemu-system-arm")
# Spelt in parts so that this file does not find itself.
TRACES = re.compile("/" + r"work/|/" + r"root/|/" + r"tmp/|files\.python" + r"hosted|\bpypi" + r"\.org")


def texts() -> list[Path]:
    """Every text file of the repository, links not followed."""
    found = [p for p in ROOT.iterdir() if p.is_file() and p.suffix in TEXT]
    for folder in FOLDERS:
        for place, folders, names in os.walk(ROOT / folder):
            folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
            found += [Path(place) / name for name in names if Path(name).suffix in TEXT]
    return sorted(p for p in found if "egg-info" not in str(p))


def test_helpers_of_tests_are_found() -> None:
    """Their folders are on pytest's path, where two helpers of one name would hide each other."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"][
        "ini_options"
    ]
    helpers = [p for p in (ROOT / "tests").rglob("*.py") if not p.name.startswith(("test_", "conftest"))]
    assert {p.parent.relative_to(ROOT).as_posix() for p in helpers} <= set(options["pythonpath"])
    names = Counter(p.name for p in helpers)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="only continuous integration must have every tool")
def test_continuous_integration_has_every_tool() -> None:
    absent = [name for name in PACKAGES if find_spec(name) is None]
    absent += [name for name in PROGRAMS if shutil.which(name) is None]
    assert absent == [], "tests would be skipped for want of these"


def test_every_direct_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(line for name in ("torch", "verify", "data", "dev") for line in extras[name]),
    ]
    names = {re.split(r"[<>=\[]", line)[0].lower() for line in wanted} - {"trine"}
    assert names - pinned == set()


def test_no_trace_of_a_machine() -> None:
    """No path of the machine it was written on and no host of a package registry."""
    assert len(texts()) > 150
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if TRACES.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []
