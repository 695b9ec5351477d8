"""What the emulation refuses, and how it says so."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from emulate_samples import Int8, Net, load, need, write_program

from trine.devices.errors import AnswerIsNo, InputError, MissingExtra
from trine.edge.emulate import (
    CORES,
    BuildError,
    EmulationFault,
    Entry,
    HostCompiler,
    HostMachine,
    IsaViolation,
    core_for,
    emulator_for,
    missing,
)
from trine.edge.emulate.cores import EmulatorName
from trine.edge.emulate.elf import load_image
from trine.edge.emulate.qemu import QemuMachine
from trine.edge.emulate.scan import scan
from trine.edge.emulate.unicorn_machine import UnicornMachine

ONE = [np.array([[7]], np.int8)]
SOFT = ("-mcpu=cortex_m4", "-mfloat-abi=soft")
EMULATORS: tuple[EmulatorName, ...] = get_args(EmulatorName)


def entry(name: str) -> Entry:
    return Entry(f"trine_{name}_run", (1,), (1,))


def one(name: str, statements: str, before: str = "") -> str:
    return f"{before}\nint trine_{name}_run(const int8_t *in, int8_t *out) {{\n{statements}\n}}"


def test_core_names_as_devices_write_them() -> None:
    assert core_for("Cortex-M4F").id == core_for("cortex_m4").id == "cortex-m4f"
    assert core_for("Cortex-M0+").id == core_for("cortex-m0plus").id == "cortex-m0"
    assert core_for(" RV32IMC ").id == "rv32imc"
    with pytest.raises(InputError, match="cortex-m55"):
        core_for("cortex-m85")


@pytest.mark.parametrize("code", ["smlad r0, r1, r2, r3", "cmp r1, #0\\nit ne\\nsmladne r0, r1, r2, r3"])
@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m0"])
def test_dsp_instructions_are_refused_on_a_core_without_them(core: str, code: str, tmp_path: Path) -> None:
    """The emulator alone does not notice: unicorn's Cortex-M3 executes SMLAD."""
    need(core)
    assembly = f'__asm volatile(".arch armv7e-m\\n{code}" ::: "r0", "cc");'
    body = one("smuggle", f"{assembly} out[0] = in[0]; return 0;")
    c_dir = write_program(tmp_path, "smuggle", body)
    with pytest.raises(IsaViolation, match=r"trine_smuggle_run.*smlad") as refused:
        emulator_for(core).load(c_dir, entry("smuggle"))
    assert isinstance(refused.value, AnswerIsNo)
    with load("cortex-m4f", "zig", "unicorn", c_dir, entry("smuggle")) as machine:
        assert machine.run(ONE)[0].item() == 7


def test_dsp_c_does_not_compile_for_a_core_without_it(tmp_path: Path) -> None:
    need("cortex-m3")
    net = Net(extra=4)
    with pytest.raises(BuildError, match="needs the DSP extension"):
        emulator_for("cortex-m3").load(net.write(tmp_path), net.entry, ("-DDENSE_DSP",))


def test_flags_that_change_the_core_are_noticed(tmp_path: Path) -> None:
    need("cortex-m4f")
    with pytest.raises(BuildError, match="cortex-m4f needs __ARM_FP"):
        emulator_for("cortex-m4f").load(
            Net().write(tmp_path), Net().entry, ("-mcpu=cortex_m4", "-mfloat-abi=soft")
        )


