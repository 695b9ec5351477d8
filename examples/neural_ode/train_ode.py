"""Train a neural ODE on oral theophylline curves and write it as ONNX with two integrators.

python train_ode.py              trains (about a minute on one core); writes rk4.onnx and adaptive.onnx beside this file
python train_ode.py --data-only  only writes calib.npz and test.npz

The curves are those of a one-compartment model with first-order absorption and elimination, which fitted it in
Br. J. Clin. Pharmacol. 14:769 (1982, doi 10.1111/j.1365-2125.1982.tb02035.x; oral doses of 1.62 to 10.42 mg/kg):

  da/dt = -ka a      dc/dt = ka a - (CL/V) c      a(0) = dose/V, c(0) = 0

with each patient's ka, V and CL drawn evenly (ka, CL by their logarithm) from the ranges that "Bioavailability and
Pharmacokinetics in Man of Orally Administered Theophylline" reports: ka 0.57 to 2.17 /h, V 0.394 to 0.616 l/kg, CL 16.5
to 115 ml/h/kg. They are simulations of a cited model, not measured patients, and the networks are not medical devices.

The network knows x = (a, c)/SCALE and the patient u = (ln ka, ln CL/V, both from -1 to 1): dx/dt = f(x, u), a dense
layer, tanh, a dense layer. Input `patient` [batch, 3] = (a(0)/SCALE, u). A Loop of the file holds the integrator:
  rk4.onnx       24 steps of half an hour (classical Runge-Kutta); output `curve` [24, batch, 1], c/SCALE
  adaptive.onnx  at most TRIES steps of Bogacki-Shampine 3(2) (Appl. Math. Lett. 2:321, 1989), step size from the
                 embedded error; a step is taken, tried again smaller, or frozen at the end, by Where. No step is
                 longer than LONGEST: near the method's limit of stability, 2.5 / ka = 1.15 h, the step size would swing
                 for ever and the last bit of a sum decide it, so that no two computers agreed (4e-3 of the greatest
                 level apart; now 1e-6).
                 Outputs `level` [batch, 1] = c(12 h)/SCALE and `time` [batch, 1], hours that were reached
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
Floats = NDArray[np.float64]

KA = (0.57, 2.17)  # 1/h
VOLUME = (0.394, 0.616)  # l/kg
CLEARANCE = (0.0165, 0.115)  # l/h/kg
DOSE = (1.62, 10.42)  # mg/kg
SCALE = 20.0  # mg/l
HOURS, STEPS = 12.0, 24
TRIES, TOLERANCE = 20, 5e-3  # error of a step allowed, in units of SCALE
FIRST, LONGEST = 0.5, 1.0  # steps in hours
HIDDEN = 32
SLOPES = 6000  # batches of the first part of the training


def patients(count: int, seed: int) -> dict[str, Floats]:
    """`ka` 1/h, `ke` 1/h and `start` = dose/V in mg/l of simulated patients."""
    rng = np.random.default_rng(seed)
    ka, clearance = (np.exp(rng.uniform(*np.log(ends), count)) for ends in (KA, CLEARANCE))
    volume, dose = rng.uniform(*VOLUME, count), rng.uniform(*DOSE, count)
    return {"ka": ka, "ke": clearance / volume, "start": dose / volume}


def inputs(people: dict[str, Floats]) -> NDArray[np.float32]:
    """`patient` [n, 3]."""
    ends = {"ka": np.log(KA), "ke": np.log((CLEARANCE[0] / VOLUME[1], CLEARANCE[1] / VOLUME[0]))}
    known = [2 * (np.log(people[k]) - low) / (high - low) - 1 for k, (low, high) in ends.items()]
    return np.stack([people["start"] / SCALE, *known], 1).astype(np.float32)


def bateman(people: dict[str, Floats], hours: Floats) -> tuple[Floats, Floats]:
    """(a, c) in mg/l, each [n, times]: the closed solution (Bateman's function)."""
    ka, ke, start = (people[k][:, None] for k in ("ka", "ke", "start"))
    gut = start * np.exp(-ka * hours)
    return gut, start * ka / (ka - ke) * (np.exp(-ke * hours) - np.exp(-ka * hours))


def examples(count: int, seed: int) -> dict[str, Any]:
    """An .npz of examples, and the exact curve [n, STEPS] in units of SCALE."""
    people = patients(count, seed)
    hours = np.linspace(0, HOURS, STEPS + 1)[1:]
    return {"patient": inputs(people), "exact": (bateman(people, hours)[1] / SCALE).astype(np.float32)}


def train(count: int, epochs: int, seed: int) -> list[NDArray[np.float32]]:
    """W1 [4, HIDDEN], b1, W2 [HIDDEN, 2], b2: fitted to the slopes along the curves, then to both through RK4."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    people = patients(count, seed)
    hours = np.linspace(0, HOURS, STEPS + 1)[1:]
    wanted = torch.tensor(np.stack(bateman(people, hours), 2) / SCALE, dtype=torch.float32)
    given = torch.from_numpy(inputs(people))
    share = 1 / given[:, :1]  # small doses count as much as great ones
    weights = [
        torch.randn(4, HIDDEN) * 0.5, torch.zeros(HIDDEN), torch.randn(HIDDEN, 2) * 0.1, torch.zeros(2),
    ]  # fmt: skip
    for weight in weights:
        weight.requires_grad_()

    def slope(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(torch.cat([x, u], 1) @ weights[0] + weights[1])
        return hidden @ weights[2] + weights[3]

    ka, ke = (torch.tensor(people[name], dtype=torch.float32)[:, None] for name in ("ka", "ke"))
    optimiser = torch.optim.Adam(weights, 1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=SLOPES)
    for _ in range(SLOPES):
        rows, at = torch.randint(count, (1024,)), torch.randint(-2, STEPS, (1024,)).clamp(-1)
        first = torch.nn.functional.pad(given[rows, :1], (0, 1))
        x = torch.where(at[:, None] < 0, first, wanted[rows, at]) + 0.02 * first[:, :1] * torch.randn(1024, 2)
        absorbed = ka[rows, 0] * x[:, 0]
        true = torch.stack([-absorbed, absorbed - ke[rows, 0] * x[:, 1]], 1)
        loss = (((slope(x, given[rows, 1:]) - true) * share[rows]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    size, h = 128, HOURS / STEPS
    optimiser = torch.optim.Adam(weights, 3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * -(-count // size))
    for _ in range(epochs):
        for rows in torch.randperm(count).split(size):
            u, x, found = given[rows, 1:], torch.nn.functional.pad(given[rows, :1], (0, 1)), []
            for _ in range(STEPS):
                k1 = slope(x, u)
                k2 = slope(x + h / 2 * k1, u)
                k3 = slope(x + h / 2 * k2, u)
                x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + h * k3, u))
                found.append(x)
            loss = (((torch.stack(found, 1) - wanted[rows]) * share[rows, None]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            rate.step()
    return [weight.detach().numpy() for weight in weights]


class Writer:
    """Nodes of one graph; every method returns the name of what it computes."""

    def __init__(self, mark: str) -> None:
        self.mark = mark  # starts every name: a loop's body sees the names of the graph around it
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """An initialiser, of one value or an array."""
        name = f"{self.mark}.c{len(self.constants)}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def op(self, kind: str, *names: str, to: str | None = None, **attributes: Any) -> str:
        """A node of one output."""
        from onnx import helper

        output = to or f"{self.mark}.{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(names), [output], f"{output}.node", **attributes))
        return output

    def times(self, name: str, factor: float) -> str:
        """A value times a number."""
        return self.op("Mul", name, self.constant(factor))

    def total(self, *names: str) -> str:
        """The sum of values."""
        found = names[0]
        for name in names[1:]:
            found = self.op("Add", found, name)
        return found

    def graph(self, name: str, given: list[Any], made: list[Any]) -> Any:
        """The GraphProto."""
        from onnx import helper, numpy_helper

        held = [numpy_helper.from_array(value, key) for key, value in self.constants.items()]
        return helper.make_graph(self.nodes, name, given, made, held)


def floats(name: str, *shape: int | str) -> Any:
    """What a graph says of a float32 value."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def slope_writer(body: Writer, weights: list[NDArray[np.float32]]) -> Callable[[str], str]:
    """dx/dt of a state's name, inside the loop; `u` comes from outside it."""
    w1, b1, w2, b2 = (body.constant(weight) for weight in weights)

    def slope(x: str) -> str:
        hidden = body.op("Gemm", body.op("Concat", x, "u", axis=1), w1, b1)
        return body.op("Gemm", body.op("Tanh", hidden), w2, b2)

    return slope


def rk4(weights: list[NDArray[np.float32]]) -> Any:
    """One step: (x) -> (x', c')."""
    body, h = Writer("step"), HOURS / STEPS
    slope = slope_writer(body, weights)
    k1 = slope("x")
    k2 = slope(body.total("x", body.times(k1, h / 2)))
    k3 = slope(body.total("x", body.times(k2, h / 2)))
    k4 = slope(body.total("x", body.times(k3, h)))
    middle = body.times(body.op("Add", k2, k3), 2.0)
    step = body.times(body.total(k1, middle, k4), h / 6)
    body.op("Add", "x", step, to="x_next")
    take = [body.constant([value], np.int64) for value in (1, 2, 1)]
    body.op("Slice", "x_next", *take, to="c_next")
    return looped(body, STEPS, {"x": 2}, {"curve": "c_next"})


def adaptive(weights: list[NDArray[np.float32]]) -> Any:
    """One try: (x, t, h) -> the same, taken or frozen, and the next step size."""
    body = Writer("try")
    slope, op, times, total = slope_writer(body, weights), body.op, body.times, body.total
    left = op("Sub", body.constant(HOURS), "t")
    h = op("Min", "h", left)  # 0 at the end: the state is frozen
    k1 = slope("x")
    k2 = slope(total("x", op("Mul", times(k1, 0.5), h)))
    k3 = slope(total("x", op("Mul", times(k2, 0.75), h)))
    rise = total(times(k1, 2 / 9), times(k2, 1 / 3), times(k3, 4 / 9))
    reached = total("x", op("Mul", rise, h))
    k4 = slope(reached)
    parts = (times(k, w) for k, w in ((k1, -5 / 72), (k2, 1 / 12), (k3, 1 / 9), (k4, -1 / 8)))
    error = op("ReduceMax", op("Abs", op("Mul", total(*parts), h)), body.constant([1], np.int64), keepdims=1)
    taken = op("LessOrEqual", error, body.constant(TOLERANCE))
    op("Where", taken, reached, "x", to="x_next")
    op("Where", taken, op("Add", "t", h), "t", to="t_next")
    relative = op("Max", times(error, 1 / TOLERANCE), body.constant(1e-3))
    factor = times(op("Pow", relative, body.constant(-1 / 3)), 0.9)
    factor = op("Min", op("Max", factor, body.constant(0.2)), body.constant(2.0))
    # The last step was cut to what was left: there the size stays as it is.
    longer = op("Min", op("Mul", h, factor), body.constant(LONGEST))
    op("Where", op("Greater", left, body.constant(1e-4)), longer, "h", to="h_next")
    return looped(body, TRIES, {"x": 2, "t": 1, "h": 1}, {})


def looped(body: Writer, trips: int, states: dict[str, int], slices: dict[str, str]) -> Any:
    """The model: states from the patient, the body `trips` times, outputs."""
    from onnx import TensorProto, checker, helper, shape_inference

    body.op("Identity", "go", to="go_on")
    trip = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    go, go_on = (helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "go_on"))
    step = body.graph(
        "step",
        [trip, go, *(floats(name, "batch", wide) for name, wide in states.items())],
        [go_on, *(floats(f"{name}_next", "batch", wide) for name, wide in states.items()),
         *(floats(name, "batch", 1) for name in slices.values())],
    )  # fmt: skip
    net = Writer("net")

    def cut(value: str, first: int, last: int, to: str | None = None) -> str:
        return net.op("Slice", value, *(net.constant([v], np.int64) for v in (first, last, 1)), to=to)

    start = cut("patient", 0, 1)
    cut("patient", 1, 3, to="u")
    zero = net.times(start, 0.0)
    begin = {"x": net.op("Concat", start, zero, axis=1), "t": zero}
    if "h" in states:
        begin["h"] = net.op("Add", zero, net.constant(FIRST))
    counted, true = net.constant(trips, np.int64), net.constant(True, np.bool_)
    ends = [f"{name}_end" for name in states]
    net.nodes.append(
        helper.make_node(
            "Loop", [counted, true, *(begin[n] for n in states)], [*ends, *slices], "integrate", body=step
        )
    )
    made = [floats(name, trips, "batch", 1) for name in slices]
    if "t" in states:
        cut("x_end", 1, 2, to="level")
        net.op("Identity", "t_end", to="time")
        made = [floats("level", "batch", 1), floats("time", "batch", 1)]
    graph = net.graph("neural_ode", [floats("patient", "batch", 3)], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.doc_string = "Neural ODE of oral theophylline (simulated); see train_ode.py"
    checker.check_model(shape_inference.infer_shapes(model), full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-only", action="store_true", help="write calib.npz and test.npz, train nothing"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder to write to")
    given = parser.parse_args()
    np.savez_compressed(given.output / "calib.npz", **examples(512, given.seed + 1))
    np.savez_compressed(given.output / "test.npz", **examples(512, given.seed + 2))
    if given.data_only:
        return
    weights = train(2048, given.epochs, given.seed)
    for name, model in (("rk4", rk4(weights)), ("adaptive", adaptive(weights))):
        (given.output / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        print(given.output / f"{name}.onnx")


if __name__ == "__main__":
    main()
