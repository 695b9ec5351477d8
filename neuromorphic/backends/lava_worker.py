"""Runs one network in lava-nc 0.10.0 and writes what it saw.

    python -I lava_worker.py JOB.npz RESULT.npz [JOB RESULT...]

Imports NumPy and lava only, never Trine: it runs in lava's own environment, on Python 3.10 to 3.13.

JOB.npz: "header" (JSON: format, steps, timed, populations, projections, probes) and the arrays it names.
  populations: [{name, neuron: Input|LIF|SigmaDelta|RF|Wire, shape, parameters, phases}], parameters as lava's, phases
  as `add_phases` reads them.
  projections: [{name, source, target, kind: dense|conv, graded; dense: exponent, delay; conv: stride, padding,
  dilation, groups}]; arrays "weight:NAME" (dense (out, in); conv (C_out, kW, kH, C_in/groups), already flipped),
  "input:NAME" (steps, *shape).
RESULT.npz: "header" (JSON: format, python, numpy, lava, seconds, error) and "POPULATION:VARIABLE" (steps, *shape).
"""

import functools
import importlib
import json
import logging
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

FORMAT = 1


def _same(value: Any) -> Any:
    """The value itself."""
    return value


def cure_dataclasses() -> Callable[[], None]:
    """Let lava's dataclasses import on Python 3.11 and later.

    Fields of lava.magma.compiler.var_model default to instances of unhashable dataclasses, which Python 3.11 refuses.
    Returns the function that undoes it.
    """
    import dataclasses

    original = dataclasses.dataclass

    def cured(cls: Any = None, /, **options: Any) -> Any:
        def wrap(c: Any) -> Any:
            for name in vars(c).get("__annotations__", {}):
                default = c.__dict__.get(name, dataclasses.MISSING)
                plain = isinstance(default, (dataclasses.Field, list, dict, set))
                if default is not dataclasses.MISSING and not plain and type(default).__hash__ is None:
                    setattr(c, name, dataclasses.field(default_factory=functools.partial(_same, default)))
            return original(c, **options)

        return wrap if cls is None else wrap(cls)

    dataclasses.dataclass = cured

    def undo() -> None:
        dataclasses.dataclass = original

    return undo


def import_lava() -> dict[str, Any]:
    """lava's classes, cured where this Python or NumPy needs it."""
    undo = cure_dataclasses()
    try:
        found = {
            name: getattr(importlib.import_module("lava." + module), kind)
            for name, module, kind in (
                ("LavaPyType", "magma.core.model.py.type", "LavaPyType"),
                ("RunSteps", "magma.core.run_conditions", "RunSteps"),
                ("Loihi2SimCfg", "magma.core.run_configs", "Loihi2SimCfg"),
                ("AbstractPyConvModel", "proc.conv.models", "AbstractPyConvModel"),
                ("Conv", "proc.conv.process", "Conv"),
                ("Dense", "proc.dense.process", "Dense"),
                ("DelayDense", "proc.dense.process", "DelayDense"),
                ("Sink", "proc.io.sink", "RingBuffer"),
                ("Source", "proc.io.source", "RingBuffer"),
                ("LIF", "proc.lif.process", "LIF"),
                ("LIFReset", "proc.lif.process", "LIFReset"),
                ("LIFModel", "proc.lif.models", "PyLifModelBitAcc"),
                ("LIFResetModel", "proc.lif.models", "PyLifResetModelBitAcc"),
                ("Monitor", "proc.monitor.process", "Monitor"),
                ("RF", "proc.rf.process", "RF"),
                ("ActivationMode", "proc.sdn.process", "ActivationMode"),
                ("SigmaDelta", "proc.sdn.process", "SigmaDelta"),
            )
        }
        # Models are found by the compiler in the module beside the process.
        for module in ("dense", "lif", "rf", "sdn"):
            importlib.import_module("lava.proc." + module + ".models")
    finally:
        undo()
    convolution, kind = found["AbstractPyConvModel"], found["LavaPyType"]
    # Kernel, stride, padding... are kept as int8 and overflow with NumPy 2 for spatial sizes above 127; exact as int64.
    for name in ("kernel_size", "stride", "padding", "dilation", "groups"):
        setattr(convolution, name, kind(getattr(convolution, name).cls, np.int64, precision=32))
    add_phases(found["LIFModel"])
    add_phases(found["LIFResetModel"])
    return found


