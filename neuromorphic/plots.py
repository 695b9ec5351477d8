"""Pictures of a run: spike raster, membranes, load of cores, energy, accuracy against time steps.

Each `plot_x(data, path)` writes a .png or .svg, the same bytes for the same data on one installation; matplotlib is
imported when the first is drawn. Colours: Okabe & Ito's, which colour-blind readers tell apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, MissingExtra

Array = NDArray[Any]
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Final = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10, "axes.titlelocation": "left", "axes.grid": False, "svg.hashsalt": "trine",
    "svg.fonttype": "path", "figure.dpi": 150, "savefig.dpi": 150, "legend.frameon": False,
}  # fmt: skip
LIGHT: Final = ("#CC79A7", "#E69F00", "#56B4E9")  # of these, those that need black text
MOST_DOTS: Final = 200_000


@dataclass(frozen=True)
class Raster:
    """Messages of one example by population, in drawing order from the top: [steps, *shape]; dt_s: seconds a step."""

    spikes: Mapping[str, Array]
    dt_s: float
    title: str = "Spikes"


@dataclass(frozen=True)
class Membranes:
    """Membranes of some neurons of one example: [steps] by label; by the same labels thresholds, spikes (bool [steps]).

    reference: the same membranes of a second simulation, drawn dashed. together: more membranes, in one panel at the
    end, such as those of all outputs; together_name: of that panel.
    """

    traces: Mapping[str, Array]
    dt_s: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    spikes: Mapping[str, Array] = field(default_factory=dict)
    reference: Mapping[str, Array] = field(default_factory=dict)
    unit: str = ""
    title: str = "Membrane potential"
    together: Mapping[str, Array] = field(default_factory=dict)
    together_name: str = "outputs"


@dataclass(frozen=True)
class CoreLoad:
    """Share of a limit that each core uses, [rows, columns] as the cores lie on the chip; NaN for an unused core.

    layers: what each core holds, the same shape, written into the cells of chips with few cores.
    """

    used: Array
    limit: str
    chip: str
    layers: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class EnergyParts:
    """Joules by profile and part, parts in drawing order; low and high of the totals by profile; source in words."""

    joules: Mapping[str, Mapping[str, float]]
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    per: str = "inference"
    source: str = ""


@dataclass(frozen=True)
class StepAccuracy:
    """Accuracy (0 to 1) by scheme and time steps; levels: constant lines such as the float network's.

    steps: what the axis counts. title: above the picture; made from measure without one.
    """

    accuracy: Mapping[str, Mapping[int, float]]
    levels: Mapping[str, float] = field(default_factory=dict)
    measure: str = "accuracy"
    steps: str = "time steps T"
    title: str = ""


def plot_raster(data: Raster, path: str | Path) -> None:
    """One panel a population, heights after the square root of its size, with counts in its margin."""
    if not data.spikes:
        raise InputError("raster: no populations")
    flat = {k: np.asarray(v).reshape(len(v), -1) for k, v in data.spikes.items()}
    steps = max(len(x) for x in flat.values())
    unit, scale = _time_unit(steps * data.dt_s)
    tick = data.dt_s * scale
    heights = [max(x.shape[1] ** 0.5, 5.0) for x in flat.values()]
    with _figure(path, (7.6, 1.0 + min(0.62 * len(flat), 8.0)), rows=len(flat), heights=heights) as axes:
        for ax, colour, (name, x) in zip(axes, _cycle(), flat.items()):
            t, n = np.nonzero(x)
            thin = max(1, -(-len(t) // MOST_DOTS))
            t, n = t[::thin], n[::thin]
            thick = float(np.clip(60 / x.shape[1], 0.5, 3.0))
            ax.hlines(n, (t - 0.36) * tick, (t + 0.36) * tick, color=colour, lw=thick, rasterized=True)
            ax.set_ylim(x.shape[1] - 0.4, -0.6)
            ax.set_yticks([])
            _name(ax, name, colour)
            text = f"{np.count_nonzero(x):,} spikes of {x.shape[1]:,} neurons\n"
            text += f"{100 * np.count_nonzero(x) / x.size:.3g} % of steps"
            ax.text(1.01, 0.5, text + (f", 1 of {thin} drawn" if thin > 1 else ""), transform=ax.transAxes,
                    va="center", fontsize=7, color="0.35")  # fmt: skip
            ax.set_xlim(-0.5 * tick, (steps - 0.5) * tick)
            if ax is not axes[-1]:
                ax.tick_params(labelbottom=False)
        axes[0].set_title(data.title)
        axes[-1].set_xlabel(f"time ({unit}), {steps} steps of {_short(data.dt_s)}s")


def plot_membranes(data: Membranes, path: str | Path) -> None:
    """One panel a neuron: trace, dashed threshold, spikes as ticks above it."""
    if not data.traces and not data.together:
        raise InputError("membranes: no traces")
    steps = max(len(v) for v in (*data.traces.values(), *data.together.values()))
    unit, scale = _time_unit(steps * data.dt_s)
    panels = len(data.traces) + bool(data.together)
    heights = [1.0] * len(data.traces) + [1.6] * bool(data.together)
    with _figure(path, (7.6, 1.0 + 0.85 * sum(heights)), rows=panels, heights=heights) as axes:
        for ax, colour, (name, v) in zip(axes, _cycle(), data.traces.items()):
            clock = np.arange(len(v)) * data.dt_s * scale
            ax.plot(clock, v, color=colour, lw=1.1, label="this run")
            if name in data.reference:
                ax.plot(
                    clock[: len(data.reference[name])],
                    data.reference[name],
                    "--",
                    color="0.3",
                    lw=0.8,
                    label="reference",
                )
            top = max(float(np.max(v)), data.thresholds.get(name, -np.inf))
            bottom = float(np.min(v))
            if name in data.thresholds:
                ax.axhline(data.thresholds[name], color="0.5", ls=":", lw=0.9)
                ax.annotate("threshold", (1, data.thresholds[name]), xycoords=("axes fraction", "data"), fontsize=7,
                            xytext=(4, 0), textcoords="offset points", va="center", color="0.4")  # fmt: skip
            span = (top - bottom) or 1.0
            if name in data.spikes:
                when = np.flatnonzero(data.spikes[name]) * data.dt_s * scale
                ax.vlines(when, top + 0.08 * span, top + 0.22 * span, color=colour, lw=1.0)
            ax.set_ylim(bottom - 0.08 * span, top + 0.28 * span)
            _name(ax, name, colour, -0.1)
        if data.together:
            _overlaid(axes[-1], data, scale)
        for ax in axes:
            ax.set_xlim(0, (steps - 1) * data.dt_s * scale)
            if ax is not axes[-1]:
                ax.tick_params(labelbottom=False)
        if data.reference:
            axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=7)
        measure = f" in {data.unit}" if data.unit else ""
        axes[0].set_title(f"{data.title}\nmembranes{measure} after reset; ticks: spikes")
        axes[-1].set_xlabel(f"time ({unit})")


def _overlaid(ax: Any, data: Membranes, scale: float) -> None:
    """Several membranes in one panel, named at its right."""
    for colour, style, (name, v) in zip(_cycle(), _styles(), data.together.items()):
        ax.plot(np.arange(len(v)) * data.dt_s * scale, v, color=colour, ls=style, lw=1.2, label=name)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, handlelength=1.6)
    _name(ax, data.together_name, "black", -0.1)


def _name(ax: Any, name: str, colour: str, x: float = -0.02) -> None:
    """A panel's name at its left."""
    ax.text(x, 0.5, name, transform=ax.transAxes, ha="right", va="center", color=colour)


