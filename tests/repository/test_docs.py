"""Every block of README and docs is run, page after page, in one folder that starts with a copy of examples/.

console: each command must end well and print what the page shows. bash, python: must end well. toml, json, c:
written to the file of their label (`file=NAME`) or read. text: a picture, not run. Any other label fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from doc_blocks import Block, blocks, commands, mismatch

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
FIRST = ROOT / "README.md"  # what its blocks leave, the other pages use
PAGES = [FIRST, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would be: a checkout, with the README's blocks done."""
    place = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", place / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def environment() -> dict[str, str]:
    """`trine` and `python` of this interpreter first on the path; the data of the tests where it is."""
    here = str(Path(sys.executable).parent)
    found = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    found.update(COLUMNS="118", TERM="dumb", NO_COLOR="1")
    if (DATA / "mitbih").is_dir():
        found["TRINE_DATA"] = str(DATA)
    return found


def run(command: list[str], folder: Path, place: str) -> str:
    """What a command prints on stdout; the test fails when it does not end well."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{place}: {command[-1]} ended with {done.returncode}\n{done.stderr[-3000:]}"
    return done.stdout


def run_console(block: Block, folder: Path) -> None:
    """Each command; its output against the page's where the page's data is there."""
    for command in commands(block):
        printed = run(["bash", "-euo", "pipefail", "-c", command.text], folder, block.place)
        if any(command.shown) and (DATA / "mitbih").is_dir():
            wrong = mismatch(command.shown, printed)
            assert wrong is None, f"{block.place}: $ {command.text}\n{wrong}"


def run_block(block: Block, folder: Path) -> None:
    """One block by its language."""
    if block.file is not None:
        assert Path(block.file).name == block.file, f"{block.place}: file= names a file in the folder"
        (folder / block.file).write_text(block.body, encoding="utf-8")
    if block.language == "console":
        run_console(block, folder)
    elif block.language == "bash":
        run(["bash", "-euo", "pipefail", "-c", block.body], folder, block.place)
    elif block.language == "python":
        run([sys.executable, "-c", block.body], folder, block.place)
    elif block.language == "toml":
        tomllib.loads(block.body)
    elif block.language == "json":
        json.loads(block.body)
    else:
        written = block.language == "c" and block.file is not None
        assert written or block.language == "text", f"{block.place}: label {block.language!r} cannot be run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, folder: Path) -> None:
    if page != FIRST and not (folder / "out").exists():
        for block in blocks(FIRST):
            run_block(block, folder)
    for block in blocks(page):
        run_block(block, folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]
    assert not missing


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("shown", "printed", "good"),
    [
        (("a 10 ms", "b"), "a 10.5 ms\nb\n", True),
        (("a 10 ms", "b"), "a 12 ms\nb\n", False),
        (("0 of 15,000 differ",), "0 of 15,000 differ", True),
        (("0 of 15,000 differ",), "1 of 15,000 differ", False),
        (("│ 3,000 B │",), "┃ 3,001\n B ┃", True),
        (("first",), "first\nsecond", False),
        (("first", "..."), "first\nsecond", True),
        (("...", "second"), "first\nsecond", True),
        (("...", "third"), "first\nsecond", False),
        (("first", "...", "third"), "first\nsecond\nthird", True),
        (("second", "..."), "first\nsecond", False),
    ],
)
def test_comparison(shown: tuple[str, ...], printed: str, good: bool) -> None:
    assert (mismatch(shown, printed) is None) is good
