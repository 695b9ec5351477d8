"""The front of a budget search as a table on stderr, so that stdout stays the deployment's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def show_budget(budget: Mapping[str, Any]) -> None:
    """Print the front, what was chosen and why."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    table = Table(title="least noise for its flash, as predicted", title_justify="left")
    for column in ("", "flash", "RAM", "energy", "noise", "bits, layer by layer"):
        table.add_column(column, justify="left" if column.startswith("bits") else "right")
    for point in budget["front"]:
        energy = point["energy_j"]
        table.add_row(
            "chosen" if point["chosen"] else "",
            f"{point['flash_bytes']:,} B",
            f"{point['ram_bytes']:,} B",
            "-" if energy is None else f"{energy * 1e6:,.4g} uJ",
            f"{-point['sqnr_db']:.1f} dB",
            " ".join(point["widths"]),
        )
    console.print(table)
    if len(budget["ways"]) > 1:
        console.print(ways_table(budget["ways"], budget["chosen"]["way"]))
    console.print(f"chosen: {budget['why']}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"as compiled: {chosen_text(budget['chosen'])}", highlight=False, markup=False, soft_wrap=True
    )


def ways_table(ways: Sequence[Mapping[str, Any]], chosen: str) -> Any:
    """The ways to run the network that were looked at, with the first width of every layer."""
    from rich.table import Table

    table = Table(title="ways to run it, as predicted with the widest weights", title_justify="left")
    for column in ("", "way", "flash", "RAM", "energy"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in ways:
        energy = "-" if way["energy_j"] is None else f"{way['energy_j'] * 1e6:,.4g} uJ"
        taken = "chosen" if way["way"] == chosen else ""
        table.add_row(taken, way["way"], f"{way['flash_bytes']:,} B", f"{way['ram_bytes']:,} B", energy)
    return table


def chosen_text(chosen: Mapping[str, Any]) -> str:
    """What the compiled choice takes and loses."""
    parts = [f"flash {chosen['flash_bytes']:,} B", f"RAM {chosen['ram_bytes']:,} B"]
    if chosen["energy_j"] is not None:
        parts.append(f"energy {chosen['energy_j'] * 1e6:,.4g} uJ")
    parts.append(f"{chosen['sqnr_db']:.1f} dB to the float outputs")
    if chosen["accuracy_drop"] is not None:
        parts.append(f"accuracy {-chosen['accuracy_drop']:+.2f} points on the calibration examples")
    return ", ".join(parts)
