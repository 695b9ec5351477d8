"""lava-nc's side environment: found or made, tried, recorded (`trine lava setup`, `trine doctor`).

lava-nc 0.10.0 asks for Python below 3.11 and NumPy below 2, so it cannot stand beside Trine. On 3.10 it runs as it
is; on 3.11 and 3.12 with its own pins, on 3.13 with NumPy 2, after the cures of `lava_worker`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError, TrineError

VARIABLE = "TRINE_LAVA_PYTHON"  # a Python that has lava-nc, used as it is; or for setup, the one to build on
LAVA = "lava-nc==0.10.0"
PINS = {
    (3, 10): ("numpy==1.26.4", "scipy==1.15.3", "networkx==2.8.7", "asteval==0.9.33"),
    (3, 11): ("numpy==1.26.4", "scipy==1.15.3", "networkx==2.8.7", "asteval==0.9.33"),
    (3, 12): ("numpy==1.26.4", "scipy==1.15.3", "networkx==2.8.7", "asteval==0.9.33"),
    (3, 13): ("numpy==2.5.5", "scipy==1.17.1", "networkx==3.6.1", "asteval==1.0.10"),
}
MISSING = "the backend lava needs its own environment: trine lava setup"


class SetupFailed(TrineError):
    """The environment could not be made; nothing of it is left."""

    exit_code = 1


def folder() -> Path:
    """Where the environment lies: the user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("trine", appauthor=False) / "lava"


def record() -> dict[str, Any] | None:
    """What setup wrote down, or None: python, version, lava, numpy, found_by."""
    path = folder() / "environment.json"
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if Path(kept.get("python", "")).exists() else None


def python() -> Path:
    """The interpreter of lava's environment. Raises InputError, one clear line, where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).exists():
            raise InputError(f"{VARIABLE} names {named}, which does not exist")
        return Path(named)
    kept = record()
    if kept is None:
        raise InputError(MISSING)
    return Path(kept["python"])


def doctor() -> dict[str, Any]:
    """For `trine doctor`: {"ok": bool, "says": one line, and what was recorded}. Starts the interpreter once."""
    try:
        interpreter = python()
    except InputError as missing:
        return {"ok": False, "says": str(missing)}
    code = (
        "from importlib.metadata import version as v; import platform as p; "
        "print(p.python_version(), v('numpy'), v('lava-nc'))"
    )
    done = _ask([str(interpreter), "-I", "-c", code])
    if done is None or len(done.split()) != 3:
        return {"ok": False, "says": f"{interpreter} does not answer, or has no lava-nc: trine lava setup"}
    version, numpy, lava = done.split()
    says = f"lava-nc {lava} on Python {version}, NumPy {numpy}"
    return {
        "ok": True,
        "says": says,
        "python": str(interpreter),
        "version": version,
        "numpy": numpy,
        "lava": lava,
    }


def setup(base: Path | None = None, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Make lava's environment and try it; what was recorded. An environment that works is left as it is.

    base: the Python to build on; without it the first of: the variable TRINE_LAVA_PYTHON, a 3.10 of uv, of pyenv,
    on the PATH, this interpreter. say: told each step in one line. Raises InputError for a base that does not
    fit, SetupFailed where installing or the trial fails (the folder is removed).
    """
    kept = record()
    if kept is not None and base is None and doctor()["ok"]:
        say(f"already there: {kept['python']}")
        return kept
    chosen, found_by, version = _choose(base)
    say(f"Python {version[0]}.{version[1]} ({found_by}): {chosen}")
    place = folder()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        interpreter = _install(chosen, version, place / "venv", say)
        say("trying it")
        _try(interpreter)
        kept = {"python": str(interpreter), "found_by": found_by, "lava": LAVA, "pins": list(PINS[version])}
        draft = place / "environment.json.part"
        draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        draft.replace(place / "environment.json")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    say("ready")
    return kept


def _ask(command: list[str]) -> str | None:
    """What a short command prints, or None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(interpreter: str) -> tuple[int, int] | None:
    """Major and minor version of an interpreter that answers."""
    said = _ask([interpreter, "-I", "-c", "import sys; print(*sys.version_info[:2])"])
    parts = (said or "").split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(p.isdigit() for p in parts) else None


def _candidates() -> Iterator[tuple[str, str]]:
    """Interpreters in order of preference, with how they were found."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named, VARIABLE
    if shutil.which("uv"):
        found = _ask(["uv", "python", "find", "3.10"])
        if found:
            yield found, "uv"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for place in sorted(pyenv.glob("3.10.*"), reverse=True):
        yield str(place / "bin" / "python"), "pyenv"
    if os.name == "nt":
        found = _ask(["py", "-3.10", "-c", "import sys; print(sys.executable)"])
        if found:
            yield found, "py -3.10"
    yield "python3.10", "PATH"
    yield sys.executable, "this interpreter"


def _choose(base: Path | None) -> tuple[str, str, tuple[int, int]]:
    """The interpreter to build on."""
    if base is not None:
        version = _version(str(base))
        if version not in PINS:
            raise InputError(f"{base}: not a Python that lava-nc runs on (3.10 to 3.13)")
        return str(base), "given", version
    for interpreter, found_by in _candidates():
        version = _version(interpreter)
        if version in PINS:
            return interpreter, found_by, version
    raise InputError("no Python 3.10 to 3.13 found: name one, trine lava setup --python /path/to/python3.10")


def _install(base: str, version: tuple[int, int], place: Path, say: Callable[[str], None]) -> Path:
    """A virtual environment with lava-nc and exact pins."""
    interpreter = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _do([base, "-I", "-m", "venv", str(place)], "making the environment")
    say(f"installing {LAVA}, {', '.join(PINS[version])}")
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--ignore-requires-python", LAVA, *PINS[version]]  # fmt: skip
    _do(command, "installing")
    return interpreter


def _do(command: list[str], what: str) -> None:
    """Run a step of the setup. Raises SetupFailed with its last line."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1800, stdin=subprocess.DEVNULL, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise SetupFailed(f"{what} failed: {failed}") from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise SetupFailed(f"{what} failed: {lines[-1][:300] if lines else done.returncode}")


def _try(interpreter: Path) -> None:
    """A small network through the worker against the definition. Raises SetupFailed where they differ."""
    import numpy as np

    from trine.neuromorphic.backends import lava
    from trine.neuromorphic.engine.definition import define
    from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

    rng = np.random.default_rng(0)
    weight = rng.integers(-64, 64, (8, 6)) * 2
    net = SpikingNet(
        "trial", 1e-3,
        (Population("in", INPUT, (6,)), Population("out", "CubaLIF", (8,), {"du": 1000, "dv": 200, "vth": 90})),
        (Projection("w", "in", "out", "dense", weight),), ("in",), ("out",), "lava",
    )  # fmt: skip
    spikes = (rng.random((1, 20, 6)) < 0.4).astype(np.int64)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(interpreter)
    try:
        seen = lava.run(net, {"in": spikes}, 20, time_limit_s=120)
    except TrineError as failed:
        raise SetupFailed(f"lava does not run there: {failed}") from None
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    if not np.array_equal(seen.spikes("out"), define(net, {"in": spikes}, 20).spikes("out")):
        raise SetupFailed("lava runs there, but its spikes differ from the definition's")
