"""Tabu search: D-Wave's multistart sampler, with a fixed number of steps so that nothing depends on the clock."""

from __future__ import annotations

from trine.devices.errors import MissingExtra
from trine.quantum.baselines.ocean import model_of, samples_of
from trine.quantum.baselines.record import Baseline, Case, Drawn

STEPS = 1000  # each looks at all flips, so that a search looks at as many as an annealing run of 1,000 sweeps
RESTARTS = 1
NO_CLOCK_MS = 3_600_000


def run(case: Case) -> Drawn | None:
    """`shots` independent searches on the polynomial with its penalties."""
    try:
        from dwave.samplers import TabuSampler
    except ImportError:
        raise MissingExtra("dwave-samplers", "quantum", "tabu search") from None
    model, made = model_of(case.encoding.polynomial)
    found = TabuSampler().sample(
        model,
        num_reads=case.shots,
        seed=case.seed % (1 << 31),
        timeout=NO_CLOCK_MS,
        num_restarts=RESTARTS,
        lower_bound_z=STEPS,
        coefficient_z_first=1,
        coefficient_z_restart=1,
    )
    how = f"{case.shots:,} searches of {STEPS:,} steps and {RESTARTS} restart (dwave-samplers)"
    how += f"; {made}" if made else ""
    return Drawn(BASELINE.name, samples_of(found, case.encoding.qubits), how)


BASELINE = Baseline("tabu", "tabu search", run)
