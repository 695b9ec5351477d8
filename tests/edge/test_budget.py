"""Limits as text, the integer program against exhaustive search, and a search that really compiles its choice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantize_samples import Builder

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Tensor
from trine.devices import EdgeDevice, load_device
from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.budget import Limits, parse_drop, parse_energy, parse_size, search
from trine.edge.budget.measure import measure
from trine.edge.budget.record import record_of
from trine.edge.budget.search import Search
from trine.edge.budget.solve import OBJECTIVES, front, solve
from trine.edge.budget.space import Alternative, Space, widths_chosen
from trine.edge.budget.survey import lowered
from trine.edge.budget.ways import Whole
from trine.edge.lowbit import bits_of
from trine.edge.running import emulation_missing
from trine.edge.widths import described, limited

GOOD = {"64K": 65536, "64KiB": 65536, "64 KiB": 65536, "200kB": 200_000, "1M": 1 << 20, "1.5M": 3 << 19,
        "2MB": 2_000_000, "4096": 4096, "4096B": 4096}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), GOOD.items())
def test_sizes(text: str, wanted: int) -> None:
    assert parse_size(text, "--max-ram") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("200uJ", 2e-4), ("1.5mJ", 1.5e-3), ("2e-4 J", 2e-4), (".5uJ", 5e-7)]
)
def test_energies(text: str, wanted: float) -> None:
    assert parse_energy(text, "--max-energy-per-inference") == pytest.approx(wanted)


@pytest.mark.parametrize(
    "text", ["", "K", "-4K", "64G", "64 k", "0", "1e400", "0.5B", "64K 3", "nan", "200uJ"]
)
def test_what_is_no_size_is_refused_by_the_option(text: str) -> None:
    with pytest.raises(InputError, match="--max-flash"):
        parse_size(text, "--max-flash")


@pytest.mark.parametrize("text", ["200", "uJ", "3 W", "-1uJ", "64K"])
def test_what_is_no_energy_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="200uJ"):
        parse_energy(text, "--max-energy-per-inference")


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with suppress(InputError):
        assert parse_size(text, "--max-ram") >= 1


@pytest.mark.parametrize("points", [-0.1, 100.5, float("nan")])
def test_an_accuracy_drop_is_points(points: float) -> None:
    with pytest.raises(InputError, match="points"):
        parse_drop(points, "--max-accuracy-drop")


def drawn_space(seed: int, layers: int = 4) -> Space:
    """Random costs, among them ties and a form whose code is dear."""
    rng = np.random.default_rng(seed)
    made = tuple(
        tuple(
            Alternative(
                f"l{i}", form, int(rng.integers(0, 20)), int(rng.integers(50, 60)), float(rng.integers(0, 9)),
                float(rng.integers(0, 30)), f"w{i}", bits,
            )
            for form, bits in (("int8", 8), ("int4", 4), ("int2", 2))[: rng.integers(1, 4)]
        )
        for i in range(layers)
    )  # fmt: skip
    code = {"int8": 5, "int4": int(rng.integers(0, 40)), "int2": int(rng.integers(0, 10))}
    return Space(Whole(), made, code, 100, 3.0, True, "measured")


@given(seed=st.integers(0, 10_000), tight=st.floats(0, 1), objective=st.sampled_from(OBJECTIVES))
@settings(max_examples=30, deadline=None)
def test_the_integer_program_finds_what_trying_all_finds(seed: int, tight: float, objective: str) -> None:
    space = drawn_space(seed)
    every = [space.total(choice) for choice in product(*space.layers)]
    assert space.count == len(every)

    def between(name: str) -> float:
        values = [total[name] for total in every]
        return min(values) + tight * (max(values) - min(values))

    limits = {
        "flash_bytes": between("flash_bytes"),
        "ram_bytes": between("ram_bytes"),
        "energy_j": between("energy_j"),
    }
    inside = [t for t in every if all(t[n] <= most + 1e-9 for n, most in limits.items())]
    found = solve(space, limits, objective)
    if found is None:
        assert not inside
        return
    total = space.total(found)
    assert total[objective] == pytest.approx(min(t[objective] for t in inside))
    assert all(total[n] <= most + 1e-6 for n, most in limits.items())


@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_excluded_choices_come_one_by_one(seed: int) -> None:
    space = drawn_space(seed, layers=2)
    tried: list[tuple[Alternative, ...]] = []
    while (choice := solve(space, {}, "noise", tried)) is not None:
        assert choice not in tried
        tried.append(choice)
    assert len(tried) == space.count
    noises = [space.total(choice)["noise"] for choice in tried]
    assert noises == sorted(noises)


@given(seed=st.integers(0, 1000))
@settings(max_examples=6, deadline=None)
def test_no_point_of_the_front_is_beaten(seed: int) -> None:
    space = drawn_space(seed)
    points = [space.total(choice) for choice in front(space, {})]
    assert points
    for a, b in pairwise(points):
        assert a["flash_bytes"] < b["flash_bytes"]
        assert a["noise"] > b["noise"]
    every = [space.total(choice) for choice in product(*space.layers)]
    for point in points:
        assert not any(
            t["flash_bytes"] <= point["flash_bytes"] and t["noise"] < point["noise"] for t in every
        )


def classifier(seed: int = 0) -> Graph:
    """Three layers on a signal, three classes."""
    b = Builder((4, 32), seed)
    x = b.add("Relu", b.conv("x", 32, kernel=5, stride=4))
    x = b.add("Relu", b.conv(x, 48, kernel=5, stride=2))
    return b.graph(b.gemm(b.flatten(x), 3))


def labelled(graph: Graph, folder: Path, labels: bool = True) -> Examples:
    """Examples whose labels are the float network's own classes."""
    x = np.random.default_rng(1).normal(size=(400, 4, 32)).astype(np.float32)
    y = graph.run({"x": x})[graph.outputs[0]].argmax(axis=1)
    np.savez(folder / "data.npz", x=x, **({"y": y} if labels else {}))
    return Examples.open(folder / "data.npz", (Tensor("x", (4, 32)),))


