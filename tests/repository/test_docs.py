"""Every block of README and docs is run, page after page, in one folder that starts with a copy of examples/.

console: each command must end well and print what the page shows. bash, python: must end well. toml, json, c:
written to the file that a comment above names (`<!-- file=NAME -->`) or read. text: a picture, not run. Any
other label fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from doc_blocks import Block, blocks, commands, mismatch

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
LEADING = [ROOT / "README.md", ROOT / "docs" / "edge.md"]  # the other pages use what their blocks leave
PAGES = [
    *LEADING,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page not in LEADING),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@dataclass
class Reader:
    """Who reads page after page and does what they say, in a folder; pages done are not done again."""

    folder: Path
    done: set[Path] = field(default_factory=set)

    def read(self, page: Path) -> None:
        """A page, after the leading pages before it."""
        before = LEADING[: LEADING.index(page)] if page in LEADING else LEADING
        for each in (*before, page):
            if each not in self.done:
                self.done.add(each)
                for block in blocks(each):
                    run_block(block, self.folder)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """In a new folder with the examples in it."""
    place = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", place / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return Reader(place)


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
        command,
        cwd=folder,
        env={**environment(), "TRINE_LEDGER": str(folder / "ledger.sqlite")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
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
def test_every_block_runs(page: Path, reader: Reader) -> None:
    reader.read(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]
    assert not missing


def test_every_key_of_a_deployment_is_explained(reader: Reader) -> None:
    page = ROOT / "docs" / "deployment.md"
    reader.read(page)
    record = json.loads((reader.folder / "pulse" / "deployment.json").read_text(encoding="utf-8"))
    keys = {*record, *record["source"], *record["calibration"], *record["fit"][0], *record["parity"][0]}
    keys |= {*record["cost"][0], *record["artifacts"][0], *(entry["role"] for entry in record["artifacts"])}
    text = page.read_text(encoding="utf-8")
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


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
        (("a ... c",), "a b c", True),
        (("a ... c",), "a b c d", False),
    ],
)
def test_comparison(shown: tuple[str, ...], printed: str, good: bool) -> None:
    assert (mismatch(shown, printed) is None) is good
