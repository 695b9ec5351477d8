"""What commands print: one JSON object, or deployments for reading; talk and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNITS = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
SECONDS_PER = (
    ("years", 365.25 * 86400),
    ("days", 86400.0),
    ("h", 3600.0),
    ("min", 60.0),
)


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A listener that draws stages on stderr; silent where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


def say(text: str) -> None:
    """Talk goes to stderr, so that stdout stays clean."""
    print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def present(record: Any, as_json: bool, out: Path) -> None:
    """A deployment's record, as JSON or for reading."""
    if record.get("budget") and not record.get("results"):
        from trine.edge.budget.show import show_budget

        show_budget(record["budget"])
    if as_json:
        print_json(record)
    else:
        show_deployment(record, out)


def quantity(value: float, unit: str) -> str:
    """A number with its unit at a readable scale: 4.51 ms, 12.3 KiB, 1.9 years."""
    if unit in ("count", "1"):
        return f"{value:,.0f}" if value == int(value) and value < 1e15 else f"{value:.3g}"
    if unit == "USD":
        return f"{value:,.2f} USD"
    if unit == "B":
        if value < 10_240:
            return f"{value:,.0f} B"
        return f"{value / 1024:.1f} KiB" if value < 2**22 else f"{value / 2**20:.1f} MiB"
    if unit == "s" and value >= 120:
        name, size = next((n, s) for n, s in SECONDS_PER if value >= 2 * s)
        return f"{value / size:.3g} {name}"
    if unit in ("s", "J", "W"):
        scale, prefix = next(((s, p) for s, p in UNITS if value >= s), UNITS[-1])
        return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:,.0f} {unit}".rstrip() if value >= 100 else f"{value:.3g} {unit}"


def spread(cost: Mapping[str, Any]) -> str:
    """A cost with its range where it has one."""
    middle = quantity(cost["value"], cost["unit"])
    if cost["low"] == cost["high"]:
        return middle
    return f"{middle} ({quantity(cost['low'], cost['unit'])} to {quantity(cost['high'], cost['unit'])})"


def show_deployment(record: Mapping[str, Any], out: Path) -> None:
    """Print a record: parity, fit, accuracy, cost, what is missing."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    results = record.get("results") or record
    source, device = escape(record["source"]["file"]), escape(record["device"])
    console.print(f"[bold]{source}[/bold] for [bold]{device}[/bold] in {escape(str(out))}")
    if "samplers" in results:
        show_samplers(console, results)
        for name, files in sorted(results["plots"].items()):
            console.print(f"{name}: {files}", highlight=False, markup=False)
        for name, why in record["missing"].items():
            console.print(f"not known: {name}, {why}", highlight=False, markup=False)
        return
    for entry in record["passes"]:
        console.print(f"  {entry['name']}: {entry['changed']}", highlight=False, markup=False)
    table = Table(title="against its definition", title_justify="left")
    for column in ("what ran", "examples", "values", "differ", "by at most"):
        table.add_column(column, justify="left" if column == "what ran" else "right", overflow="fold")
    parity = results.get("parity", record["parity"])
    for p in parity:
        note = f"\n[dim]{escape(p['note'])}[/dim]" if p.get("note") else ""
        table.add_row(
            escape(p["against"]) + note,
            f"{p['examples']:,}",
            f"{p['values']:,}",
            f"{p['differing']:,}",
            str(p["max_abs_diff"]),
        )
    if parity:
        console.print(table)
    table = Table(title="cost", title_justify="left")
    for column in ("what", "value", "how", "source"):
        table.add_column(column, overflow="fold")
    for f in record["fit"]:
        there = (
            "limit not published" if f["available"] is None else f"of {quantity(f['available'], f['unit'])}"
        )
        table.add_row(
            f"{f['limit']} in all",
            f"{quantity(f['used'], f['unit'])} {there}",
            f["how"],
            "" if f["ok"] else "does not fit",
        )
    for c in record["cost"]:
        table.add_row(c["name"], spread(c), c["how"], escape(brief(c["source"])))
    for name, why in record["missing"].items():
        table.add_row(name, "not known", "", escape(brief(why)))
    console.print(table)
    console.print("  whole sources: --json")
    show_accuracy(console, results.get("accuracy"))
    for line in spiking_lines(results):
        console.print(line, highlight=False, markup=False)
    for warning in record["warnings"]:
        console.print(f"note: {warning}", highlight=False, markup=False)


def show_samplers(console: Any, results: Mapping[str, Any]) -> None:
    """Quantum samples and baselines side by side, verdicts, the best answer."""
    from rich.markup import escape
    from rich.table import Table

    rows = Table(box=None, pad_edge=False, title_justify="left")
    for column, side in (("sampler", "left"), ("best", "right"), ("mean", "right"), ("feasible", "right"),
                         ("optimum", "right"), ("how", "left")):  # fmt: skip
        rows.add_column(column, justify=side)  # type: ignore[arg-type]
    for r in results["samplers"]:
        best, mean = ("-" if v is None else f"{v:.6g}" for v in (r["best"], r["mean"]))
        chance = "-" if r["optimum"] is None else f"{r['optimum']:.3g}"
        rows.add_row(r["sampler"], best, mean, f"{r['feasible']:.1%}", chance, escape(r["method"]))
    shots = results["samplers"][0]["shots"]
    console.print(
        f"{results['problem']}: {shots:,} samples each; cost in {escape(results['unit'])}, lower is better"
    )
    console.print(rows)
    if results["optimum"] is not None:
        proved = "proved" if results["optimum"]["proved"] else "best known"
        console.print(
            f"optimum {results['optimum']['cost']:.6g} ({proved}): {escape(results['optimum']['method'])}"
        )
    for name, words in results["verdicts"].items():
        console.print(f"{name}: {escape(words)}")
    if "mitigated" in results:
        console.print(mitigated_line(results["mitigated"]))
    if results["best"] is not None:
        console.print(f"best answer, by {results['best']['sampler']}, cost {results['best']['cost']:.6g}:")
        console.print_json(data=results["best"]["answer"])


def mitigated_line(found: Mapping[str, Any]) -> str:
    """The mean cost before and after mitigation."""
    return (
        f"mean cost {found['mean_raw']:.6g} as measured, {found['mean']:.6g} +- {found['mean_error']:.2g} after "
        f"{' and '.join(found['kinds'])} ({found['circuits']} circuits)"
    )


def spiking_lines(results: Mapping[str, Any]) -> list[str]:
    """What a simulation of spikes adds: another simulator's energy, a recording, pictures."""
    lines = []
    backend = results.get("backend", {})
    if "energy_j" in backend:
        total, latency = backend["energy_j"]["total"], backend["latency_s"]
        lines.append(f"{backend['name']} {backend['version']}: {quantity(total, 'J')} and {quantity(latency, 's')} an "
                     "inference, by its own engine")  # fmt: skip
    if "recording" in results:
        r = results["recording"]
        lines += [
            f"{r['record']}, {r['seconds']:.0f} s: {r['matched']} of {r['reference_beats']} beats detected, "
            f"{r['detections'] - r['matched']} false; {r['coding']['events_per_s']:.0f} events a second"
        ]
        for key, what in (("detection_latency_s", "detection"), ("answer_latency_s", "answer")):
            lines.append(f"  {what} after the R peak: median {latency_text(r[key])} ({r[key]['how']})")
    for name, files in sorted(results.get("plots", {}).items()):
        lines.append(f"{name}: {files}")
    return lines


