"""The one door for model files."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import onnx
import pytest
from onnx_models import small_cnn

from trine.compilers.source import load_source, sha256
from trine.devices.errors import InputError, MissingExtra


def test_onnx_by_any_case_of_its_suffix(tmp_path: Path) -> None:
    onnx.save(small_cnn("n", "time"), tmp_path / "Net.ONNX")
    assert load_source(tmp_path / "Net.ONNX", {"x": (1, 1, 32)}).name == "Net"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("net.pt", "torch.export.save"), ("net.tflite", "tf2onnx"), ("net", ".pt2"), ("net.bin", ".onnx")],
)
def test_an_unknown_kind_names_the_accepted_ones(name: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=r"accepted are \.onnx \(an ONNX model\), \.pt2") as caught:
        load_source(tmp_path / name)
    assert advice in str(caught.value)


def test_nothing_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_source(tmp_path / "net.onnx")
    with pytest.raises(InputError, match="a folder"):
        load_source(tmp_path)


def test_sha256_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100000).hexdigest()


def test_pt2_without_torch_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trine\[torch\]'"):
        load_source(tmp_path / "net.pt2")