def _styles() -> Iterator[str]:
    """Line styles that change once the colours are used up."""
    for style in ("-", "--", ":", "-."):
        yield from [style] * len(COLOURS)


def plot_core_load(data: CoreLoad, path: str | Path) -> None:
    """The chip seen from above; full cores dark, unused ones grey, beside it how many cores are how full."""
    used = np.atleast_2d(np.asarray(data.used, np.float64))
    rows, columns = used.shape
    width = float(np.clip(0.42 * columns, 3.0, 6.0))
    taken = used[np.isfinite(used)]
    with _figure(
        path, (width + 3.2, max(2.4, width * rows / columns + 1.0)), columns=2, widths=[width, 2.2]
    ) as (ax, hist):
        import matplotlib

        colours = matplotlib.colormaps["YlGnBu"].copy()
        ax.set_facecolor("0.94")
        shown = ax.imshow(100 * np.ma.masked_invalid(used), cmap=colours, vmin=0, vmax=100, aspect="equal")
        ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", lw=0.8)
        ax.tick_params(which="minor", length=0)
        ax.set_xticks(range(0, columns, max(1, columns // 8)))
        ax.set_yticks(range(0, rows, max(1, rows // 8)))
        numbers = _numbered(data.layers) if used.size <= 1024 else {}
        for (i, j), share in np.ndenumerate(used):
            if numbers and np.isfinite(share):
                held = [numbers[name] for name in data.layers[i][j].split("\n") if name]
                ax.text(j, i, _ranges(held), ha="center", va="center", fontsize=7 if columns <= 16 else 5,
                        color="white" if share > 0.6 else "black")  # fmt: skip
        ax.set_title(f"{data.chip}: {data.limit} used, {len(taken)} of {used.size} cores (grey: idle)")
        key = "   ".join(f"{k} {name}" for name, k in numbers.items())
        ax.set_xlabel("\n".join(["core column", *textwrap.wrap(key, int(14 * width))]))
        ax.set_ylabel("core row")
        ax.figure.colorbar(shown, ax=ax, label="% of the limit", shrink=0.8)
        hist.set_box_aspect(float(np.clip(width * 0.8 * rows / columns / 1.8, 0.7, 2.0)))
        hist.hist(100 * taken, bins=np.arange(0, 101, 10), color=COLOURS[0], edgecolor="white")
        mean = 100 * float(taken.mean()) if len(taken) else 0.0
        hist.axvline(mean, color=COLOURS[1], lw=1.2)
        hist.set_title(f"mean {mean:.0f} %", color=COLOURS[1])
        hist.set_xlabel(f"% of {data.limit}")
        hist.set_ylabel("cores in use")
        hist.yaxis.get_major_locator().set_params(integer=True)


def _numbered(layers: Sequence[Sequence[str]]) -> dict[str, int]:
    """Layers by their number, in order of appearance; cells may hold several, one a line."""
    names = [name for row in layers for cell in row for name in cell.split("\n") if name]
    return {name: k for k, name in enumerate(sorted(dict.fromkeys(names)), 1)}


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3 as 1-3."""
    found = sorted(numbers)
    if len(found) > 2 and found[-1] - found[0] == len(found) - 1:
        return f"{found[0]}–{found[-1]}"
    return " ".join(map(str, found))


def plot_energy(data: EnergyParts, path: str | Path) -> None:
    """Stacked bars, one a profile, with the range of the total as a whisker and parts named once."""
    if not data.joules:
        raise InputError("energy: no profiles")
    parts = list(dict.fromkeys(part for row in data.joules.values() for part in row))
    most = max([sum(row.values()) for row in data.joules.values()] + list(data.high.values()))
    prefix, factor = _prefix(most)
    with _figure(path, (7.2, 1.5 + 0.55 * len(data.joules))) as (ax,):
        names = list(data.joules)
        left = np.zeros(len(names))
        for part, colour in zip(parts, _cycle()):
            width = np.array([data.joules[n].get(part, 0.0) for n in names]) * factor
            ax.barh(names, width, left=left, color=colour, edgecolor="white", lw=0.6, label=part, height=0.62)
            for i, w in enumerate(width):
                if w > 0.05 * most * factor:
                    ax.text(left[i] + w / 2, i, f"{w:.3g}", ha="center", va="center", fontsize=7,
                            color="black" if colour in LIGHT else "white")  # fmt: skip
            left += width
        for i, n in enumerate(names):
            low, high = data.low.get(n), data.high.get(n)
            text, end = f"{left[i]:.3g} {prefix}J", left[i]
            if low is not None and high is not None and f"{low:.3g}" != f"{high:.3g}":
                reach = [[max(left[i] - low * factor, 0)], [max(high * factor - left[i], 0)]]
                ax.errorbar(left[i], i + 0.38, xerr=reach, color="0.15", capsize=3, lw=1)
                text, end = f"{text} ({low * factor:.3g} to {high * factor:.3g})", max(left[i], high * factor)
            ax.text(end + 0.015 * most * factor, i, text, va="center", fontsize=8)
        ax.set_xlim(0, 1.38 * most * factor)
        ax.invert_yaxis()
        ax.set_xlabel(f"energy per {data.per} ({prefix}J)")
        ax.set_title("Energy by part", pad=24)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(len(parts), 6), fontsize=7, handlelength=1.0,
                  columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
        if data.source:
            ax.figure.supxlabel(
                "\n".join(line for part in data.source.split("\n") for line in textwrap.wrap(part, 120)),
                x=0.01, ha="left", fontsize=6, color="0.45",
            )  # fmt: skip


def plot_accuracy(data: StepAccuracy, path: str | Path) -> None:
    """Accuracy against time steps, steps on a base-2 axis, constant references dashed and named at the edge."""
    if not data.accuracy or not all(data.accuracy.values()):
        raise InputError("accuracy: a scheme without values")
    with _figure(path, (6.4, 3.6)) as (ax,):
        steps = sorted({t for row in data.accuracy.values() for t in row})
        for colour, marker, (name, row) in zip(_cycle(), "osD^vPX" * 9, data.accuracy.items()):
            t = sorted(row)
            ax.plot(t, [100 * row[k] for k in t], marker=marker, ms=4.5, lw=1.3, color=colour, label=name)
        if all(t & (t - 1) == 0 for t in steps):
            ax.set_xscale("log", base=2)
        named = steps if len(steps) <= 12 else [t for t in steps if t & (t - 1) == 0 or t == steps[-1]]
        ax.set_xticks(named, [str(t) for t in named])
        ax.minorticks_off()
        for style, (name, level) in zip(("--", ":", "-.") * 9, data.levels.items()):
            ax.axhline(100 * level, color="0.35", ls=style, lw=1.0, label=f"{name}: {100 * level:.2f} %")
        ax.set_xlabel(data.steps)
        ax.set_ylabel(f"{data.measure} (%)")
        ax.grid(axis="y", color="0.92")
        ax.legend(loc="best", fontsize=8)
        ax.set_title(data.title or f"{data.measure[:1].upper()}{data.measure[1:]} against time steps")


def require() -> None:
    """Raise MissingExtra where matplotlib is missing."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib", "neuromorphic", "drawing pictures")


@contextmanager
def _figure(
    path: str | Path, size: tuple[float, float], rows: int = 1, columns: int = 1,
    heights: Sequence[float] | None = None, widths: Sequence[float] | None = None,
) -> Iterator[list[Any]]:  # fmt: skip
    """Axes to draw on, stored when the block ends. Raises InputError for endings other than .png and .svg."""
    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path}: pictures end in .png or .svg")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "neuromorphic", "drawing pictures") from None
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **STYLE}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(
            rows, columns, squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": widths}
        )
        yield list(grid.ravel())
        facts = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=facts)


def _cycle() -> Iterator[str]:
    """Colours without end."""
    while True:
        yield from COLOURS


def _time_unit(seconds: float) -> tuple[str, float]:
    """A unit in which a duration reads well, and its factor."""
    return ("s", 1.0) if seconds >= 2 else ("ms", 1e3) if seconds >= 2e-3 else ("µs", 1e6)


def _short(value: float) -> str:
    """A number with its prefix, ready for the unit."""
    prefix, factor = _prefix(value)
    return f"{value * factor:.3g} {prefix}"


def _prefix(value: float) -> tuple[str, float]:
    """SI prefix and factor with which a positive number lies between 1 and 1000, from mega to pico."""
    if value == 0:
        return "", 1.0
    for prefix, factor in (("M", 1e-6), ("k", 1e-3), ("", 1.0), ("m", 1e3), ("µ", 1e6), ("n", 1e9)):
        if value * factor >= 1:
            return prefix, factor
    return "p", 1e12
