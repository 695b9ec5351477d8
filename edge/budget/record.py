"""What `deployment.json` keeps of a search under `budget`: the choices, the front, what was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trine.edge.budget.limits import Limits
from trine.edge.budget.solve import front
from trine.edge.budget.space import Alternative, Choice, Space
from trine.edge.budget.ways import Way
from trine.edge.quantize.replay import decibels


def record_of(
    spaces: Mapping[Way, Space],
    limits: Limits,
    way: Way,
    taken: Choice,
    compiled: Mapping[str, Any],
    why: str,
) -> dict[str, Any]:
    """The object that stands in `deployment.json`; compiled: what the taken choice was measured to be.

    spaces: of every way that was looked at. The front is that of the way that was taken.
    """
    space = spaces[way]
    choices = front(space, {n: most for n, most in limits.resources.items() if n != "flash_bytes"})
    if taken not in choices:
        choices = sorted([*choices, taken], key=lambda c: space.total(c)["flash_bytes"])
    return {
        "limits": limits.as_json(),
        "combinations": sum(each.count for each in spaces.values()),
        "ways": [way_json(each) for each in spaces.values()],
        "why": why,
        "layers": [layer_json(layer, chosen) for layer, chosen in zip(space.layers, taken, strict=True)],
        "front": [front_json(space, choice, choice == taken) for choice in choices],
        "chosen": dict(compiled),
    }


def way_json(space: Space) -> dict[str, Any]:
    """A way to run the network, with the first alternative of every layer, as predicted."""
    total = space.total([layer[0] for layer in space.layers])
    return {
        "way": space.way.name, "flash_bytes": int(total["flash_bytes"]), "ram_bytes": int(total["ram_bytes"]),
        "energy_j": total["energy_j"] if space.has_energy else None,
    }  # fmt: skip


def layer_json(layer: Sequence[Alternative], chosen: Alternative) -> dict[str, Any]:
    """A layer's alternatives and the one taken."""
    listed = [
        {
            "width": a.width, "form": a.form, "flash_bytes": a.flash_bytes, "ram_bytes": a.ram_bytes,
            "energy_j": a.energy_j, "noise": a.noise,
        }
        for a in layer
    ]  # fmt: skip
    return {
        "layer": chosen.layer,
        "weight": chosen.weight,
        "activation": chosen.activation,
        "chosen": chosen.width,
        "alternatives": listed,
    }


def front_json(space: Space, choice: Choice, chosen: bool) -> dict[str, Any]:
    """A point of the front as predicted."""
    total = space.total(choice)
    return {
        "widths": [a.width for a in choice],
        "flash_bytes": int(total["flash_bytes"]), "ram_bytes": int(total["ram_bytes"]),
        "energy_j": total["energy_j"] if space.has_energy else None,
        "sqnr_db": decibels(total["noise"]), "chosen": chosen,
    }  # fmt: skip
