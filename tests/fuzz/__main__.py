"""Fuzz the readers: `python -m tests.fuzz --seconds 600 --seed 1 --jobs 2 [--keep FOLDER]`.

Each seed is one case; a range of them runs in worker processes under a memory limit of 2 GiB and 10 s a case. Findings
(a traceback, a hang, memory) are printed and their files kept; the exit status tells whether there were any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def main() -> int:
    """Run, count, report."""
    from runner import run

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--cases", type=int, default=None, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; others follow")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where files of findings go")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    for answer in run(given.seed, given.seconds, given.jobs, given.cases, given.keep):
        counts[f"{answer['kind']} {answer['verdict']}"] += 1
        if answer["verdict"] == "finding":
            print(f"seed {answer['seed']} ({answer['kind']}): {answer['message']}\n", flush=True)
    for name in sorted(counts):
        print(f"{name}: {counts[name]}")
    findings = sum(count for name, count in counts.items() if name.endswith("finding"))
    print(f"{sum(counts.values())} cases from seed {given.seed}, {findings} findings")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
