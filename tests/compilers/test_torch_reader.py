"""torch modules and .pt2 files: same answers as torch, and no code of the file's author runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import draw

from trine.compilers.onnx_reader import UnsupportedNodes
from trine.compilers.torch_reader import from_torch, plain_size, read_torch
from trine.devices.errors import InputError

torch = pytest.importorskip("torch", reason="the extra torch is not installed")


class BeatNet(torch.nn.Module):
    """A beat classifier with what makes trouble: batch norm, dropout, view by size, two inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = torch.nn.Conv1d(1, 8, 7, stride=2, padding=3)
        self.norm = torch.nn.BatchNorm1d(8)
        self.depth = torch.nn.Conv1d(8, 8, 5, padding=2, groups=8)
        self.pool = torch.nn.MaxPool1d(2)
        self.drop = torch.nn.Dropout(0.2)
        self.dense = torch.nn.Linear(8 + 2, 5)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, beat: Any, rr: Any) -> Any:
        y = self.pool(torch.relu(self.norm(self.conv(beat))))
        y = torch.nn.functional.relu6(self.depth(y)).mean(-1)
        y = torch.cat([y.view(y.size(0), -1), rr], 1)
        return torch.softmax(self.dense(self.drop(y)), -1)


BEAT, RR = draw(1, 3, 1, 64), draw(2, 3, 2)


def expected() -> Any:
    with torch.no_grad():
        return BeatNet().eval()(torch.tensor(BEAT), torch.tensor(RR)).numpy()


def check(graph: Any) -> None:
    (ours,) = graph.run({"beat": BEAT, "rr": RR}).values()
    np.testing.assert_allclose(ours, expected(), rtol=1e-5, atol=1e-6)
    assert [t.name for t in graph.inputs] == ["beat", "rr"]
    assert [n.op for n in graph.nodes].count("Conv") == 2
    assert not {n.op for n in graph.nodes} & {"BatchNormalization", "Dropout", "Identity"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .pt2 with a free batch axis."""
    batch = torch.export.Dim("batch")
    examples = (torch.zeros(2, 1, 64), torch.zeros(2, 2))
    program = torch.export.export(BeatNet().eval(), examples, dynamic_shapes=({0: batch}, {0: batch}))
    path = tmp_path_factory.mktemp("torch") / "beat_net.pt2"
    torch.export.save(program, path)
    return path


def test_a_module_in_memory() -> None:
    module = BeatNet().train()
    graph = from_torch(module, (torch.zeros(4, 1, 64), torch.zeros(4, 2)))
    check(graph)
    assert graph.name == "BeatNet"
    assert module.training


def test_a_pt2_file(archive: Path) -> None:
    graph = read_torch(archive)
    check(graph)
    assert graph.name == "beat_net"


def test_a_pt2_file_with_a_batch_of_one(tmp_path: Path) -> None:
    program = torch.export.export(BeatNet().eval(), (torch.zeros(1, 1, 64), torch.zeros(1, 2)))
    torch.export.save(program, tmp_path / "one.pt2")
    check(read_torch(tmp_path / "one.pt2"))


def test_a_pt2_file_with_a_larger_batch_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(4, 2).eval(), (torch.zeros(3, 4),))
    torch.export.save(program, tmp_path / "three.pt2")
    with pytest.raises(InputError, match="fixed batch of 3"):
        read_torch(tmp_path / "three.pt2")


def test_a_module_that_cannot_be_lowered() -> None:
    class Determinant(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.det(x)

    with pytest.raises(UnsupportedNodes, match="Det"):
        from_torch(Determinant(), (torch.zeros(1, 3, 2, 2),))


def test_a_module_that_cannot_be_traced() -> None:
    class Breaks(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            raise RuntimeError("not today")

    with pytest.raises(InputError, match="not today"):
        from_torch(Breaks(), (torch.zeros(1, 4),))
    with pytest.raises(InputError, match="tensors with a batch axis"):
        from_torch(Breaks(), (3.0,))


def rewritten(
    archive: Path, folder: Path, change: Callable[[str, bytes], bytes | None], **extra: bytes
) -> Path:
    """A copy of an archive with members changed, dropped or added."""
    path = folder / "evil.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        root = old.namelist()[0].split("/")[0]
        for name, content in extra.items():
            new.writestr(f"{root}/{name.replace('__', '/').replace('_dot_', '.')}", content)
    return path


class Trap:
    """Unpickling this leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def edit_model(edit: Callable[[str], str]) -> Callable[[str, bytes], bytes]:
    return lambda name, data: edit(data.decode()).encode() if name.endswith("models/model.json") else data


def test_pickled_code_is_refused_before_it_runs(archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save((Trap(mark),), buffer)
    swapped = rewritten(
        archive, tmp_path, lambda name, data: buffer.getvalue() if "sample_inputs" in name else data
    )
    with pytest.raises(InputError, match="pickles more than tensors"):
        read_torch(swapped)
    assert not mark.exists()


def test_pickled_weights_constants_and_libraries_are_refused(archive: Path, tmp_path: Path) -> None:
    def pickled(name: str, data: bytes) -> bytes:
        return (
            data.replace(b'"use_pickle": false', b'"use_pickle": true')
            if name.endswith("config.json")
            else data
        )

    with pytest.raises(InputError, match="pickled member weight_0"):
        read_torch(rewritten(archive, tmp_path, pickled))
    member = {"data__constants__opaque_obj_0": pickle.dumps(Trap(tmp_path / "ran"))}
    with pytest.raises(InputError, match="member data/constants/opaque_obj_0"):
        read_torch(rewritten(archive, tmp_path, lambda name, data: data, **member))
    with pytest.raises(InputError, match=r"member data/aotinductor/model/x\.so"):
        read_torch(
            rewritten(
                archive, tmp_path, lambda name, data: data, data__aotinductor__model__x_dot_so=b"\x7fELF"
            )
        )


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.ops.aten.relu.__globals__",
        "torch.ops.aten.from_file",
        "_operator.call",
        "os.system",
    ],
)
def test_operators_beyond_aten_are_refused(target: str, archive: Path, tmp_path: Path) -> None:
    change = edit_model(lambda text: text.replace('"torch.ops.aten.relu.default"', json.dumps(target), 1))
    with pytest.raises(InputError, match="operator"):
        read_torch(rewritten(archive, tmp_path, change))