def add_phases(model: Any) -> None:
    """Give lava's bit-accurate LIF what NxTF's two compartments do: reset by subtraction, and phases.

    A process made with `reset`, `takes` or `fires` (first step and the one after the last, from 0; -1: no end) has
    them; all others run lava's own methods. Synapses, currents, decays, bias and threshold stay lava's.
    """
    integrate, activate, clear = model.subthr_dynamics, model.spiking_activation, model.reset_voltage

    def within(self: Any, phase: str) -> bool:
        first, end = self.proc_params.get(phase, (0, -1))
        now = self.time_step - 1
        return bool(now >= first and (end < 0 or now < end))

    def subthr_dynamics(self: Any, activation_in: Any) -> None:
        if within(self, "takes"):
            integrate(self, activation_in)

    def spiking_activation(self: Any) -> Any:
        spikes = activate(self)
        return spikes if within(self, "fires") else np.zeros_like(spikes)

    def reset_voltage(self: Any, spike_vector: Any) -> None:
        reset = self.proc_params.get("reset", "zero")
        if reset == "zero":
            clear(self, spike_vector)
        elif reset == "subtraction":
            self.v[spike_vector] -= np.broadcast_to(self.effective_vth, self.v.shape)[spike_vector]

    model.subthr_dynamics = subthr_dynamics
    model.spiking_activation = spiking_activation
    model.reset_voltage = reset_voltage


def build_population(lava: Any, p: Any, data: Any) -> tuple[Any, Any, Any]:
    """One process and its output port."""
    shape, q = tuple(p["shape"]), p["parameters"]
    q = {k: (data[v] if isinstance(v, str) else v) for k, v in q.items()}
    if p["neuron"] == "Input":
        source = np.moveaxis(data["input:" + p["name"]], 0, -1).astype(np.int32)
        process = lava["Source"](data=source)
        return process, None, process.s_out
    if p["neuron"] == "LIF":
        kind = lava["LIFReset"] if q.get("reset_interval") else lava["LIF"]
        threshold = q.pop("vth")
        process = kind(shape=shape, vth=np.max(threshold), **q)
        for name, value in p.get("phases", {}).items():
            process.proc_params[name] = value
        if np.ndim(threshold):
            process.vth.shape, process.vth.init = shape, threshold
    elif p["neuron"] == "SigmaDelta":
        q["act_mode"] = lava["ActivationMode"].RELU if q.pop("relu") else lava["ActivationMode"].UNIT
        process = lava["SigmaDelta"](shape=shape, **q)
    elif p["neuron"] == "RF":
        turn = {"cos": q.pop("cos"), "sin": q.pop("sin")}
        process = lava["RF"](shape=shape, period=4.0, alpha=0.0, **q)
        process.cos_decay.init, process.sin_decay.init = turn["cos"], turn["sin"]
        return process, process.a_real_in, process.s_out
    else:
        raise ValueError(f"population {p['name']}: neuron {p['neuron']}")
    return process, process.a_in, process.s_out


def build_projection(lava: Any, c: Any, data: Any, shape_in: Any) -> tuple[Any, Any, Any]:
    """One connection process with its ports."""
    weight = data["weight:" + c["name"]]
    bits = 24 if c["graded"] else 0
    if c["kind"] == "conv":
        options = {"weight": weight, "input_shape": tuple(shape_in), "num_message_bits": bits}
        options.update({k: tuple(c[k]) for k in ("stride", "padding", "dilation")}, groups=c["groups"])
        process = lava["Conv"](**options)
        return process, process.s_in, process.a_out
    options = {"weights": weight, "weight_exp": c["exponent"], "num_message_bits": bits}
    if c["delay"]:
        delays = np.full(weight.shape, c["delay"], dtype=int)
        process = lava["DelayDense"](delays=delays, max_delay=c["delay"], **options)
    else:
        process = lava["Dense"](**options)
    return process, process.s_in, process.a_out


