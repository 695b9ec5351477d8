"""The same C on this machine and on every emulated core: same bits, exact and equal counts."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytest
from emulate_samples import Int8, Net, load, need, write_program

from trine.edge.emulate import (
    CORES,
    Entry,
    HostMachine,
    Profile,
    Sizes,
    emulator_for,
)
from trine.edge.emulate.cores import CompilerName, Core, EmulatorName
from trine.edge.emulate.elf import load_image

NET = Net()
COUNT = 20
COMBINATIONS = [
    (core.id, compiler, emulator)
    for core in CORES.values()
    for compiler, emulator in product(core.compilers, core.emulators)
]
ONE_EACH = [(core.id, core.compilers[-1], core.emulators[-1]) for core in CORES.values()]
BOTH = [
    (core.id, compiler) for core in CORES.values() for compiler in core.compilers if len(core.emulators) == 2
]


class Result(NamedTuple):
    outputs: list[Int8]
    first: Profile
    second: Profile
    sizes: Sizes
    layers: list[str]


@cache
def result(
    core: str, compiler: CompilerName, emulator: EmulatorName
) -> tuple[list[Int8], Profile, Profile, Sizes, list[str]]:
    """Outputs, two profiles, sizes and layer names of the sample network; built once for all tests."""
    with TemporaryDirectory() as folder:
        c_dir = NET.write(Path(folder))
        with load(core, compiler, emulator, c_dir, NET.entry) as machine:
            inputs = NET.inputs(COUNT)
            first = machine.profile(inputs)
            layers = [symbol.name for symbol in load_image(machine.elf).layers(NET.entry.symbol)]
            return Result(machine.run(inputs), first, machine.profile(inputs), machine.sizes, layers)


def assert_equal(found: list[Int8], wanted: list[Int8]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_sample_is_worth_running() -> None:
    logits, best = NET.expected(NET.inputs(COUNT))
    assert len(np.unique(best)) >= 3
    assert np.mean((logits > -128) & (logits < 127)) > 0.5
    assert np.any(logits == 127)


def test_host_equals_numpy(tmp_path: Path) -> None:
    inputs = NET.inputs(1000)
    with HostMachine(NET.write(tmp_path), NET.entry) as host:
        assert_equal(host.run(inputs), NET.expected(inputs))


@pytest.mark.parametrize(("core", "compiler", "emulator"), COMBINATIONS)
def test_core_equals_numpy(core: str, compiler: CompilerName, emulator: EmulatorName) -> None:
    outputs, profile, _, _, _ = result(core, compiler, emulator)
    wanted = NET.expected(NET.inputs(COUNT))
    assert_equal(outputs, wanted)
    assert_equal(list(profile.outputs), [array[:1] for array in wanted])


@pytest.mark.parametrize(("core", "compiler", "emulator"), COMBINATIONS)
def test_counts_repeat_and_add_up(core: str, compiler: CompilerName, emulator: EmulatorName) -> None:
    _, first, second, _, layers = result(core, compiler, emulator)
    assert (first.instructions, first.by_layer, first.stack_bytes) == (
        second.instructions,
        second.by_layer,
        second.stack_bytes,
    )
    assert layers == [
        f"trine_net_layer_{i}_{label}" for i, label in enumerate(("conv", "join", "dense", "best"))
    ]
    if emulator == "unicorn":
        assert list(first.by_layer) == [*layers, "run"]
        assert sum(first.by_layer.values()) == first.instructions
        macs = NET.steps * NET.channels * NET.taps
        assert first.by_layer[layers[0]] > macs, "no core here multiplies and accumulates 1624 taps in fewer"
        assert min(first.by_layer.values()) >= 3


@pytest.mark.parametrize(("core", "compiler"), BOTH)
def test_unicorn_and_qemu_agree_exactly(core: str, compiler: CompilerName) -> None:
    _, unicorn, _, unicorn_sizes, _ = result(core, compiler, "unicorn")
    _, qemu, _, qemu_sizes, _ = result(core, compiler, "qemu")
    assert unicorn.instructions == qemu.instructions
    assert unicorn.stack_bytes == qemu.stack_bytes
    assert unicorn_sizes == qemu_sizes, "the board's own code must not count"


@pytest.mark.parametrize(("core", "compiler", "emulator"), COMBINATIONS)
def test_sizes_are_the_programs_own(core: str, compiler: CompilerName, emulator: EmulatorName) -> None:
    found = result(core, compiler, emulator)[3]
    weights = NET.channels * (NET.taps + 8) + NET.classes * (NET.joined + 4)
    assert found.arena_bytes == NET.joined == found.symbols["trine_net_arena"]
    assert found.arena_bytes <= found.ram_bytes < found.arena_bytes + 16
    assert weights <= found.constant_bytes < weights + 64
    # Initialised variables there are none, so flash is code and constants and nothing else.
    assert found.flash_bytes == found.code_bytes + found.constant_bytes
    assert 200 < found.code_bytes < 6000


@pytest.mark.parametrize(("core", "compiler", "emulator"), ONE_EACH)
def test_one_changed_weight_is_noticed(
    core: str, compiler: CompilerName, emulator: EmulatorName, tmp_path: Path
) -> None:
    inputs = NET.inputs(COUNT)
    with load(core, compiler, emulator, NET.write(tmp_path, change=40), NET.entry) as machine:
        logits, _ = machine.run(inputs)
    wanted, _ = NET.expected(inputs)
    assert np.any(logits[:, 2] != wanted[:, 2])
    np.testing.assert_array_equal(np.delete(logits, 2, axis=1), np.delete(wanted, 2, axis=1))


@pytest.mark.parametrize(
    ("core", "compiler", "emulator", "kernel"),
    [
        ("cortex-m4f", "zig", "unicorn", "DENSE_DSP"),
        ("cortex-m4f", "gcc", "qemu", "DENSE_DSP"),
        ("cortex-m33", "gcc", "unicorn", "DENSE_DSP"),
        ("cortex-m55", "zig", "qemu", "DENSE_HELIUM"),
        ("cortex-m55", "gcc", "qemu", "DENSE_HELIUM"),
    ],
)
def test_vector_kernels_give_the_same_bits_in_fewer_instructions(
    core: str, compiler: CompilerName, emulator: EmulatorName, kernel: str, tmp_path: Path
) -> None:
    # One more extra input makes the dense length a multiple of four, as the DSP loop needs.
    net = Net(extra=4)
    inputs = net.inputs(COUNT)
    c_dir = net.write(tmp_path)
    counts = []
    for flags in ((), (f"-D{kernel}",)):
        with load(core, compiler, emulator, c_dir, net.entry, flags=flags) as machine:
            assert_equal(machine.run(inputs), net.expected(inputs))
            counts.append(machine.profile(inputs).instructions)
    if (core, compiler) != ("cortex-m55", "zig"):  # there clang vectorises the plain loop itself
        assert counts[1] < counts[0]


@pytest.mark.parametrize("core", [core for core in CORES.values() if core.board], ids=lambda c: c.id)
def test_a_count_known_by_hand(core: Core, tmp_path: Path) -> None:
    """100 rounds of a loop, a skipped instruction in an IT block (counted), a store, the return."""
    conditional = "it ne\\nmovne r3, #1\\n" if core.id != "cortex-m0" else "movs r3, #1\\nmovs r3, #1\\n"
    body = (
        "__attribute__((naked)) int trine_tick_run(const int8_t *in, int8_t *out) { __asm volatile("
        f'".syntax unified\\nmovs r2, #100\\n1: subs r2, #1\\nbne 1b\\n{conditional}'
        'ldrb r3, [r0]\\nstrb r3, [r1]\\nmovs r0, #0\\nbx lr\\n"); (void)in; (void)out; }'
    )
    c_dir = write_program(tmp_path, "tick", body.replace("(void)in; (void)out; ", ""))
    entry = Entry("trine_tick_run", (1,), (1,))
    compiler = core.compilers[-1]
    for emulator in core.emulators:
        with load(core.id, compiler, emulator, c_dir, entry, flags=("-Wno-unused-parameter",)) as machine:
            profile = machine.profile([np.array([[42]], np.int8)])
            assert profile.instructions == 1 + 200 + 2 + 4, emulator
            assert profile.stack_bytes == 0
            assert profile.outputs[0].item() == 42


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m33"])
def test_layers_get_their_own_instructions(core: str, tmp_path: Path) -> None:
    """Two layers counted by hand, called in turn, twice: what is between them belongs to neither."""
    layers = "".join(
        f"__attribute__((naked, noinline)) static void trine_turn_layer_{i}_spin(void) {{ __asm volatile("
        f'".syntax unified\\nmovs r2, #{rounds}\\n1: subs r2, #1\\nbne 1b\\nbx lr\\n"); }}\n'
        for i, rounds in enumerate((10, 7))
    )
    calls = "trine_turn_layer_0_spin();\ntrine_turn_layer_1_spin();\n" * 2
    body = (
        f"{layers}int trine_turn_run(const int8_t *in, int8_t *out) {{ {calls} out[0] = in[0]; return 0; }}"
    )
    c_dir = write_program(tmp_path, "turn", body)
    for compiler in CORES[core].compilers:
        with load(core, compiler, "unicorn", c_dir, Entry("trine_turn_run", (1,), (1,))) as machine:
            found = machine.profile([np.array([[5]], np.int8)])
            run = found.by_layer["run"]
            assert found.by_layer == {
                "trine_turn_layer_0_spin": 2 * (1 + 20 + 1),
                "trine_turn_layer_1_spin": 2 * (1 + 14 + 1),
                "run": run,
            }
            assert 4 + 4 <= run <= 20  # four calls; a load, a store, the value 0, the return


@pytest.mark.parametrize(
    ("core", "compiler", "emulator"),
    [*ONE_EACH, ("cortex-m0", "zig", "unicorn"), ("cortex-m7", "zig", "unicorn")],
)
def test_painted_stack_shows_a_known_local_array(
    core: str, compiler: CompilerName, emulator: EmulatorName, tmp_path: Path
) -> None:
    body = """int trine_deep_run(const int8_t *in, int8_t *out) {
  volatile int8_t local[256];
  for (int i = 0; i < 256; i++) local[i] = (int8_t)(in[0] + i);
  out[0] = local[in[0] & 127];
  return 0;
}"""
    entry = Entry("trine_deep_run", (1,), (1,))
    with load(core, compiler, emulator, write_program(tmp_path, "deep", body), entry) as machine:
        # Both values that the paint may hide as the array's first byte: one example each.
        for value in (0xA5 - 256, 0x5C, 3):
            stack = machine.profile([np.array([[value]], np.int8)]).stack_bytes
            assert 256 <= stack <= 256 + 48


def test_more_buffers_than_argument_registers(tmp_path: Path) -> None:
    sizes = (3, 1, 5, 2, 4)
    kinds = ", ".join([f"const int8_t *a{i}" for i in range(5)] + [f"int8_t *b{i}" for i in range(5)])
    copies = "\n".join(
        f"for (int i = 0; i < {size}; i++) b{j}[i] = (int8_t)(a{j}[i] + {j});" for j, size in enumerate(sizes)
    )
    tmp_path.joinpath("many.c").write_text(
        f"#include <stdint.h>\nint trine_many_run({kinds});\n"
        f"int trine_many_run({kinds}) {{\n{copies}\nreturn 0;\n}}\n"
    )
    entry = Entry("trine_many_run", sizes, sizes)
    rng = np.random.default_rng(3)
    inputs = [rng.integers(-100, 100, (6, size), dtype=np.int8) for size in sizes]
    wanted = [array + np.int8(j) for j, array in enumerate(inputs)]
    with HostMachine(tmp_path, entry) as host:
        assert_equal(host.run(inputs), wanted)
    cases: list[tuple[str, EmulatorName]] = [
        ("cortex-m3", "unicorn"),
        ("rv32imc", "unicorn"),
        ("cortex-m3", "qemu"),
    ]
    for core, emulator in cases:
        with load(core, "zig", emulator, tmp_path, entry) as machine:
            assert_equal(machine.run(inputs), wanted)
            assert_equal(list(machine.profile(inputs).outputs), [array[:1] for array in wanted])


def test_every_optimisation_level_reaches_the_compiler(tmp_path: Path) -> None:
    """zig alone would hand clang -O2 for -O1 and -O3 too."""
    need("cortex-m4f")
    c_dir = NET.write(tmp_path)
    inputs = NET.inputs(2)
    counts = set()
    for level in ("-O1", "-O2", "-O3"):
        with emulator_for("cortex-m4f", optimise=level).load(c_dir, NET.entry) as machine:
            assert_equal(machine.run(inputs), NET.expected(inputs))
            counts.add((machine.profile(inputs).instructions, machine.sizes.code_bytes))
    assert len(counts) == 3


def test_same_sources_give_the_same_image_in_any_folder(tmp_path: Path) -> None:
    c_dir = NET.write(tmp_path / "c")
    for compiler in CORES["cortex-m4f"].compilers:
        need("cortex-m4f", compiler, "unicorn")
        images = []
        for place in ("one", "another/place"):
            work = tmp_path / compiler / place
            with emulator_for("cortex-m4f", compiler).load(c_dir, NET.entry, workdir=work) as machine:
                images.append(machine.elf.read_bytes())
        assert images[0] == images[1]
        assert str(tmp_path).encode() not in images[0]
