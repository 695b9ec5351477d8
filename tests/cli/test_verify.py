"""A deployment notices every changed byte, is the same twice, and is replaced whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import TRINE, Answer, Compiled, run, shell, tree

from trine.compilers import deployment
from trine.compilers.deployment import digest
from trine.compilers.source import sha256

FILES = (
    "c/net.c", "c/net.h", "deployment.json", "float.onnx", "model.onnx", "program.npz", "receipts.json",
    "stm32l4r5.toml", "vectors.npz",
)  # fmt: skip


def says_no(answer: Answer, *words: str) -> None:
    """Exit 1, nothing on stdout, one message."""
    assert answer.code == 1, answer
    assert answer.out == ""
    assert answer.err.startswith("trine: ")
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.text


def forge(folder: Path, changes: Mapping[str, Any] | None = None) -> None:
    """Record the files as they are now, with a fresh digest, as somebody who wants to deceive would."""
    path = folder / "deployment.json"
    record = {**json.loads(path.read_text()), **(changes or {})}
    if not changes:
        for entry in record["artifacts"]:
            entry["sha256"] = sha256(folder / entry["path"])
    record["digest"] = digest(record)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def test_the_files_of_a_deployment(compiled: Compiled) -> None:
    assert sorted(name for name, kind in tree(compiled.out).items() if kind != "folder") == sorted(FILES)


def test_an_untouched_deployment_verifies(copy: Path) -> None:
    before = tree(copy)
    answer = run("verify", copy)
    assert answer.code == 0, answer.err
    assert f"{len(FILES)} files unchanged" in answer.out
    assert "emulated cortex-m4f" in answer.out
    assert " 0 of " in answer.out
    assert tree(copy) == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit_is_noticed(name: str, place: float, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(place * (len(content) - 2))] ^= 1
    (copy / name).write_bytes(content)
    for words in (("verify", copy), ("simulate", copy, "--data", "unused.npz")):
        answer = run(*words)
        if name == "deployment.json" and answer.code == 2:  # no JSON any more, or a key less
            assert "deployment.json" in answer.err
        else:
            says_no(answer, name, "changed since it was written")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed(name: str, copy: Path) -> None:
    (copy / name).unlink()
    answer = run("verify", copy)
    if name == "deployment.json":
        assert answer.code == 2
    else:
        says_no(answer, name, "missing")


def test_strangers_and_links_are_noticed(copy: Path, tmp_path: Path) -> None:
    (copy / "c" / "more.h").write_text("int x;")
    (copy / "nowhere").symlink_to(tmp_path / "nowhere")
    says_no(run("verify", copy), "c/more.h: not part", "nowhere: not part")
    (copy / "c" / "more.h").unlink()
    (copy / "nowhere").unlink()
    shutil.move(copy / "c" / "net.c", tmp_path / "net.c")
    (copy / "c" / "net.c").symlink_to(tmp_path / "net.c")
    says_no(run("verify", copy), "c/net.c: a link that leads out of the folder")


@pytest.mark.parametrize("name", ["c/net.c", "c/net.h", "model.onnx", "vectors.npz"])
def test_a_forged_file_is_refused_before_anything_runs(
    name: str, compiled: Compiled, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "vectors.npz":
        with np.load(copy / name) as file:
            arrays = {key: file[key] for key in file.files}
        arrays["out_y"] = arrays["out_y"] ^ np.int8(1)
        np.savez(copy / name, **arrays)
    elif name == "model.onnx":
        (copy / name).write_bytes((copy / "float.onnx").read_bytes())
    else:
        (copy / name).write_text('#include "/etc/hostname"\n' + (copy / name).read_text())
    forge(copy)

    def started(*_: object, **__: object) -> None:
        raise AssertionError("something was compiled or run")

    monkeypatch.setattr("trine.edge.simulate.run_prints", started)
    monkeypatch.setattr(subprocess, "Popen", started)
    says_no(run("verify", copy), "compile the model again" if name != "vectors.npz" else "stored vectors")
    if name != "vectors.npz":
        says_no(run("simulate", copy, "--data", compiled.data), "compile the model again")


def test_a_forged_program_is_refused(copy: Path) -> None:
    with np.load(copy / "program.npz") as file:
        arrays = {key: file[key] for key in file.files}
    head = json.loads(arrays["program"].tobytes())
    head["steps"][0]["attributes"]["strides"] = ['1, 1); system("true"); (']
    arrays["program"] = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    np.savez(copy / "program.npz", **arrays)
    forge(copy)
    answer = run("verify", copy)
    assert answer.code == 2
    assert "unknown word" in answer.err


@pytest.mark.parametrize("path", ["../net.c", "/etc/hostname", "c/../../net.c", "", "c\\..\\x"])
def test_artifacts_outside_the_folder_are_refused(path: str, copy: Path) -> None:
    record = json.loads((copy / "deployment.json").read_text())
    record["artifacts"][0]["path"] = path
    forge(copy, {"artifacts": record["artifacts"]})
    answer = run("verify", copy)
    assert answer.code == 2
    assert "outside the folder" in answer.err


def test_compiling_twice_gives_the_same_bytes(compiled: Compiled, tmp_path: Path) -> None:
    words = ("compile", compiled.model, "--device", "stm32l4r5", "--data", compiled.data, "--json")
    again = shell(*words, "-o", tmp_path / "again", env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"})
    assert again.code == 0, again.err
    assert tree(tmp_path / "again") == tree(compiled.out)
    assert again.out == compiled.answer.out
    replaced = run(*words, "-o", tmp_path / "again")
    assert replaced.code == 0, replaced.err
    assert tree(tmp_path / "again") == tree(compiled.out)
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_a_failure_keeps_the_old_deployment(
    compiled: Compiled, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("compile", compiled.model, "--device", "nrf52840", "--data", compiled.data, "-o", copy)
    before = tree(tmp_path)
    rename = Path.rename
    seen = []

    def failing(self: Path, target: Path) -> Path:
        seen.append((self.name, Path(target).name))
        if self.suffix == ".part":
            raise kind("it broke")
        return rename(self, target)

    for kind in (OSError, KeyboardInterrupt):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", failing)
            answer = run(*words)
        assert answer.code == (2 if kind is OSError else 130), answer
        assert tree(tmp_path) == before
    assert ("copy", "old") in seen
    for broken in (OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("x")):
        with monkeypatch.context() as patch:
            patch.setattr(deployment, "write_record", lambda *_, e=broken: (_ for _ in ()).throw(e))
            patch.setattr("trine.compilers.deploy.write_record", deployment.write_record)
            if isinstance(broken, RuntimeError):
                with pytest.raises(RuntimeError):
                    run(*words)
            else:
                run(*words)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("wanted", ["out", "zig"])
def test_an_interrupt_leaves_nothing(wanted: str, compiled: Compiled, tmp_path: Path) -> None:
    scratch, place = tmp_path / "tmp", tmp_path / "place"
    scratch.mkdir()
    place.mkdir()
    words = ("compile", compiled.model, "--device", "stm32l4r5", "--data", compiled.data, "-o", place / "out")
    process = subprocess.Popen(
        [*TRINE, *map(str, words)], stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    deadline = time.monotonic() + 60
    started = place if wanted == "out" else scratch
    while not any(started.glob(".out*.part/*" if wanted == "out" else "trine-core-*/*")):
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in talk
    assert list(place.iterdir()) == []
    assert list(scratch.iterdir()) == []
