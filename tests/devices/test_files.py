"""Files of the user: what is accepted, and how each kind of mistake is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from trine.devices import EdgeDevice, device_names, load_device
from trine.devices import load as load_module
from trine.devices.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "devices.md"

GOOD = """\
name = "mine"
kind = "edge"
title = "Mine"

[sources]
sheet = "a data sheet"

[core]
id = "cortex-m4f"
name = { text = "Cortex-M4F", class = "datasheet", source = "sheet" }
clock = { value = 64, unit = "MHz", class = "datasheet", source = "sheet" }

[memory]
ram = { value = 256, unit = "KiB", class = "datasheet", source = "sheet" }
flash = { value = 1, unit = "MiB", class = "datasheet", source = "sheet" }

[power]
supply = { value = 3, low = 1.8, high = 3.6, unit = "V", class = "datasheet", source = "sheet" }

[sleep]
stop = { value = 2, unit = "uA", class = "datasheet", source = "sheet" }

[[benchmarks]]
suite = "mine"
source = "sheet"
class = "measured"
split = "context"
results = [{ task = "ecg", latency_ms = 2.0, energy_uj = 10 }]
"""

Refusal = Callable[[str], str]


@pytest.fixture
def refuse(tmp_path: Path) -> Refusal:
    """Loads the text as `mine.toml`, which must be refused, and gives the message."""

    def run(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load_device(str(path))
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 2
        return str(caught.value)

    return run


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    device = load_device(str(path))
    assert isinstance(device, EdgeDevice)
    assert (device.ram_bytes, device.flash_bytes, device.clock_hz) == (262144, 1048576, 64_000_000)
    assert device.benchmarks[0].active_power_w == pytest.approx(5e-3)
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert load_device(str(path)) == device


def test_the_example_in_the_docs_loads(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "my_patch.toml"
    path.write_text(found[1])
    device = load_device(str(path))
    assert isinstance(device, EdgeDevice)
    assert device.active_power_w is not None
    assert device.active_power_w.si_range == pytest.approx((11.5e-3, 12.4e-3))


SUPPLY = 'supply = { value = 3, low = 1.8, high = 3.6, unit = "V", class = "datasheet", source = "sheet" }'
STOP = 'stop = { value = 2, unit = "uA", class = "datasheet", source = "sheet" }'
SHEET = ', source = "sheet" }'
CLASS = ', class = "datasheet"'
# What to replace, by what, and the line of the refusal.
MISTAKES = {
    "misspelt key": ("ram = {", "rma = {", "memory.rma: unknown key; did you mean ram or sram?"),
    "misspelt table": ("[power]", "[powr]", "powr: unknown key; did you mean power"),
    "misspelt key of a figure": ("low = 1.8", "lo = 1.8", "power.supply.lo: unknown key; did you mean low"),
    "no source": (f"{SHEET}\n\n[sleep]", " }\n\n[sleep]", "power.supply.source: missing"),
    "no class": (f"{CLASS}{SHEET}\n\n[sleep]", f"{SHEET}\n\n[sleep]", "power.supply.class: missing"),
    "no unit": ('unit = "V", ', "", "power.supply.unit: missing"),
    "no value": ("{ value = 3, low", "{ low", "power.supply.value: missing"),
    "source not listed": (
        f"{SHEET}\n\n[sleep]",
        ', source = "shet" }\n\n[sleep]',
        "power.supply.source: 'shet' is not in [sources]; did you mean sheet?",
    ),
    "wrong unit": (
        'unit = "V"',
        'unit = "W"',
        "power.supply.unit: 'W' is not a unit of voltage; right: V, mV",
    ),
    "wrong unit of a free name": (
        'unit = "uA"',
        'unit = "uV"',
        "sleep.stop.unit: 'uV' is not a unit of current or power; right: A, mA",
    ),
    "unknown class": (
        'class = "measured"',
        'class = "mesured"',
        "benchmarks[0].class: unknown class 'mesured'; did you mean measured",
    ),
    "unknown split": (
        'split = "context"',
        'split = "contxt"',
        "unknown split 'contxt'; did you mean context?",
    ),
    "low above value": ("low = 1.8", "low = 3.1", "power.supply: low 3.1 is above the value 3"),
    "high below value": ("high = 3.6", "high = 2.9", "power.supply: high 2.9 is below the value 3"),
    "text for a number": ("value = 3,", 'value = "3",', "power.supply.value: must be a number, not text"),
    "truth for a number": (
        "value = 3,",
        "value = true,",
        "power.supply.value: must be a number, not true or false",
    ),
    "number for a figure": (SUPPLY, "supply = 3", "power.supply: must be a table, not a number"),
    "negative": ("value = 2,", "value = -2,", "sleep.stop: value is -2: negative, which is impossible here"),
    "not a number": ("value = 2,", "value = nan,", "sleep.stop: value is nan: give a finite number"),
    "infinite": ("high = 3.6", "high = inf", "power.supply: high is inf: give a finite number"),
    "huge": ("value = 2,", "value = 1" + "0" * 400 + ",", "sleep.stop.value: too large for a number"),
    "unknown core": (
        '"cortex-m4f"',
        '"cortex-m4"',
        "core.id: unknown id 'cortex-m4'; did you mean cortex-m4f",
    ),
    "unknown kind": ('kind = "edge"', 'kind = "egde"', "kind: unknown kind 'egde'; did you mean edge?"),
    "no kind": ('kind = "edge"\n', "", "kind: missing"),
    "no clock": ("clock = {", "clock_max = {", "core.clock: missing"),
    "no flash": (
        "flash = {",
        "cache = {",
        'memory.flash: missing; a part without it says external = ["flash"]',
    ),
    "flash twice": (
        "[memory]",
        '[memory]\nexternal = ["flash"]',
        "memory.flash: given although memory.external names flash",
    ),
    "unknown external": (
        "[memory]",
        '[memory]\nexternal = ["flsh"]',
        "memory.external: unknown part 'flsh'; did you mean flash?",
    ),
    "name is not the file": (
        'name = "mine"',
        'name = "stm32l4r5"',
        "name: 'stm32l4r5' in a file called mine.toml; make them the same",
    ),
    "capitals in a name": (
        'name = "mine"',
        'name = "Mine"',
        "names are lower case letters, digits and underscores",
    ),
    "capitals in a free name": (
        STOP,
        STOP.replace("stop", "Stop"),
        "sleep.Stop: 'Stop': names are lower case",
    ),
    "date is not a date": (
        'unit = "uA",',
        'unit = "uA", observed_on = "May",',
        "'May' is not a date such as 2026-04-15",
    ),
    "notes are not a list": (
        'title = "Mine"',
        'title = "Mine"\nnotes = "x"',
        "notes: must be a list of texts",
    ),
    "empty title": ('title = "Mine"', 'title = " "', "title: empty"),
    "benchmark is a table": ("[[benchmarks]]", "[benchmarks]", "must be [[benchmarks]] tables, not a table"),
    "benchmark without figures": (
        ", latency_ms = 2.0, energy_uj = 10",
        "",
        "holds no figure: give one of latency_ms",
    ),
    "benchmark of zero": (
        "latency_ms = 2.0",
        "latency_ms = 0",
        "latency_ms: 0: must be above zero and finite",
    ),
    "benchmark in another unit": (
        "latency_ms = 2.0",
        "latency_us = 2.0",
        "latency_us: unknown key; did you mean latency_ms",
    ),
    "no benchmark results": (
        'results = [{ task = "ecg", latency_ms = 2.0, energy_uj = 10 }]',
        "results = []",
        "results: must be a list",
    ),
    "broken TOML": ("[power]", "[power", "is not valid TOML: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_named(mistake: str, refuse: Refusal) -> None:
    old, new, expected = MISTAKES[mistake]
    assert GOOD.count(old) >= 1
    assert expected in refuse(GOOD.replace(old, new, 1))


def test_all_problems_come_at_once(refuse: Refusal) -> None:
    text = (
        GOOD.replace("ram = {", "rma = {").replace('unit = "V"', 'unit = "W"').replace('title = "Mine"\n', "")
    )
    message = refuse(text)
    assert "4 problems" in message
    for part in ("title: missing", "memory.rma", "memory.ram: missing", "power.supply.unit"):
        assert part in message


def test_toml_errors_name_the_line(refuse: Refusal) -> None:
    line = GOOD[: GOOD.index("[power]")].count("\n") + 1
    assert f"line {line}" in refuse(GOOD.replace("[power]", "[power"))


def test_counts_are_whole_and_series_are_checked(refuse: Refusal) -> None:
    head = 'name = "mine"\nkind = "neuromorphic"\ntitle = "x"\n[sources]\ns = "s"\n[limits]\n'
    rest = 'unit = "count", class = "vendor", source = "s" }\n'
    assert "limits.cores: value is 2.5: a whole number" in refuse(head + "cores = { value = 2.5, " + rest)
    series = 'weight_bits_allowed = { values = [1, "2", -3], unit = "bit", class = "vendor", source = "s" }\n'
    message = refuse(head + series)
    assert "must be a number, not text" in message
    assert "value is -3: negative" in message
    event = '[events.mine]\nsynop_energi = { value = 1, unit = "pJ", class = "vendor", source = "s" }\n'
    assert "events.mine.synop_energi: unknown key; did you mean synop_energy" in refuse(head + event)


def test_prices_need_a_date(refuse: Refusal) -> None:
    text = """\
