"""How ONNX spells LSTM, GRU and RNN: reading a node into the normal form of `recurrent`, and writing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, SourceNode, Spelled, Unsupported, floats
from trine.compilers.recurrent import (
    ACTIVATIONS,
    INITIAL_C,
    INITIAL_H,
    LENGTHS,
    B,
    Function,
    P,
    R,
    W,
    X,
)

DIRECTIONS = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}


def read_recurrent(
    source: SourceNode, gates: int, defaults: Sequence[str], states: int, **attributes: int
) -> Node:
    """The node in normal form; defaults: its activations; attributes: those that only this operator has."""
    directions = DIRECTIONS.get(str(source.attributes.get("direction", "forward")))
    if directions is None:
        raise Unsupported(f"direction {source.attributes['direction']}: it is {', '.join(DIRECTIONS)}")
    layout, batch = source.integer("layout", 0), source.batch_of()
    if layout not in (0, 1):
        raise Unsupported(f"layout {layout}: it is 0 or 1")
    place = 1 - layout
    if batch not in (place, None):
        raise Unsupported(
            f"layout {layout} has the batch on axis {place} of {source.inputs[X]}, and it lies on axis {batch}: "
            "give the model's input with the batch first, and transpose it before this node"
        )
    kinds = {
        source.types.get(name, "float32") for i, name in enumerate(source.inputs) if name and i != LENGTHS
    }
    if kinds != {"float32"}:
        raise Unsupported(f"computes in {', '.join(sorted(kinds - {'float32'}))}; float32 is supported")
    for index in (W, R, B, P):
        if batch is not None and source.has(index) and not source.is_constant(index):
            raise Unsupported(
                f"input {index} ({source.inputs[index]}) is computed at run time; it must be a constant"
            )
    for index, rank in ((X, 3 if batch is None else 2), (W, 3), (R, 3)):
        if len(source.shape(index)) != rank:
            raise Unsupported(
                f"input {index} ({source.inputs[index]}) is {source.shape(index)}; it has 3 axes"
            )
    hidden = source.integer("hidden_size", source.shape(R)[-1])
    _refuse_shapes(source, gates, hidden, len(directions))
    functions = read_activations(source.attributes, list(defaults), len(directions))
    names = list(source.inputs[X : B + 1]) + [""] * (B + 1 - len(source.inputs))
    state = (len(directions), hidden)
    names += [_lengths(source), _initial(source, INITIAL_H, layout, state)]
    if states == 2:
        names += [_initial(source, INITIAL_C, layout, state), _optional(source, P)]
    count = states + 1
    outputs = [*source.outputs, *[""] * count][:count]
    return Node(
        source.op, source.name, tuple(names), tuple(outputs),
        {
            "directions": directions, "hidden": hidden, "activations": functions,
            "clip": float(source.attributes.get("clip", 0.0)), "batch_axis": -1 if batch is not None else place,
            **attributes,
        },
    )  # fmt: skip


def _refuse_shapes(source: SourceNode, gates: int, hidden: int, directions: int) -> None:
    """Weights must fit each other."""
    inputs = source.shape(X)[-1]
    wanted = {
        W: (directions, gates * hidden, inputs), R: (directions, gates * hidden, hidden),
        B: (directions, 2 * gates * hidden), P: (directions, 3 * hidden),
    }  # fmt: skip
    for index, shape in wanted.items():
        if source.has(index) and source.shape(index) != shape:
            sizes = f"{directions} directions, hidden_size {hidden} and {inputs} inputs"
            raise Unsupported(f"input {index} is {source.shape(index)}; {shape} fits {sizes}")


def _optional(source: SourceNode, index: int) -> str:
    return source.inputs[index] if source.has(index) else ""


def _lengths(source: SourceNode) -> str:
    """sequence_lens in normal form: absent where it is the whole length."""
    batch = source.shape(X)[1 - source.integer("layout", 0)] if source.batch_of() is None else 1
    if source.has(LENGTHS) and source.batch_of() is None and source.shape(LENGTHS) != (batch,):
        raise Unsupported(f"sequence_lens is {source.shape(LENGTHS)}; ({batch},) fits the input")
    if not source.has(LENGTHS) or (source.batch_of() is None and not source.is_constant(LENGTHS)):
        return _optional(source, LENGTHS)
    lengths = source.constant(LENGTHS, "sequence_lens").reshape(-1)
    time = source.shape(X)[source.integer("layout", 0) if source.batch_of() is None else 0]
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= time:
        raise Unsupported(f"sequence_lens from {lengths.min()} to {lengths.max()} of {time} steps")
    if lengths.size and (lengths == time).all():
        return ""
    if source.batch_of() is not None and lengths.shape != (1,):
        raise Unsupported(f"sequence_lens of {lengths.size} entries would differ between examples")
    return source.define("lengths", lengths.astype(np.int32))


def _initial(source: SourceNode, index: int, layout: int, shape: Shape) -> str:
    """An initial state in normal form: `shape`, [directions, hidden], of one example; absent where it is zero."""
    if not source.has(index):
        return ""
    name, given, constant = source.inputs[index], source.shape(index), source.is_constant(index)
    if constant and not source.constants[name].any():
        return ""
    batch = source.shape(X)[1 - layout] if source.batch_of() is None else 1
    whole = (shape[0], batch, shape[1]) if layout == 0 else (batch, *shape)
    wanted = shape if source.batch_of() is not None and not constant else whole
    if given != wanted:
        raise Unsupported(f"the initial state {name} is {given} an example; {wanted} fits the weights")
    if source.batch_of() is None:
        return name
    if constant:
        state = source.constants[name].squeeze(1 - layout)
        return source.define(f"initial_{index}", np.ascontiguousarray(floats(state)))
    if source.batch_of(name) != 1 - layout:
        raise Unsupported(
            f"the initial state {name} has the batch on axis {source.batch_of(name)}, not {1 - layout}"
        )
    return name


def read_activations(
    attributes: Mapping[str, Any], defaults: list[str], directions: int
) -> tuple[tuple[Function, ...], ...]:
    """(name, alpha, beta) of each function of each direction; alphas and betas go to the functions that have them."""
    given = [str(name) for name in attributes.get("activations", ())] or defaults * directions
    if len(given) == len(defaults) and directions == 2:
        given = given * 2
    if len(given) != len(defaults) * directions:
        raise Unsupported(f"{len(given)} activations for {directions} directions of {len(defaults)}")
    known = {name.lower(): name for name in ACTIVATIONS}
    values = [[float(v) for v in attributes.get(f"activation_{role}", ())] for role in ("alpha", "beta")]
    functions: list[Function] = []
    for name in given:
        if name.lower() not in known:
            raise Unsupported(f"activation {name}; known are {', '.join(ACTIVATIONS)}")
        proper = known[name.lower()]
        numbers = [0.0, 0.0]
        for i, default in enumerate(ACTIVATIONS[proper].defaults):
            if not values[i] and default is None:
                raise Unsupported(
                    f"activation {proper} states no {('alpha', 'beta')[i]}, which has no default"
                )
            numbers[i] = values[i].pop(0) if values[i] else float(default or 0.0)
        functions.append((proper, numbers[0], numbers[1]))
    size = len(defaults)
    return tuple(tuple(functions[d * size : (d + 1) * size]) for d in range(directions))


def batch_recurrent(source: SourceNode, states: int) -> list[int | None]:
    """The batch axis of y, y_h (, y_c) in the file."""
    if source.batch_of() is None:
        return [None] * (states + 1)
    first = bool(source.integer("layout", 0))
    return [0 if first else 2, *[0 if first else 1] * states]


def spell_recurrent(node: Node, states: int, **attributes: int) -> list[Spelled]:
    """Layout 0, which is all that onnxruntime runs, between transposes from and to the batch first."""
    made: list[Spelled] = []

    def add(op: str, inputs: Sequence[str], role: str, values: Array | None = None, **given: Any) -> str:
        """A node whose last input is a new constant, where one is given; returns what it writes."""
        name = f"{node.name}.{role}"
        constants = {} if values is None else {f"{name}.constant": values}
        made.append(Spelled(op, [*inputs, *constants], [name], given, constants))
        return name

    def of_batch(name: str, role: str, inner: tuple[int, ...]) -> str:
        """A constant, or the same for every example: with the batch first."""
        count = f"{node.name}.count"
        if all(count not in one.outputs for one in made):
            shape = add("Shape", [node.inputs[X]], "shape")
            made.append(Spelled("Slice", [shape, f"{count}.0", f"{count}.1"], [count], {},
                                {f"{count}.{i}": np.array([i], np.int64) for i in (0, 1)}))  # fmt: skip
        target = (
            add("Concat", [count], f"{role}.shape", np.array(inner, np.int64), axis=0) if inner else count
        )
        return add("Expand", [name, target], role)

    names = [*node.inputs, *[""] * (P + 1 - len(node.inputs))]
    outputs = [f"{name}.spelled" if name else "" for name in node.outputs[: states + 1]]
    directions, hidden = node.attributes["directions"], node.attributes["hidden"]
    names[X] = add("Transpose", [names[X]], "time_first", perm=(1, 0, 2))
    if names[LENGTHS]:
        names[LENGTHS] = of_batch(names[LENGTHS], "lengths", ())
    for index in (INITIAL_H, INITIAL_C)[:states]:
        if names[index]:
            whole = of_batch(names[index], f"initial_{index}.batch", (len(directions), hidden))
            names[index] = add("Transpose", [whole], f"initial_{index}.spelled", perm=(1, 0, 2))
    made.append(
        Spelled(node.op, _stripped(names), _stripped(outputs), attributes | _spelled_attributes(node))
    )
    for i, (inner, outer) in enumerate(zip(outputs, node.outputs, strict=False)):
        if outer:
            made.append(
                Spelled("Transpose", [inner], [outer], {"perm": (2, 0, 1, 3) if i == 0 else (1, 0, 2)})
            )
    return made


def _spelled_attributes(node: Node) -> dict[str, Any]:
    """hidden_size, direction, activations and clip as ONNX has them."""
    functions = [f for direction in node.attributes["activations"] for f in direction]
    numbers = {
        f"activation_{role}": [f[1 + i] for f in functions if len(ACTIVATIONS[f[0]].defaults) > i]
        for i, role in enumerate(("alpha", "beta"))
    }
    clip = node.attributes["clip"]
    return {
        "hidden_size": node.attributes["hidden"], "activations": [f[0] for f in functions],
        "direction": {v: k for k, v in DIRECTIONS.items()}[tuple(node.attributes["directions"])],
        **{key: value for key, value in numbers.items() if value}, **({"clip": clip} if clip else {}),
    }  # fmt: skip


def _stripped(names: Sequence[str]) -> list[str]:
    """Without the absent names at the end."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def recurrent_case(
    name: str,
    sizes: tuple[int, int, int],
    gates: int,
    defaults: Sequence[str],
    states: int,
    directions: tuple[int, ...] = (0,),
    bias: bool = True,
    extra: tuple[Array | None, ...] = (),
    activations: tuple[Function, ...] | None = None,
    **attributes: Any,
) -> Case:
    """A check of an operator: (time, inputs, hidden), drawn weights; extra: the constants after the bias."""
    (time, inputs, hidden), count = sizes, len(directions)
    rng = np.random.default_rng(sum(map(ord, name)))
    shapes = ((count, gates * hidden, inputs), (count, gates * hidden, hidden), (count, 2 * gates * hidden))
    weights = [floats(rng.normal(0, 0.5, shape)) for shape in shapes]
    functions = activations or tuple((f, 0.0, 0.0) for f in defaults)
    return Case(
        name, ((time, inputs),),
        {"directions": directions, "hidden": hidden, "activations": (functions,) * count, "clip": 0.0,
         "batch_axis": -1, **attributes},
        (*weights[:2], weights[2] if bias else None, *extra), outputs=states + 1,
    )  # fmt: skip
