"""Without the optional packages: what can be done is done, and the rest says which pip command brings it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_runner import Answer, Compiled, shell

HIDE = "import sys; sys.modules.update(dict.fromkeys({names!r})); from trine.cli import main; main()"


def without(names: tuple[str, ...], *words: object) -> Answer:
    """A command where these modules cannot be imported."""
    return shell(*words, head=(sys.executable, "-c", HIDE.format(names=names)))


@pytest.mark.parametrize(
    "hidden", [("ziglang",), ("unicorn",), ("ziglang", "unicorn", "elftools", "capstone")]
)
def test_compile_without_the_emulator(hidden: tuple[str, ...], compiled: Compiled, tmp_path: Path) -> None:
    answer = without(
        hidden, "compile", compiled.model, "--device", "stm32l4r5", "--data", compiled.data,
        "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert any("pip install 'trine[verify]'" in warning for warning in record["warnings"])
    assert "instructions" in record["missing"]
    assert {f["how"] for f in record["fit"]} == {"modelled"}
    assert not any("emulated" in p["against"] for p in record["parity"])
    assert any("C on the host" in p["against"] for p in record["parity"])
    full = {f["limit"]: f["used"] for f in compiled.record["fit"]}
    assert all(f["used"] >= full[f["limit"]] for f in record["fit"])


def test_verify_and_simulate_without_the_emulator(compiled: Compiled) -> None:
    hidden = ("ziglang", "unicorn")
    for words in (("verify", compiled.out), ("simulate", compiled.out, "--data", compiled.data)):
        answer = without(hidden, *words)
        assert answer.code == 0, answer.err
        assert "pip install 'trine[verify]'" in " ".join(answer.out.split())


def test_pt2_without_torch(compiled: Compiled, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK")
    answer = without(
        ("torch",), "compile", tmp_path / "net.pt2", "--device", "stm32l4r5", "-o", tmp_path / "out"
    )
    assert answer.code == 2
    assert answer.out == ""
    assert "pip install 'trine[torch]'" in answer.err
    assert "Traceback" not in answer.err
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt2"]


def test_no_torch_is_imported_for_onnx(compiled: Compiled) -> None:
    answer = without(("torch", "wfdb", "neurokit2"), "check", compiled.model, "--device", "stm32l4r5")
    assert answer.code == 0, answer.err
