"""What the command line imports before it works, how it ends, and what an import of a bare folder says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRINE = Path(sys.executable).parent / "trine"
FOLDERS = ("compilers", "devices", "edge", "neuromorphic", "quantum")
HEAVY = frozenset(
    [
        "braket", "capstone", "dwave", "elftools", "matplotlib", "neurokit2", "nir", "numba", "numpy", "onnx",
        "onnx_ir", "onnxruntime", "onnxscript", "pandas", "pennylane", "qiskit", "requests", "scipy",
        "snntorch", "torch", "unicorn", "wfdb", "ziglang",
    ]
)  # fmt: skip
LOADED = """
import json, sys
sys.argv = ["trine", *sys.argv[1:]]
from trine.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def trine(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [str(TRINE), *arguments], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compile", "--help"],
        ["devices"],
        ["devices", "stm32l4r5"],
        ["devices", "--json"],
        ["devices", "no_such_device"],
        ["doctor", "--json"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, cwd=ROOT / "docs"
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "trine" in loaded
    assert not loaded & HEAVY


def test_help_names_every_verb() -> None:
    done = trine("--help")
    assert done.returncode == 0
    verbs = ("devices", "check", "compile", "simulate", "verify", "data", "demo", "doctor")
    assert all(f"\n  {verb} " in done.stdout for verb in verbs)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["devices", "stm32l4r6"], "stm32l4r5"),
        (["check", "none.onnx", "--device", "stm32l4r5"], "none.onnx"),
        (["compile", "none.onnx", "--device", "stm32l4r5", "-o", "out"], "none.onnx"),
        (["compile", "none.onnx"], "--device"),
        (["verify", "none"], "none"),
        (["simulate", "none", "--data", "none.npz"], "none"),
        (["data", "mitbhi", "-o", "out"], "mitbih"),
        (["no-such-verb"], "no-such-verb"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_with_2_and_says_why(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = trine(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_and_nothing_else() -> None:
    for arguments in (["devices", "--json"], ["devices", "loihi1", "--json"], ["doctor", "--json"]):
        done = trine(*arguments)
        assert done.returncode == 0
        assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_bare_folder_says_how_to_import_it(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"trine.{folder}" in last
    assert "install" in last
    done = subprocess.run(
        [sys.executable, "-c", f"import trine.{folder}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
