"""Where SANA-FE is: an environment of the user's, since it is GPL-3 and Trine never imports it."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError

VARIABLE = "TRINE_SANAFE_PYTHON"  # a Python that has sanafe
INSTALL = (
    f"python -m venv sanafe && sanafe/bin/pip install sanafe && export {VARIABLE}=$PWD/sanafe/bin/python"
)
MISSING = f"the backend sanafe needs SANA-FE (GPL-3) in an environment of its own: {INSTALL}"


def python() -> Path:
    """The interpreter that has sanafe. Raises InputError, one clear line, where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).exists():
            raise InputError(f"{VARIABLE} names {named}, which does not exist")
        return Path(named)
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found and _version(found):
            return Path(found)
    raise InputError(MISSING)


def doctor() -> dict[str, Any]:
    """For `trine doctor`: {"ok": bool, "says": one line}. Starts the interpreter once."""
    try:
        interpreter = python()
    except InputError as missing:
        return {"ok": False, "says": str(missing)}
    version = _version(str(interpreter))
    if version is None:
        return {"ok": False, "says": f"{interpreter} has no sanafe: {INSTALL}"}
    return {"ok": True, "says": f"SANA-FE {version}", "version": version, "python": str(interpreter)}


@cache
def _version(interpreter: str) -> str | None:
    """The version of sanafe that an interpreter has."""
    code = "from importlib.metadata import version; print(version('sanafe'))"
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
