"""The folder of a deployment: whole or not at all, and no file of somebody else's is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trine.compilers.deployment import (
    KEYS,
    check_hashes,
    digest,
    new_folder,
    open_deployment,
    refuse_target,
    write_record,
)
from trine.compilers.report import Artifact
from trine.devices.errors import AnswerIsNo, InputError


def fill(folder: Path, text: str) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text(text)
    write_record(folder, dict.fromkeys(KEYS, ()), [Artifact("sub/a.txt", "text")])


def make(out: Path, text: str, broken: BaseException | None = None) -> None:
    """A deployment, unless something breaks on the way."""
    with new_folder(out) as folder:
        fill(folder, text)
        if broken is not None:
            raise broken


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_made_opened_checked_and_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    for text in ("one", "two"):
        make(out, text)
        opened = open_deployment(out)
        assert opened.artifact("text").read_text() == text
        assert opened.has("text")
        assert not opened.has("else")
        assert check_hashes(opened) == 2
        assert names(out.parent) == ["out"]
    with pytest.raises(InputError, match="no artifact of role else"):
        opened.artifact("else")
    assert (out.stat().st_mode & 0o777) == 0o755


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", "one")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "broken", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("x"), SystemExit(3)]
)
@pytest.mark.parametrize("older", [False, True])
def test_a_failure_leaves_what_was_there(broken: BaseException, older: bool, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    if older:
        make(out, "old")
    wanted = InputError if isinstance(broken, OSError) else type(broken)
    with pytest.raises(wanted):
        make(out, "new", broken)
    if older:
        assert open_deployment(out).artifact("text").read_text() == "old"
        assert names(out.parent) == ["out"]
    else:
        assert names(tmp_path) == []


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("which", [0, 1])
def test_a_failed_swap_restores_the_old_one(
    kind: type[BaseException], which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", "old")
    rename, calls = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == which + 1:
            raise kind("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((InputError, kind)):
        make(tmp_path / "out", "new")
    assert open_deployment(tmp_path / "out").artifact("text").read_text() == "old"
    assert names(tmp_path) == ["out"]


def stranger(out: Path) -> None:
    (out / "sub" / "notes.txt").write_text("mine")


def unreadable(out: Path) -> None:
    (out / "deployment.json").write_text("{}")


def no_record(out: Path) -> None:
    (out / "deployment.json").unlink()


@pytest.mark.parametrize("change", [stranger, unreadable, no_record])
def test_what_is_not_only_a_deployment_is_not_replaced(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "out", "old")
    change(tmp_path / "out")
    with pytest.raises(InputError, match="choose another folder"):
        refuse_target(tmp_path / "out")
    with pytest.raises(InputError), new_folder(tmp_path / "out"):
        pytest.fail("never reached")
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "old"


def test_a_changed_artifact_does_not_stand_in_the_way(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "sub" / "a.txt").write_text("changed")
    with pytest.raises(AnswerIsNo, match=r"sub/a\.txt: changed"):
        check_hashes(open_deployment(tmp_path / "out"))
    make(tmp_path / "out", "new")
    assert check_hashes(open_deployment(tmp_path / "out")) == 2


@pytest.mark.parametrize("key", KEYS)
def test_a_record_without_a_key(key: str, tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    record = json.loads((tmp_path / "out" / "deployment.json").read_text())
    del record[key]
    record["digest"] = digest(record) if key != "digest" else ""
    if key == "digest":
        del record["digest"]
    (tmp_path / "out" / "deployment.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"no {key}"):
        open_deployment(tmp_path / "out")


@pytest.mark.parametrize(
    "artifacts", [None, {}, ["a"], [{"path": "a"}], [{"path": 1, "sha256": "", "role": ""}]]
)
def test_a_record_with_other_artifacts(artifacts: object, tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    record = json.loads((tmp_path / "out" / "deployment.json").read_text())
    (tmp_path / "out" / "deployment.json").write_text(json.dumps({**record, "artifacts": artifacts}))
    with pytest.raises(InputError, match="artifact"):
        open_deployment(tmp_path / "out")


def test_the_digest_covers_every_key(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    record = open_deployment(tmp_path / "out").record
    for key in record:
        changed = {**record, key: "other"}
        assert (digest(changed) == digest(record)) == (key == "digest")
