"""Wheel and source archive hold every file the package needs, and the wheel runs where it is alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import trine

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("compilers", "devices", "edge", "neuromorphic", "quantum")
SUFFIXES = (".py", ".toml", ".c", ".h", ".ld", ".S")
BACKEND = (
    "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
)


def needed() -> set[str]:
    """Paths below `trine/` of every file that the package needs."""
    found = {f"trine/{p.name}" for p in (ROOT / "src" / "trine").glob("*.py")} | {"trine/py.typed"}
    for folder in FOLDERS:
        files = (p for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES and p.is_file())
        found |= {f"trine/{p.relative_to(ROOT).as_posix()}" for p in files}
    return found


def build(kind: str, source: Path, out: Path) -> Path:
    """Build `source` as "wheel" or "sdist" without network or isolation."""
    command = [sys.executable, "-c", BACKEND, f"build_{kind}", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build needs, links kept, because a build leaves files beside its source."""
    place = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, place / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
    for name in (*FOLDERS, "src"):
        shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=ignore)
    return place


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def in_wheel(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if name.startswith("trine/") and not name.endswith("/")}


def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    assert len(needed()) > 150
    assert in_wheel(wheel) == needed()
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert tops == {"trine", f"trine-{trine.__version__}.dist-info"}
    assert len(licences) == 1


def test_the_source_archive_builds_the_same_wheel(wheel: Path, source: Path, tmp_path: Path) -> None:
    archive = build("sdist", source, tmp_path)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", unpacked, tmp_path)
    assert in_wheel(again) == in_wheel(wheel)


def test_the_wheel_runs_alone(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's other packages but not its Trine."""
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (site,) = place.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), "-c", "import trine.edge.target; print(trine.edge.target.__file__)"],
        cwd=tmp_path, env=clean, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(place)
    done = subprocess.run(
        [str(place / "bin" / "trine"), "devices"], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("stm32l4r5", "loihi1", "ibm_heron_r2"))


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == trine.__version__
    assert f"## {trine.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_folders_are_relative_links() -> None:
    for folder in FOLDERS:
        link = ROOT / "src" / "trine" / folder
        assert link.is_symlink()
        assert os.readlink(link) == f"../../{folder}"
