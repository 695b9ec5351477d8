"""Where the shared instances lie; tests that need them skip elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("TRINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def shared(name: str) -> Path:
    """A file or folder of the shared data; the test skips where it is absent."""
    if not (ROOT / name).exists():
        pytest.skip(f"TRINE_DATA has no {name}")
    return ROOT / name