@pytest.fixture(scope="module")
def device() -> EdgeDevice:
    found = load_device("nrf52840")
    assert isinstance(found, EdgeDevice)
    if emulation_missing(found):
        pytest.skip(emulation_missing(found))
    return found


@pytest.fixture(scope="module")
def wanted(device: EdgeDevice, tmp_path_factory: pytest.TempPathFactory) -> Search:
    graph = classifier()
    made = Search(graph, device, labelled(graph, tmp_path_factory.mktemp("data")), Limits())
    assert made.space().has_energy
    return made


def with_limits(wanted: Search, limits: Limits) -> Search:
    """The same search, measurements kept, under other limits."""
    made = replace(wanted, limits=limits, points={})
    for name in ("ranges", "noises", "ways"):
        made.__dict__[name] = getattr(wanted, name)
    return made


def test_predictions_are_near_what_is_linked(wanted: Search) -> None:
    """Uniform widths, and one mixed: flash within 5 %, energy within 5 %, RAM never above the prediction by much."""
    space = wanted.space()
    mixed = tuple(layer[i % len(layer)] for i, layer in enumerate(space.layers))
    for choice in [*(tuple(layer[i] for layer in space.layers) for i in range(3)), mixed]:
        predicted, found = space.total(choice), wanted.sized(Whole(), choice)
        assert found.flash_bytes == pytest.approx(predicted["flash_bytes"], rel=0.05)
        assert found.energy_j == pytest.approx(predicted["energy_j"], rel=0.05)
        assert found.ram_bytes <= predicted["ram_bytes"] + 128


def test_the_choice_fits_and_is_what_was_compiled(wanted: Search, device: EdgeDevice) -> None:
    whole = wanted.sized(Whole(), tuple(layer[0] for layer in wanted.space().layers))
    limits = Limits(flash_bytes=int(0.6 * whole.flash_bytes))
    point, why = with_limits(wanted, limits).within()
    assert point.measured.flash_bytes <= 0.6 * whole.flash_bytes
    assert "least noise" in why
    widths = {s.name: bits_of(s) for s in point.quantized.program.steps if "weight" in s.constants}
    assert widths == {a.layer: a.weight_bits for a in point.choice}
    assert measure(point.quantized.program, device, "zig") == point.measured
    assert described(point.quantized.program).startswith("; weights: ")