def latency_text(spread: Mapping[str, Any]) -> str:
    """Median and largest of a latency, in ms; it may be negative."""
    if spread["median"] is None:
        return "not known"
    return f"{1e3 * spread['median']:.0f} ms, at most {1e3 * spread['largest']:.0f} ms"


def brief(source: str) -> str:
    """The beginning of a source, up to its first semicolon or 70 characters."""
    head = source.split(";")[0]
    return head if len(head) <= 70 else head[:69].rsplit(" ", 1)[0] + " ..."


def show_accuracy(console: Any, accuracy: Mapping[str, Any] | None) -> None:
    """Print float and deployed accuracy side by side."""
    if not accuracy:
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"accuracy on {accuracy['examples']:,} examples", title_justify="left")
    for column in ("network", "accuracy", "macro-F1 (95 % interval)", "recall by class"):
        table.add_column(column)
    for name in ("source", "deployed"):
        a = accuracy[name]
        interval = (
            f"{100 * a['macro_f1']:.2f} % ({100 * a['macro_f1_low']:.2f} to {100 * a['macro_f1_high']:.2f})"
        )
        table.add_row(name, f"{100 * a['accuracy']:.2f} %", interval, escape(recalls(a["per_class"])))
    console.print(table)
    console.print(f"  {accuracy['disagreements']:,} examples change class between the two")


def recalls(per_class: Any) -> str:
    """Recall of each class in a line."""
    entries = per_class.items() if isinstance(per_class, Mapping) else [(c["name"], c) for c in per_class]
    known = [(name, c["recall"]) for name, c in entries if c["recall"] is not None]
    return ", ".join(f"{name} {100 * recall:.1f}" for name, recall in known)


def verification_text(out: Path, result: Mapping[str, Any]) -> str:
    """What `trine verify` found."""
    lines = [
        f"{out}: {result['files']} files unchanged; {', '.join(result['reprinted'])} printed again, byte for byte"
    ]
    for p in result["parity"]:
        lines.append(f"  {p['against']}: {p['differing']} of {p['values']:,} values differ")
    for f in result["fit"]:
        there = "limit not published" if f["available"] is None else f"of {f['available']:,}"
        lines.append(f"  {f['limit']}: {f['used']:,} {f['unit']} {there}")
    lines += [f"  note: {warning}" for warning in result["warnings"]]
    return "\n".join(lines)
