"""Worker processes and their clock."""

from __future__ import annotations

import json
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HANG_S = 10.0
START_S = 120.0  # a worker's imports, on a busy machine


class Worker:
    """One worker process, started again after it was killed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trine-fuzz-"))
        self.process: subprocess.Popen[str] | None = None

    def ask(self, seed: int) -> dict[str, Any]:
        """Run a seed; a finding where it hangs or the process dies."""
        fresh = self.process is None
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "worker.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{seed} {self.folder}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], START_S if fresh else HANG_S)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        what = f"the process ended ({process.poll()})" if ready else f"no answer within {HANG_S:g} s"
        self.stop()
        return {"seed": seed, "kind": "any", "verdict": "finding", "message": what}

    def stop(self) -> None:
        """Kill the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def keep(self, answer: dict[str, Any], to: Path) -> None:
        """Copy the file of a finding."""
        to.mkdir(parents=True, exist_ok=True)
        for file in sorted(self.folder.glob("case.*"), key=lambda f: f.stat().st_mtime)[-1:]:
            shutil.copy(file, to / f"seed{answer['seed']}{file.suffix}")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(seed: int, seconds: float, jobs: int, cases: int | None, keep: Path) -> Iterator[dict[str, Any]]:
    """Answers as they come, until time or cases run out."""
    answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
    lock, state = threading.Lock(), {"next": seed}
    end = time.monotonic() + seconds

    def serve() -> None:
        worker = Worker()
        try:
            while time.monotonic() < end:
                with lock:
                    mine, state["next"] = state["next"], state["next"] + 1
                if cases is not None and mine >= seed + cases:
                    break
                answer = worker.ask(mine)
                if answer["verdict"] == "finding":
                    worker.keep(answer, keep)
                answers.put(answer)
        finally:
            worker.close()
            answers.put(None)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    left = jobs
    while left:
        answer = answers.get()
        if answer is None:
            left -= 1
        else:
            yield answer
