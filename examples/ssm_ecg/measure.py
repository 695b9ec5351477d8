"""Instructions a sample of a deployed stream on its emulated core, early and late in a long signal.

python measure.py ssm_stream --signal stretches.npz

The stretches are one signal after another; steps that lie evenly over the first 1,000 samples are counted, and as
many over 100,000. The states that the later steps begin from are those of the stream's C on this machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from trine.compilers.deployment import open_deployment
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import emulator_for
from trine.edge.program_file import load_program
from trine.edge.streaming import stream
from trine.edge.streaming.machine import CoreStream, HostStream, hops_of
from trine.edge.streaming.program import StreamProgram

LENGTHS = (1_000, 100_000)
CORE = "cortex-m4f"


def counts(made: StreamProgram, hops: dict[str, np.ndarray], places: list[int]) -> np.ndarray:
    """Exact instructions of the steps at some places of a signal {input: [hops, ...]}."""
    sources, found, at = emit_stream(made, CORE), [], 0
    with HostStream(made, sources) as host, CoreStream(made, sources, emulator_for(CORE)) as core:
        state = host.fresh()
        for place in places:
            if place > at:
                host.run(state, {name: x[at:place] for name, x in hops.items()})
            at = place
            now = {name: x[at : at + 1] for name, x in hops.items()}
            found.append(core.profile(state[None].copy(), now).instructions)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--signal", type=Path, default=Path("stretches.npz"))
    parser.add_argument("--steps", type=int, default=125, help="steps that are counted, of each length")
    given = parser.parse_args()
    program = load_program(open_deployment(given.deployment).artifact("integer_program"))
    made = stream(program)
    with np.load(given.signal, allow_pickle=False) as file:
        joined = {
            name: np.concatenate(list(file[name]), axis=-1)[..., : max(LENGTHS)] for name in program.inputs
        }
    hops = hops_of(made, {name: program.tensors[name].quantize(signal) for name, signal in joined.items()})
    for length in LENGTHS:
        last = length // made.hop
        places = np.unique(np.linspace(0, last - 1, given.steps).astype(int)).tolist()
        found = counts(made, hops, places) / made.hop
        print(
            f"{length} samples: {found.mean():.1f} instructions a sample (least {found.min():.2f}, most "
            f"{found.max():.2f}; {len(found)} steps of {made.hop} samples counted on {CORE})"
        )


if __name__ == "__main__":
    main()