@pytest.mark.parametrize(
    ("built_for", "statements", "refused_by", "group"),
    [
        ("cortex-m3", "out[0] = (int8_t)(in[0] / 3 * 100 / in[0]);", "cortex-m0", "thumb2"),
        ("cortex-m4f", "float f = in[0]; out[0] = (int8_t)(f * 1.5f);", "cortex-m3", "fp"),
        ("cortex-m7", "double f = in[0]; out[0] = (int8_t)(f * 1.5);", "cortex-m4f", "fp64"),
        ("cortex-m7", '__asm volatile("vmaxnm.f32 s0, s1, s2"); out[0] = in[0];', "cortex-m4f", "fpv5"),
        ("cortex-m33", '__asm volatile("lda r2, [r0]" ::: "r2"); out[0] = in[0];', "cortex-m7", "armv8m"),
        ("cortex-m55", "for (int i = 0; i < 64; i++) out[i & 0] += in[i & 0] * in[i & 0];", "cortex-m33", ""),
        (
            "cortex-m55",
            '__asm volatile("vmladava.s8 r2, q0, q1\\nvldrb.u8 q0, [r0]" ::: "r2"); out[0] = in[0];',
            "cortex-m33",
            "vector|no known instruction",
        ),
    ],
)
def test_scan_tells_neighbouring_cores_apart(
    built_for: str, statements: str, refused_by: str, group: str, tmp_path: Path
) -> None:
    need(built_for)
    c_dir = write_program(tmp_path, "isa", one("isa", f"{statements} return 0;"))
    elf = emulator_for(built_for).compiler.compile(
        [c_dir / "isa.c"], CORES[built_for], tmp_path / "build", entry="trine_isa_run"
    )
    image = load_image(elf)
    scan(image, CORES[built_for])
    if group:
        with pytest.raises(IsaViolation, match=group):
            scan(image, CORES[refused_by])


def test_scan_reads_every_instruction_and_no_literal(tmp_path: Path) -> None:
    need("cortex-m0")
    # The literal pool holds 0xF123FB21: read as code, it begins like the DSP instruction SMLAD.
    body = one("pool", "uint32_t x = (uint8_t)in[0]; out[0] = (int8_t)((x * 0xF123FB21u) >> 24); return 0;")
    c_dir = write_program(tmp_path, "pool", body)
    elf = emulator_for("cortex-m0").compiler.compile(
        [c_dir / "pool.c"], CORES["cortex-m0"], tmp_path / "b", entry="trine_pool_run"
    )
    image = load_image(elf)
    pool = bytes.fromhex("21FB23F1")
    assert any(pool in data for _, data in image.segments)
    assert not any(pool in image.read(start, end) for start, end in image.code)
    code = sum(end - start for start, end in image.code)
    assert code / 4 <= scan(image, CORES["cortex-m0"]) <= code / 2


@pytest.mark.parametrize("which", EMULATORS)
def test_an_endless_loop_hits_the_time_limit(which: EmulatorName, tmp_path: Path) -> None:
    body = one(
        "stuck",
        "trine_stuck_layer_0_spin(in); out[0] = 0; return 0;",
        "__attribute__((noinline)) static void trine_stuck_layer_0_spin(const int8_t *in) {"
        " while (*(const volatile int8_t *)in) { } }",
    )
    c_dir = write_program(tmp_path, "stuck", body)
    with load("cortex-m3", "zig", which, c_dir, entry("stuck"), time_limit_s=0.5) as machine:
        with pytest.raises(EmulationFault, match=r"did not return within 0\.5 s") as late:
            machine.run(ONE)
        if which == "unicorn":
            assert "trine_stuck_layer_0_spin" in str(late.value)
        with pytest.raises(EmulationFault, match=r"did not return within 0\.5 s"):
            machine.profile(ONE)
        assert machine.run([np.zeros((1, 1), np.int8)])[0].item() == 0, "usable afterwards"