def simulate(header: Any, data: Any) -> tuple[dict[str, Any], float]:
    """Build, run, read: arrays by "POPULATION:VARIABLE", seconds. stop() hangs after an exception: left out then."""
    lava = import_lava()
    steps = header["steps"]
    wires = [p["name"] for p in header["populations"] if p["neuron"] == "Wire"]
    built = {
        p["name"]: build_population(lava, p, data) for p in header["populations"] if p["name"] not in wires
    }
    shapes = {p["name"]: tuple(p["shape"]) for p in header["populations"]}
    connections = []
    for c in header["projections"]:
        process, s_in, a_out = build_projection(lava, c, data, shapes[c["source"]])
        out = built[c["source"]][2]
        (out if out.shape == s_in.shape else out.reshape(s_in.shape)).connect(s_in)
        if c["target"] in wires:
            # A pure delay: what follows takes this connection's output for its source's.
            built[c["target"]] = (process, None, a_out.reshape(shapes[c["target"]]))
        else:
            into = built[c["target"]][1]
            (a_out if a_out.shape == into.shape else a_out.reshape(into.shape)).connect(into)
        connections.append(process)
    sinks: dict[str, Any] = {}
    monitors: dict[tuple[str, str], Any] = {}
    for name, variable in header["probes"]:
        process = built[name][0]
        if variable == "spikes":
            sinks[name] = lava["Sink"](shape=shapes[name], buffer=steps)
            built[name][2].connect(sinks[name].a_in)
        else:
            monitors[name, variable] = lava["Monitor"]()
            monitors[name, variable].probe(getattr(process, variable), steps)
    first = connections[0] if connections else next(iter(built.values()))[0]
    config = lava["Loihi2SimCfg"](select_tag="fixed_pt", loglevel=logging.CRITICAL)
    # The first run builds everything; timed is a second one where the job asks for it.
    first.run(condition=lava["RunSteps"](num_steps=steps), run_cfg=config)
    seconds = 0.0
    if not header.get("timed"):
        seen = {name + ":spikes": np.moveaxis(s.data.get(), -1, 0) for name, s in sinks.items()}
        for (name, variable), monitor in monitors.items():
            got = monitor.get_data()
            array = next(iter(next(iter(got.values())).values()))
            seen[name + ":" + variable] = np.asarray(array).reshape(steps, *shapes[name])
    else:
        seen, start = {}, processor_seconds()
        first.run(condition=lava["RunSteps"](num_steps=steps), run_cfg=config)
        seconds = processor_seconds() - start
    first.stop()
    return seen, seconds


def processor_seconds() -> float:
    """Processor time of this process and its children so far; wall time where /proc does not tell."""
    total, tick = time.process_time(), os.sysconf("SC_CLK_TCK")
    for child in multiprocessing.active_children():
        try:
            with open(f"/proc/{child.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return time.perf_counter()
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def versions() -> dict[str, str]:
    """Python, NumPy and lava that answer."""
    from importlib import metadata

    return {"python": platform.python_version(), "numpy": np.__version__, "lava": metadata.version("lava-nc")}


def main(job: str, result: str) -> None:
    """Read the job, write the result, whatever happens in between."""
    header: Any = {}
    seen: dict[str, Any] = {}
    error, seconds = None, 0.0
    try:
        with np.load(job, allow_pickle=False) as archive:
            data = {k: archive[k] for k in archive.files}
        header = json.loads(bytes(data["header"]).decode())
        if header["format"] != FORMAT:
            raise ValueError(f"job of format {header['format']}, this worker speaks {FORMAT}")
        seen, seconds = simulate(header, data)
    except BaseException as failed:
        error = f"{type(failed).__name__}: {failed}"
        traceback.print_exc()
    answer = {"format": FORMAT, "seconds": seconds, "error": error, **versions()}
    seen["header"] = np.frombuffer(json.dumps(answer).encode(), np.uint8)
    with open(result, "wb") as file:
        np.savez(file, **seen)
        file.flush()
    sys.stdout.flush()
    sys.stderr.flush()


def end_with_parent() -> None:
    """End the whole process group when standard input closes: the parent is gone."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    names = sys.argv[1:]
    for job_, result_ in zip(names[::2], names[1::2]):
        main(job_, result_)
    # Children of a failed run would keep the interpreter waiting.
    os._exit(0)
