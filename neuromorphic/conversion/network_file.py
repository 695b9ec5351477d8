"""A quantised network in one .npz: arrays, and a JSON head with everything else. The same network, the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.levels import InputLevels
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses

SCHEMA: Final = "trine.quantised_network/1"


def save_network(network: QuantisedNetwork, path: Path) -> None:
    """Write a network."""
    arrays: dict[str, Array] = {}
    layers = []
    for i, layer in enumerate(network.layers):
        arrays[f"{i}/bias"] = layer.bias
        for j, s in enumerate(layer.synapses):
            arrays[f"{i}/{j}/weight"] = s.weight
        layers.append({
            "name": layer.name, "tensor": layer.tensor, "shape": list(layer.shape), "theta": layer.theta,
            "levels": layer.levels, "unit": layer.unit, "role": layer.role, "bounded": layer.bounded,
            "octaves": list(layer.octaves),
            "synapses": [
                {"source": s.source, "kind": s.kind, "exponent": s.exponent,
                 "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(s.attributes.items())}}
                for s in layer.synapses
            ],
        })  # fmt: skip
    head = {
        "schema": SCHEMA, "name": network.name, "levels": network.levels, "weight_bits": network.weight_bits,
        "inputs": [asdict(code) | {"shape": list(network.input_shapes[code.name])} for code in network.inputs],
        "layers": layers,
    }  # fmt: skip
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, head=text, **dict(sorted(arrays.items())))


def load_network(path: Path) -> QuantisedNetwork:
    """Read a network. Raises InputError for a file that holds none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            head: dict[str, Any] = json.loads(stored["head"].tobytes())
            arrays = {k: stored[k] for k in stored.files if k != "head"}
        if head["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {head['schema']!r}, this version reads {SCHEMA!r}")
        return _network(head, arrays)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path}: no quantised network saved by Trine ({str(error).splitlines()[0]})"
        ) from None


def _network(head: dict[str, Any], arrays: dict[str, Array]) -> QuantisedNetwork:
    """From head and arrays."""
    layers = tuple(
        CountLayer(
            x["name"], x["tensor"], tuple(x["shape"]),
            tuple(
                Synapses(s["source"], s["kind"], arrays[f"{i}/{j}/weight"], s["exponent"],
                         {k: tuple(v) if isinstance(v, list) else v for k, v in s["attributes"].items()})
                for j, s in enumerate(x["synapses"])
            ),
            arrays[f"{i}/bias"], x["theta"], x["levels"], x["unit"], x["role"], x["bounded"],
            tuple(x.get("octaves", ())),
        )
        for i, x in enumerate(head["layers"])
    )  # fmt: skip
    codes = tuple(InputLevels(c["name"], c["step"], c["low"], c["high"]) for c in head["inputs"])
    shapes = {c["name"]: tuple(c["shape"]) for c in head["inputs"]}
    return QuantisedNetwork(head["name"], codes, shapes, layers, head["levels"], head["weight_bits"])
