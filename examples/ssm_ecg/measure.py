"""Instructions a sample of a deployed stream on its emulated core, early and late in a long signal.

python measure.py ssm_stream --signal stretches.npz

The stretches are one signal after another; every step of the first 1,000 samples is counted, and as many steps that lie
evenly over 100,000. The states that the later steps begin from are those of the stream's C on this machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from trine.compilers.deployment import Deployment
from trine.devices import device
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import emulator_for
from trine.edge.streaming.machine import CoreStream, HostStream, hops_of
from trine.edge.streaming.simulate import opened

LENGTHS = (1_000, 100_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--signal", type=Path, default=Path("stretches.npz"))
    given = parser.parse_args()
