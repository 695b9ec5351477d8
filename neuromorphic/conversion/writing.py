"""Files of a deployment: schedule, mapping, vectors, NIR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.report import Artifact
from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.mapping import Mapping
from trine.neuromorphic.net import SpikingNet


def schedule_of(made: Spiking) -> dict[str, Any]:
    """How a spiking net is fed and read, for `schedule.json`."""
    return {
        "scheme": made.scheme, "levels": made.levels, "lag": made.lag, "steps": made.steps,
        "begins": dict(sorted(made.begins.items())),
        "lines": [vars(line) for line in made.lines],
        "gates": {k: list(v) for k, v in sorted(made.gates.items())},
    }  # fmt: skip


def mapping_json(mapping: Mapping) -> dict[str, Any]:
    """A mapping in plain numbers."""
    traffic = mapping.traffic
    return {
        "chip": mapping.chip, "cores": mapping.cores, "chips": mapping.chips, "tiles": mapping.tiles,
        "utilisation": mapping.utilisation,
        "limits": [vars(limit) for limit in mapping.limits],
        "use": mapping.use.tolist(),
        "placement": mapping.placement.tolist(),
        "pieces": [
            {"population": p.population, "low": list(p.low), "high": list(p.high), "core": p.core, "role": p.role,
             "synapses": int(p.synapses)}
            for p in mapping.pieces
        ],
        "hops_a_step": None if traffic is None else traffic.hops,
        "in_order_hops_a_step": None if traffic is None else traffic.in_order_hops,
        "splitter_ticks": mapping.splitter_ticks,
        "violations": [str(v) for v in mapping.violations],
        "notes": list(mapping.notes),
    }  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Sorted, indented, one newline at the end."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_vectors(network: QuantisedNetwork, whole: dict[str, Array], path: Path) -> None:
    """Inputs in whole steps, and the counts and membranes that the quantised network answers."""
    values = network.trace(whole)
    arrays = {f"input/{k}": v for k, v in whole.items()}
    arrays |= {f"layer/{layer.name}": values[layer.name] for layer in network.layers}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(sorted(arrays.items())))


def write_nir_file(net: SpikingNet, folder: Path) -> list[Artifact]:
    """network.nir, where NIR loses nothing of the net; else none."""
    from trine.neuromorphic.nir_write import write_nir

    path = folder / "network.nir"
    try:
        write_nir(net, path)
    except (InputError, MissingExtra):
        path.unlink(missing_ok=True)
        return []
    return [Artifact("network.nir", "nir")]


def receipts_warnings(folder: Path) -> list[str]:
    """Warnings of the receipts written just now."""
    found: list[str] = json.loads((folder / "receipts.json").read_text(encoding="utf-8"))["warnings"]
    return found