name = "mine"
kind = "quantum"
title = "x"
[sources]
s = "s"
[machine]
topology = { text = "all-to-all", class = "vendor", source = "s" }
[limits]
qubits = { value = 4, unit = "count", class = "vendor", source = "s" }
[price.shop]
per_shot = { value = 1, unit = "USD/shot", class = "vendor", source = "s" }
per_task = { value = 1, unit = "USD/shot", class = "vendor", source = "s", observed_on = "2026-01" }
"""
    message = refuse(text)
    assert "price.shop.per_shot.observed_on: missing" in message
    assert (
        "price.shop.per_task.unit: 'USD/shot' is not a unit of price per task; right: USD/task, EUR/task"
        in message
    )


def message_of(name: str) -> str:
    with pytest.raises(InputError) as caught:
        load_device(name)
    return str(caught.value)


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "unknown device 'stm32l4r6'; did you mean stm32l4r5" in message_of("stm32l4r6")
    assert "did you mean stm32l4r5" in message_of("STM32L4R5")
    assert "no device given" in message_of("")
    (tmp_path / "patch.toml").write_text(GOOD)
    assert "write ./patch.toml" in message_of("patch")
    with pytest.raises(InputError, match="unknown kind of device 'edg'; did you mean edge"):
        device_names("edg")


def test_paths_that_are_no_device_file(tmp_path: Path) -> None:
    assert "does not exist" in message_of(str(tmp_path / "nothing.toml"))
    assert "did you mean the device stm32l4r5" in message_of(str(tmp_path / "stm32l4r5.toml"))
    assert "is a folder" in message_of(str(tmp_path))
    assert "is not a regular file" in message_of("/dev/null")
    (tmp_path / "mine.toml").write_bytes(b'name = "\xff"')
    assert "not UTF-8" in message_of(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("#" * (1 << 21))
    assert "larger than 1 MiB" in message_of(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("a = " + "[" * 20000)
    assert "not valid TOML" in message_of(str(tmp_path / "mine.toml"))
    assert "did you mean" in message_of(str(tmp_path / "mine"))


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Pretends that an installed package offers this object in the entry-point group."""

    def offer(value: object) -> None:
        def loaded() -> object:
            if isinstance(value, Exception):
                raise value
            return value

        entry = SimpleNamespace(name="other", value="other:devices", load=loaded)
        monkeypatch.setattr(
            "importlib.metadata.entry_points", lambda group: [entry] if group == "trine.devices" else []
        )
        load_module._outside.cache_clear()

    return offer


@pytest.fixture(autouse=True)
def _forget_outside_packages() -> None:
    load_module._outside.cache_clear()


def test_outside_packages_offer_devices(tmp_path: Path, offered: Callable[[object], None]) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    for value in (str(tmp_path), tmp_path / "mine.toml", lambda: tmp_path):
        offered(value)
        assert load_device("mine").title == "Mine"
        assert "mine" in device_names("edge")
    (tmp_path / "stm32l4r5.toml").write_text(GOOD)
    offered(tmp_path)
    assert "has the same name as" in message_of("mine")
    offered(tmp_path / "nowhere")
    assert "nowhere does not exist" in message_of("mine")
    offered(RuntimeError("broken"))
    assert (
        "entry point other = other:devices (group trine.devices) failed: RuntimeError: broken"
        in message_of("mine")
    )
    assert (
        load_device("nrf52840").name == "nrf52840"
    )  # the catalogue's own devices do not ask outside packages
    load_module._outside.cache_clear()