@pytest.mark.parametrize(
    ("statements", "emulators", "message"),
    [
        ("out[0] = *(const volatile int8_t *)0;", ("unicorn",), "read of unmapped address 0x0"),
        ("*(volatile int8_t *)(uintptr_t)&table = in[0];", ("unicorn",), "write to read-only address"),
        ("out[0] = *(const volatile int8_t *)(in + 4096);", ("unicorn",), "read of unmapped address"),
        ("out[0] = *(const volatile int8_t *)0x90000000;", EMULATORS, "trine_bad_run"),
        ('__asm volatile("udf #1");', EMULATORS, "trine_bad_run"),
        ("return 9;", EMULATORS, "returned 9 instead of 0"),
        ("out[0] = (int8_t)dig(in[0]);", ("unicorn",), "stack overflow"),
    ],
)
def test_a_fault_names_its_place(
    statements: str, emulators: tuple[EmulatorName, ...], message: str, tmp_path: Path
) -> None:
    before = (
        "static const int8_t table = 3;\nint dig(int n);\n"
        "int dig(int n) { volatile int8_t page[512]; page[n & 15] = 1; return n ? dig(n) + page[0] : 0; }"
    )
    body = one("bad", f"(void)&table; (void)out; (void)in; {statements} return 0;", before)
    c_dir = write_program(tmp_path, "bad", body)
    for which in emulators:
        with load("cortex-m4f", "zig", which, c_dir, entry("bad"), ("-fno-sanitize=all",)) as machine:
            with pytest.raises(EmulationFault, match=message) as fault:
                machine.run(ONE)
            assert "trine_bad_run on cortex-m4f" in str(fault.value)


def test_a_killed_emulator_is_reported(tmp_path: Path) -> None:
    with load("rv32imc", "zig", "unicorn", Net().write(tmp_path), Net().entry) as machine:
        assert isinstance(machine, UnicornMachine)
        os.kill(machine.process_id, signal.SIGKILL)
        with pytest.raises(EmulationFault, match=r"ended without an answer|has ended"):
            machine.run(Net().inputs(1))
        with pytest.raises(EmulationFault, match="load the program again"):
            machine.run(Net().inputs(1))


def test_a_program_too_big_for_the_board_is_refused(tmp_path: Path) -> None:
    body = one("big", "arena[in[0] & 3] = in[0]; out[0] = arena[1]; return 0;", "static int8_t arena[20000];")
    c_dir = write_program(tmp_path, "big", body)
    with load("cortex-m0", "zig", "unicorn", c_dir, entry("big")) as machine:
        assert machine.sizes.arena_bytes == 20000
    need("cortex-m0", "zig", "qemu")
    with pytest.raises(BuildError, match="does not fit the memory"):
        emulator_for("cortex-m0", "zig", "qemu").load(c_dir, entry("big"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (one("bad", "out[0] = in[0]; return 0"), "expected ';'"),
        (
            one("bad", "int w = 1; { int w = w; out[0] = (int8_t)(w + in[0]); } return w;"),
            "shadow",
        ),
        (
            "int far(int);\nint trine_bad_run(const int8_t *in, int8_t *out) { return far(in[0] + out[0]); }",
            "far",
        ),
    ],
)
def test_c_that_does_not_build_says_where(body: str, message: str, tmp_path: Path) -> None:
    need("cortex-m3")
    c_dir = write_program(tmp_path, "bad", body)
    with pytest.raises(BuildError, match=message):
        emulator_for("cortex-m3").load(c_dir, entry("bad"))


def test_wrong_arrays_are_refused(tmp_path: Path) -> None:
    net = Net()
    with HostMachine(net.write(tmp_path), net.entry) as host:
        good = net.inputs(4)
        for bad, message in (
            (good[:1], "takes 2 inputs, got 1"),
            ([good[0], good[1][:3]], "disagree on the number of examples"),
            ([good[0][:, :-1], good[1]], r"input 0 must be int8 \[n, 64\]"),
            ([good[0].view(np.uint8), good[1]], "got uint8"),
        ):
            with pytest.raises(InputError, match=message):
                host.run(bad)  # type: ignore[arg-type]
        assert [len(array) for array in host.run([array[:0] for array in good])] == [0, 0]
    with pytest.raises(InputError, match="trine_NAME_run"):
        Entry("net_run", (1,), (1,))
    with pytest.raises(InputError, match=r"has no other\.c"):
        HostMachine(tmp_path, entry("other"))