def test_a_limit_that_8_bits_meet_leaves_8_bits(wanted: Search) -> None:
    point, _ = with_limits(wanted, Limits(flash_bytes=1 << 20, ram_bytes=1 << 17)).within()
    assert set(widths_chosen(point.choice).weights.values()) == {8}


def test_what_binds_is_named_with_its_least(wanted: Search) -> None:
    least = min(wanted.space().total(c)["flash_bytes"] for c in product(*wanted.space().layers))
    with pytest.raises(AnswerIsNo, match=r"flash: 1,000 B allowed, at least [0-9,]+ B needed") as error:
        with_limits(wanted, Limits(flash_bytes=1000)).within()
    needed = int(str(error.value).split("at least ")[1].split(" B")[0].replace(",", ""))
    assert needed == pytest.approx(least, rel=0.05)
    assert "over by" in str(error.value)
    assert "points" in str(error.value), "at which accuracy"
    with pytest.raises(AnswerIsNo, match=r"energy: 0\.1 uJ allowed"):
        with_limits(wanted, Limits(energy_j=1e-7)).within()


def test_limits_that_only_hold_one_at_a_time(wanted: Search) -> None:
    """8 bits take the least energy, 2 bits the least flash."""
    totals = [wanted.space().total(c) for c in product(*wanted.space().layers)]
    limits = Limits(
        flash_bytes=int(min(t["flash_bytes"] for t in totals) * 1.02),
        energy_j=min(t["energy_j"] for t in totals) * 1.001,
    )
    with pytest.raises(AnswerIsNo) as error:
        with_limits(wanted, limits).within()
    assert "flash" in str(error.value) or "energy" in str(error.value)


def test_without_resources_the_least_flash_that_keeps_the_accuracy(wanted: Search) -> None:
    point, why = with_limits(wanted, Limits(accuracy_drop=25.0)).cheapest()
    assert point.drop is not None
    assert point.drop <= 25.0
    assert "least flash" in why
    whole = wanted.sized(Whole(), tuple(layer[0] for layer in wanted.space().layers))
    assert point.measured.flash_bytes < whole.flash_bytes


def test_labels_are_asked_for(device: EdgeDevice, tmp_path: Path) -> None:
    graph = classifier()
    with pytest.raises(InputError, match="needs labels"):
        search(graph, device, labelled(graph, tmp_path, labels=False), Limits(accuracy_drop=1.0))


def test_the_record_says_everything(wanted: Search) -> None:
    made = with_limits(wanted, Limits(flash_bytes=1 << 20))
    point, why = made.within()
    record = record_of(made.spaces, made.limits, point.way, point.choice, point.as_json(), why)
    assert record["limits"] == {"flash_bytes": 1 << 20}
    assert [layer["chosen"] for layer in record["layers"]] == ["8"] * 3
    assert sum(p["chosen"] for p in record["front"]) == 1
    assert record["chosen"]["how"] == "measured"
    assert record["combinations"] == 27


def test_the_smaller_of_two_limits_counts() -> None:
    from trine.compilers.report import Fit

    fit = [Fit("ram", 10, None, "B", "measured"), Fit("flash", 10, 100, "B", "measured")]
    ram, flash = limited(fit, Limits(ram_bytes=5, flash_bytes=200))
    assert (ram.available, ram.ok, flash.available) == (5, False, 100)


def test_sizes_do_not_depend_on_rounding(wanted: Search, device: EdgeDevice) -> None:
    choice = tuple(layer[-1] for layer in wanted.space().layers)
    plain = measure(lowered(wanted.graph, wanted.ranges, widths_chosen(choice)), device, "zig")
    real = wanted.realise(Whole(), choice).measured
    assert abs(plain.flash_bytes - real.flash_bytes) <= 128
