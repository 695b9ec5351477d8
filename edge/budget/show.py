"""The front of a budget search as a table on stderr, so that stdout stays the deployment's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show_budget(budget: Mapping[str, Any]) -> None:
    """Print the front, what was chosen and why."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    table = Table(title="least noise for its flash, as predicted", title_justify="left")
    for column in ("", "flash", "RAM", "energy", "noise of the weights", "bits, layer by layer"):
        table.add_column(column, justify="left" if column.startswith("bits") else "right")
    for point in budget["front"]:
        energy = point["energy_j"]
        table.add_row(
            "chosen" if point["chosen"] else "",
            f"{point['flash_bytes']:,} B",
            f"{point['ram_bytes']:,} B",
            "-" if energy is None else f"{energy * 1e6:,.4g} uJ",
            f"{-point['weights_sqnr_db']:.1f} dB",
            " ".join(map(str, point["bits"])),
        )
    console.print(table)
    console.print(f"chosen: {budget['why']}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"as compiled: {chosen_text(budget['chosen'])}", highlight=False, markup=False, soft_wrap=True
    )


def chosen_text(chosen: Mapping[str, Any]) -> str:
    """What the compiled choice takes and loses."""
    parts = [f"flash {chosen['flash_bytes']:,} B", f"RAM {chosen['ram_bytes']:,} B"]
    if chosen["energy_j"] is not None:
        parts.append(f"energy {chosen['energy_j'] * 1e6:,.4g} uJ")
    parts.append(f"{chosen['sqnr_db']:.1f} dB to the float outputs")
    if chosen["accuracy_drop"] is not None:
        parts.append(f"accuracy {-chosen['accuracy_drop']:+.2f} points on the calibration examples")
    return ", ".join(parts)
