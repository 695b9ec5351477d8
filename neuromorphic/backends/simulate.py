"""`simulate`: one net, one set of inputs, any simulator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from trine.devices.errors import InputError, nearest
from trine.neuromorphic.engine.result import Probes, Result
from trine.neuromorphic.net import Array, SpikingNet

BACKENDS: Mapping[str, tuple[str, str]] = {
    "native": (
        "trine.neuromorphic.engine.native",
        "Trine's event-driven engine (integer nets), NumPy for real ones",
    ),
    "snntorch": ("trine.neuromorphic.backends.snntorch", "snnTorch's neurons, in real numbers"),
    "lava": ("trine.neuromorphic.backends.lava", "lava-nc in its own environment (trine lava setup)"),
    "sanafe": ("trine.neuromorphic.backends.sanafe", "SANA-FE in an environment of the user's (GPL-3)"),
}


def simulate(
    net: SpikingNet,
    inputs: Mapping[str, Array],
    steps: int,
    backend: str = "native",
    probes: Probes | None = None,
    **options: Any,
) -> Result:
    """Run a net on a simulator. inputs: [batch, steps, *shape] by name; probes as in `engine.run`.

    options: `time_limit_s` for lava and sanafe, `placed` for sanafe. Raises InputError for an unknown backend, for bad
    input, and for what a simulator cannot express, all obstacles at once; MissingExtra where it is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is unknown: {nearest(backend, BACKENDS)}")
    run = import_module(BACKENDS[backend][0]).run
    return cast(Result, run(net, inputs, steps, probes, **options))