def test_pairs_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="unicorn does not run cortex-m55; use qemu"):
        emulator_for("cortex-m55", "zig", "unicorn")
    with pytest.raises(InputError, match="gcc does not build for rv32imc; use zig"):
        emulator_for("rv32imc", "gcc")
    with pytest.raises(InputError, match="qemu does not run rv32imc"):
        emulator_for("rv32imc", "zig", "qemu")
    with pytest.raises(InputError, match=r"no compiler called 'zog'; did you mean zig\?"):
        emulator_for("rv32imc", "zog")  # type: ignore[arg-type]
    assert emulator_for("cortex-m55").emulator == "qemu"
    assert emulator_for("cortex-m0plus").emulator == "unicorn"


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    c_dir = Net().write(tmp_path)
    for module in ("toolchain", "unicorn_machine", "emulator"):
        monkeypatch.setattr(f"trine.edge.emulate.{module}.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"ziglang: pip install 'trine\[verify\]'"):
        emulator_for("cortex-m3").load(c_dir, Net().entry)
    with pytest.raises(MissingExtra, match=r"cortex-m3 needs the package unicorn: pip install"):
        UnicornMachine(c_dir / "image.elf", CORES["cortex-m3"], Net().entry)
    assert missing("cortex-m3") == ["pyelftools", "capstone", "ziglang", "unicorn"]


def test_missing_readers_of_images_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("cortex-m3")
    c_dir = Net().write(tmp_path / "c")
    for module, package in (("capstone", "capstone"), ("elftools.elf.elffile", "pyelftools")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtra, match=rf"{package}: pip install 'trine\[verify\]'"):
                emulator_for("cortex-m3").load(c_dir, Net().entry)


def test_missing_programs_are_named_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    c_dir = Net().write(tmp_path / "c")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(InputError, match="apt-get install gcc-arm-none-eabi"):
        emulator_for("cortex-m3", "gcc").load(c_dir, Net().entry)
    with pytest.raises(InputError, match="apt-get install qemu-system-arm"):
        QemuMachine(c_dir / "image.elf", CORES["cortex-m3"], Net().entry)
    assert missing("cortex-m3", "gcc", "qemu")[-2:] == ["gcc-arm-none-eabi", "qemu-system-arm"]
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(InputError, match="CC names 'no-such-compiler'"):
        HostMachine(c_dir, Net().entry)


def test_host_falls_back_to_zig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("cortex-m3")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    assert HostCompiler().name == "zig"
    with HostMachine(Net().write(tmp_path), Net().entry) as host:
        inputs = Net().inputs(10)
        for found, wanted in zip(host.run(inputs), Net().expected(inputs), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_provenance_names_the_versions() -> None:
    need("cortex-m4f", "zig", "unicorn")
    text = emulator_for("cortex-m4f", optimise="-O3").provenance
    assert text.startswith("zig -O3 (ziglang ")
    assert "clang version" in text
    assert ", unicorn 2" in text


def test_a_count_beyond_the_timer_is_refused_not_wrapped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with load("cortex-m3", "zig", "qemu", Net().write(tmp_path), Net().entry) as machine:
        assert isinstance(machine, QemuMachine)
        boot = machine.boot
        whole = machine.profile(Net().inputs(1)).instructions

        def wrapped(count: int, arrays: list[Int8], shift: int | None) -> tuple[list[Int8], tuple[int, ...]]:
            outputs, record = boot(count, arrays, shift)
            return outputs, (record[0] % 2**12, *record[1:])

        assert whole * 6.4 > 2**12
        monkeypatch.setattr(machine, "boot", wrapped)
        with pytest.raises(EmulationFault, match="too long for the timer of mps2-an385"):
            machine.profile(Net().inputs(1))
