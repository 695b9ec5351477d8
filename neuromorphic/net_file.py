"""A SpikingNet in one file, exactly: integers as integers, resets, delays and exponents included (.npz, no pickles)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.net import Array, Population, Projection, SpikingNet

SCHEMA: Final = "trine.spiking_net/1"


def side_path(path: str | Path) -> Path:
    """Where the exact net of a .nir file lies."""
    return Path(path).with_suffix(".exact.npz")


def save_net(net: SpikingNet, path: str | Path, bound_to: Path | None = None) -> None:
    """Write a net, whole or not at all; the same net gives the same bytes. bound_to: a file whose SHA-256 is kept."""
    arrays: dict[str, Array] = {}

    def kept(where: str, value: Any) -> Any:
        if isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, tuple):
            return list(value)
        arrays[where] = np.asarray(value)
        return {"array": where}

    head = {
        "schema": SCHEMA, "name": net.name, "dt_s": net.dt_s, "arithmetic": net.arithmetic,
        "inputs": list(net.inputs), "outputs": list(net.outputs),
        "bound_to": hashlib.sha256(bound_to.read_bytes()).hexdigest() if bound_to else None,
        "populations": [
            {"name": p.name, "neuron": p.neuron, "shape": list(p.shape), "reset": p.reset,
             "parameters": {k: kept(f"population/{p.name}/{k}", v) for k, v in sorted(p.parameters.items())}}
            for p in net.populations
        ],
        "projections": [
            {"name": q.name, "source": q.source, "target": q.target, "kind": q.kind, "delay_steps": q.delay_steps,
             "weight": kept(f"projection/{i}/weight", np.asarray(q.weight)), "weight_exponent": q.weight_exponent,
             "graded": q.graded,
             "attributes": {k: kept(f"projection/{i}/{k}", v) for k, v in sorted(q.attributes.items())}}
            for i, q in enumerate(net.projections)
        ],
    }  # fmt: skip
    beside = Path(path).with_name(f".{Path(path).name}.part")
    try:
        with beside.open("wb") as file:
            text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
            np.savez_compressed(file, allow_pickle=False, head=text, **dict(sorted(arrays.items())))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_net(path: str | Path, bound_to: Path | None = None) -> SpikingNet:
    """Read a net. Raises InputError for files that are none, and where bound_to is not the file it was saved with."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            arrays = {k: stored[k] for k in stored.files if k != "head"}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path}: not a net saved by Trine ({str(error).splitlines()[0]})") from None
    if head.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {head.get('schema')!r}, this version reads {SCHEMA!r}")
    if bound_to is not None and hashlib.sha256(bound_to.read_bytes()).hexdigest() != head["bound_to"]:
        raise InputError(
            f"{path} was not written with {bound_to}: the .nir file has changed since; read it by itself"
        )

    def value(x: Any) -> Any:
        return arrays[x["array"]] if isinstance(x, dict) else tuple(x) if isinstance(x, list) else x

    def values(x: dict[str, Any]) -> dict[str, Any]:
        return {k: value(v) for k, v in x.items()}

    populations = tuple(
        Population(p["name"], p["neuron"], tuple(p["shape"]), values(p["parameters"]), p["reset"])
        for p in head["populations"]
    )
    projections = tuple(
        Projection(q["name"], q["source"], q["target"], q["kind"], value(q["weight"]),
                   values(q["attributes"]), q["delay_steps"], q["weight_exponent"], q["graded"])
        for q in head["projections"]
    )  # fmt: skip
    net = SpikingNet(
        head["name"], head["dt_s"], populations, projections, tuple(head["inputs"]), tuple(head["outputs"]),
        head["arithmetic"],
    )  # fmt: skip
    net.check()
    return net


def read_exact(path: str | Path) -> SpikingNet:
    """The exact net beside a .nir file that was written with losses. Raises InputError where there is none."""
    beside = side_path(path)
    if not beside.is_file():
        raise InputError(
            f"{beside}: no exact net beside {path}; it was written without losses, or by another tool"
        )
    return load_net(beside, bound_to=Path(path))
