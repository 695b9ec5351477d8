"""A worker process in another environment: a group of its own, a time limit, and nothing left of it afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from trine.devices.errors import TrineError


class WorkerFailed(TrineError):
    """The worker died, hung or answered nonsense; nothing of it is left running."""

    exit_code = 1


def call_worker(
    name: str, interpreter: Path, worker: Path, arguments: Sequence[str], time_limit_s: float
) -> tuple[str, str]:
    """Run a worker in a process group of its own and end whatever of the group is left; its stdout and stderr.

    name: of the simulator, for messages. Its standard input is a pipe that closes when this process ends, however it
    ends, so that a worker can notice. Raises WorkerFailed when it exceeds the limit or exits with an error.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "OMP_NUM_THREADS": "1"
    }
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [str(interpreter), "-I", str(worker), *arguments],
            stdin=subprocess.PIPE, stdout=out, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            code = child.wait(timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            raise WorkerFailed(
                f"{name} did not finish within {time_limit_s:g} s; its processes are ended; fewer --examples, or a "
                "larger --time-limit"
            ) from None
        finally:
            _end_group(child)
            if child.stdin:
                child.stdin.close()
        said = []
        for file in (out, log):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    if code != 0:
        raise WorkerFailed(f"{name}'s worker ended with code {code}: {_last_line(said[1] or said[0])}")
    return said[0], said[1]


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, so that its shared memory is freed, then end it."""
    for sign, patience in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(child.pid, sign)
        except (ProcessLookupError, PermissionError):
            break
        until = time.monotonic() + patience
        while time.monotonic() < until and _group_lives(child):
            time.sleep(0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5)


def _group_lives(child: subprocess.Popen[bytes]) -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
