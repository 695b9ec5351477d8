"""Pictures of a run: how costs are distributed, and the landscape of one layer's angles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trine.devices.errors import MissingExtra
from trine.quantum.engines.state import StateEngine
from trine.quantum.polynomial import Float, Polynomial
from trine.quantum.samples import Angles, Samples

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")  # Okabe and Ito 2008
GRID = 41


def pyplot() -> Any:
    """matplotlib without a display. Raises MissingExtra."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "quantum", "plots") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def distribution(
    path: Path,
    samples: Mapping[str, Samples],
    polynomial: Polynomial,
    optimum: float | None,
    title: str,
    unit: str,
) -> None:
    """Share of samples at or below each cost, one line a sampler: the higher and the further left, the better."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    right = max(float(polynomial.energy(drawn.bits).max()) for drawn in samples.values())
    for (name, drawn), colour in zip(samples.items(), COLOURS * 2):
        costs = polynomial.energy(drawn.bits)
        order = np.argsort(costs)
        share = np.cumsum(drawn.counts[order]) / drawn.shots
        x, y = (
            np.concatenate([costs[order][:1], costs[order], [right]]),
            np.concatenate([[0.0], share, [1.0]]),
        )
        axes.step(
            x, y, where="post", label=f"{name} ({drawn.shots:,} samples)", color=colour, lw=1.6, alpha=0.85
        )
    if optimum is not None:
        axes.axvline(optimum, color="black", lw=0.8, ls="--")
        axes.annotate("optimum", (optimum, 1.0), (4, -4), textcoords="offset points", va="top", fontsize=8)
    axes.set(
        title=title,
        xlabel=f"cost, penalties included ({short(unit)})",
        ylabel="share of samples at or below",
        ylim=(0, 1.02),
    )
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def landscape(path: Path, engine: StateEngine, angles: Angles, scale: float, title: str, unit: str) -> None:
    """Expected cost over gamma and beta of one layer, with the angles that were used. scale: `cost_scale`."""
    plt = pyplot()
    gammas, betas = landscape_axes(scale)
    values = landscape_values(engine, gammas, betas)
    figure, axes = plt.subplots(figsize=(6, 4.4), layout="constrained")
    mesh = axes.pcolormesh(gammas, betas, values.T, cmap="viridis", shading="nearest")
    figure.colorbar(mesh, label=f"expected cost ({short(unit)})")
    axes.plot(
        angles.gammas[0], angles.betas[0], "o", mfc="none", mec="white", ms=9, mew=2, label="angles used"
    )
    axes.set(title=title, xlabel="gamma (rad / cost)", ylabel="beta (rad)")
    axes.legend(frameon=False, fontsize=8, labelcolor="white")
    save(figure, path)


def landscape_axes(scale: float) -> tuple[Float, Float]:
    """gamma to one turn of the largest coefficient either way, beta to its period pi/2."""
    return np.linspace(-np.pi / 2, np.pi / 2, GRID) / scale, np.linspace(-np.pi / 4, np.pi / 4, GRID)


def landscape_values(engine: StateEngine, gammas: Float, betas: Float) -> Float:
    """Expected cost [gammas, betas]."""
    return np.array([[engine.expectation(Angles((float(g),), (float(b),))) for b in betas] for g in gammas])


def short(unit: str) -> str:
    """A unit without the remark in brackets after it."""
    return unit.partition(" (")[0]


def save(figure: Any, path: Path) -> None:
    """PNG or SVG by the name, beside its place and then renamed; the same bytes each time."""
    plt = pyplot()
    part = path.with_name(f".{path.name}.part{path.suffix}")
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with plt.rc_context({"svg.hashsalt": "trine"}):
        figure.savefig(part, dpi=150, metadata=metadata)
    plt.close(figure)
    part.replace(path)