def test_size_expressions_are_not_evaluated_blindly(archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path('{mark}').touch()"

    def inject(text: str) -> str:
        document = json.loads(text)
        pending = [document]
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                if "expr_str" in item:
                    item["expr_str"] = code
                pending.extend(item.values())
            elif isinstance(item, list):
                pending.extend(item)
        return json.dumps(document)

    with pytest.raises(InputError, match="size expression"):
        read_torch(rewritten(archive, tmp_path, edit_model(inject)))
    assert not mark.exists()


@pytest.mark.parametrize(
    "expression",
    [
        "s0",
        "2*s0 + 1",
        "Symbol('s0', positive=True, integer=True)",
        "FloorDiv(Symbol('s0', integer=True), 2)",
        "Max(1, u0)",
    ],
)
def test_plain_sizes(expression: str) -> None:
    assert plain_size(expression)


@pytest.mark.parametrize(
    "expression",
    ["exec('1')", "s0.x", "open('a')", "Symbol('__import__(1)')", "(lambda: 1)()", "[1 for s0 in s0]",
     "s0[0]", "'s0'", "Symbol(x='s0')", "f'{s0}'", "eval", "", None, "(" * 500],
)  # fmt: skip
def test_sizes_that_are_code(expression: Any) -> None:
    assert not plain_size(expression)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    with pytest.raises(InputError, match=r"not a \.pt2 archive"):
        read_torch(tmp_path / "net.pt2")


def test_damaged_and_other_archives(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_torch(tmp_path / "none.pt2")
    (tmp_path / "cut.pt2").write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(InputError):
        read_torch(tmp_path / "cut.pt2")
    torch.save({"w": torch.zeros(3)}, tmp_path / "state.pt2")
    with pytest.raises(InputError, match=r"torch\.export\.save"):
        read_torch(tmp_path / "state.pt2")
    dropped = rewritten(archive, tmp_path, lambda name, data: None if name.endswith("weight_0") else data)
    with pytest.raises(InputError, match=r"evil\.pt2"):
        read_torch(dropped)
