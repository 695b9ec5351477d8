"""Small networks of every operator, and one run of many emitted programs on this machine under sanitizers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trine.compilers.cases import case_graph, draw
from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.operators import operators
from trine.edge.c.emit import CSources, emit_c
from trine.edge.emulate import Entry, HostCompiler
from trine.edge.fusing import FUSES_ACTIVATION
from trine.edge.lower import Lowered, lower
from trine.edge.operators import kernel_for
from trine.edge.parity import as_bytes
from trine.edge.program import IntegerProgram

Int8 = NDArray[np.int8]
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def ranges_of(graph: Graph, feed: dict[str, Array]) -> dict[str, tuple[float, float]]:
    """Least and greatest value of every activation."""
    values = dict(feed)
    for node, results in graph.trace(feed):
        values.update(zip(node.outputs, results, strict=True))
    return {
        name: (float(v.min()), float(v.max()))
        for name, v in values.items()
        if v.dtype == np.float32 and v.size
    }


def lowered(graph: Graph, requantize: str = "exact", n: int = 64, seed: int = 0) -> Lowered:
    """The graph quantised with min-max ranges of standard normal inputs."""
    return lower(graph, ranges_of(graph, draw(graph, n, seed)), requantize)


def hard_inputs(program: IntegerProgram, n: int = 12, seed: int = 0) -> dict[str, Array]:
    """Random codes, and three that are the least, the greatest and the zero point throughout; other types by `draw`."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    plain = [
        Tensor(name, t.shape, t.dtype)
        for name in program.inputs
        if not (t := program.tensors[name]).quantized
    ]
    inputs |= draw(Graph("plain", tuple(plain), (), (), {}, {t.name: t for t in plain}), n, seed)
    for name in program.inputs:
        tensor = program.tensors[name]
        if not tensor.quantized:
            continue
        least, greatest = tensor.limits
        x = rng.integers(least, greatest + 1, (n, *tensor.shape)).astype(tensor.dtype)
        ends = np.array([least, greatest, tensor.zero_point], tensor.dtype)
        x[-3:] = ends.reshape(3, *([1] * len(tensor.shape)))
        inputs[name] = x
    return inputs


def extend(graph: Graph, node: Node, keep: bool = False) -> Graph:
    """The graph with a node after its first output; keep: the old outputs stay outputs too."""
    shape = operators()[node.op].shapes(node, [graph.shape(name) for name in node.inputs])[0]
    tensors = {**graph.tensors, node.outputs[0]: Tensor(node.outputs[0], shape)}
    if graph.dtype(node.inputs[0]) != "float32":
        return graph
    outputs = (*graph.outputs, *node.outputs) if keep else node.outputs
    name = f"{graph.name}_{node.name}" + "_kept" * keep
    return Graph(name, graph.inputs, outputs, (*graph.nodes, node), graph.constants, tensors)


def same_input(graph: Graph) -> Graph:
    """The graph with its first input at every activation input of that shape."""
    first = graph.inputs[0]
    rename = {t.name: first.name for t in graph.inputs if (t.shape, t.dtype) == (first.shape, first.dtype)}
    inputs = tuple(t for t in graph.inputs if rename.get(t.name, t.name) == t.name)
    nodes = tuple(
        Node(n.op, n.name, tuple(rename.get(i, i) for i in n.inputs), n.outputs, n.attributes)
        for n in graph.nodes
    )
    tensors = {name: t for name, t in graph.tensors.items() if rename.get(name, name) == name}
    return Graph(f"{graph.name}_doubled", inputs, graph.outputs, nodes, graph.constants, tensors)


def chain(
    name: str,
    inputs: Sequence[tuple[str, tuple[int, ...]]],
    nodes: Sequence[Node],
    constants: dict[str, Array] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Graph:
    """A graph of nodes in order; the last output unless `outputs` says otherwise."""
    given = tuple(Tensor(n, shape) for n, shape in inputs)
    tensors, stored = {t.name: t for t in given}, constants or {}
    for node in nodes:
        known = [tensors[n].shape if n in tensors else stored[n].shape for n in node.inputs]
        for output, shape in zip(node.outputs, operators()[node.op].shapes(node, known), strict=True):
            tensors[output] = Tensor(output, shape)
    return Graph(name, given, outputs or nodes[-1].outputs, tuple(nodes), stored, tensors)


def conv(name: str, x: str, y: str, weight: str, bias: str, **attributes: object) -> Node:
    rank = attributes.pop("rank", 1)
    assert isinstance(rank, int)
    full = {
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * (2 * rank),
        "group": 1,
        **attributes,
    }
    return Node("Conv", name, (x, weight, bias), (y,), full)


def _weights(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]


def special_graphs() -> Iterator[Graph]:
    """Networks of a few nodes for what single operators do not show."""
    w1, b1, w2, b2 = _weights(1, (6, 3, 3, 3), (6,), (5, 120), (5,))
    same = {"rank": 2, "pads": (1, 1, 1, 1)}
    first = conv("c", "x", "a", "w1", "b1", **same)
    image, con = [("x", (3, 5, 4))], {"w1": w1, "b1": b1, "w2": w2, "b2": b2}
    flat = Node("Reshape", "flat", ("a",), ("f",), {"shape": (120,)})
    gemm = Node("Gemm", "g", ("f", "w2", "b2"), ("y",))
    yield chain("flatten_gemm", image, [first, flat, gemm], con)
    yield chain("flatten_gemm_kept", image, [first, flat, gemm], con, ("y", "f"))
    yield chain("flatten_out", image, [first, flat], con)
    yield chain("conv_both_outputs", image, [first, Node("Relu", "r", ("a",), ("y",))], con, ("a", "y"))
    last = Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 2, 0)})
    yield chain("conv_channels_last", image, [first, last], con)
    yield chain("conv_last_relu", image, [first, last, Node("Relu", "r", ("t",), ("y",))], con)
    yield chain(
        "conv_last_flat", image, [first, last, Node("Reshape", "f", ("t",), ("y",), {"shape": (120,)})], con
    )
    yield chain(
        "conv_transposed", image, [first, Node("Transpose", "t", ("a",), ("t",), {"perm": (2, 0, 1)})], con
    )
    yield chain("input_is_output", [("x", (4, 3))], [Node("Relu", "r", ("x",), ("y",))], {}, ("x", "y"))
    yield chain(
        "input_reshaped_out", [("x", (4, 3))], [Node("Reshape", "r", ("x",), ("y",), {"shape": (2, 6)})]
    )
    again = [Node("Relu", "r", ("x",), ("a",)), Node("Reshape", "s", ("a",), ("y",), {"shape": (12,)})]
    yield chain("output_and_its_reshape", [("x", (4, 3))], again, {}, ("a", "y"))
    for axis in range(3):
        parts = [
            conv("c", "x", "a", "w1", "b1", **same),
            Node("Sigmoid", "s", ("a",), ("b",)),
            Node("Concat", "j", ("a", "b", "a"), ("y",), {"axis": axis}),
        ]
        yield chain(f"concat_axis_{axis}", image, parts, con)
    pools = [
        first,
        Node(
            "MaxPool",
            "p",
            ("a",),
            ("p",),
            {"kernel_shape": (2, 2), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 1, 1)},
        ),
        Node("Concat", "j", ("a", "p"), ("y",), {"axis": 0}),
        Node("Concat", "k", ("p", "y"), ("z",), {"axis": 1}),
    ]
    yield chain("placed_once", image, pools[:3], con)
    single = [
        first,
        conv("d", "a", "b", "w4", "b4", rank=2),
        Node("Concat", "j", ("a", "b"), ("y",), {"axis": 0}),
    ]
    yield chain(
        "one_channel_part",
        image,
        single,
        {**con, "w4": _weights(7, (1, 6, 1, 1))[0], "b4": _weights(8, (1,))[0]},
    )
    twice = [
        *pools[:2],
        Node("Concat", "j", ("p", "a"), ("y",), {"axis": 1}),
        Node("Concat", "k", ("p", "a"), ("z",), {"axis": 2}),
        Node("Concat", "l", ("p", "p"), ("v",), {"axis": 1}),
    ]
    yield chain("part_of_several", image, twice, con, ("y", "z", "v"))
    row = [
        Node("Tanh", "t1", ("x",), ("a",)),
        Node("Tanh", "t2", ("x",), ("b",)),
        Node("Concat", "j", ("a", "b"), ("y",), {"axis": 0}),
        Node("Concat", "k", ("b", "a"), ("z",), {"axis": 0}),
        Node("Relu", "r1", ("y",), ("u",)),
        Node("Relu", "r2", ("z",), ("v",)),
    ]
    yield chain("part_of_two", [("x", (7,))], row, {}, ("u", "v"))
    residual = [
        first,
        conv("d", "a", "b", "w3", "b3", **same, group=6),
        Node("Add", "s", ("a", "b"), ("c",)),
        Node("Relu", "r", ("c",), ("y",)),
    ]
    con3 = {**con, "w3": _weights(2, (6, 1, 3, 3))[0], "b3": _weights(3, (6,))[0]}
    yield chain("residual_depthwise", image, residual, con3)
    squeeze = [
        first,
        Node("GlobalAveragePool", "g", ("a",), ("g",)),
        Node("Sigmoid", "s", ("g",), ("h",)),
        Node("Mul", "m", ("a", "h"), ("y",)),
    ]
    yield chain("squeeze_excite", image, squeeze, con)
    bias = [first, Node("Add", "s", ("a", "k"), ("y",))]
    yield chain("constant_on_image", image, bias, {**con, "k": _weights(4, (6, 1, 4))[0]})
    yield chain("constant_low_rank", image, bias, {**con, "k": _weights(4, (4,))[0]})
    for axis in range(3):
        yield chain(
            f"softmax_{axis}", image, [first, Node("Softmax", "s", ("a",), ("y",), {"axis": axis})], con
        )
        mean = Node("ReduceMean", "m", ("a",), ("y",), {"axes": (axis,), "keepdims": 0})
        yield chain(f"mean_{axis}", image, [first, mean], con)
    yield chain(
        "mean_all",
        image,
        [first, Node("ReduceMean", "m", ("a",), ("y",), {"axes": (0, 1, 2), "keepdims": 0})],
        con,
    )
    yield chain(
        "scalars", [("x", ())], [Node("Relu", "r", ("x",), ("a",)), Node("Add", "s", ("a", "x"), ("y",))]
    )
    (c1,) = _weights(5, (4, 3, 3))
    yield chain("matmul_left", [("x", (3, 5))], [Node("MatMul", "m", ("k", "x"), ("y",))], {"k": c1[0]})
    yield chain("matmul_vector", [("x", (7, 3))], [Node("MatMul", "m", ("x", "k"), ("y",))], {"k": c1[0, 0]})
    yield chain(
        "matmul_repeated", [("x", (4, 2, 3)), ("z", (1, 3, 5))], [Node("MatMul", "m", ("x", "z"), ("y",))]
    )
    yield chain(
        "matmul_cross", [("x", (4, 1, 2, 3)), ("z", (1, 3, 3, 5))], [Node("MatMul", "m", ("x", "z"), ("y",))]
    )
    yield chain(
        "matmul_rows",
        [("x", (2, 3, 5))],
        [Node("MatMul", "m", ("x", "k"), ("y",))],
        {"k": _weights(6, (5, 7))[0]},
    )
    attention = [
        Node("Transpose", "t", ("x",), ("k",), {"perm": (1, 0)}),
        Node("MatMul", "m", ("x", "k"), ("s",)),
        Node("Softmax", "p", ("s",), ("q",), {"axis": 1}),
        Node("MatMul", "v", ("q", "x"), ("y",)),
    ]
    yield chain("attention", [("x", (6, 4))], attention)
    zeros = {"w": np.zeros((3, 2, 3), np.float32), "b": np.array([0.5, 0, -2], np.float32)}
    yield chain("dead_channels", [("x", (2, 9))], [conv("c", "x", "y", "w", "b")], zeros)
    pool = {"strides": (2,), "dilations": (2,), "pads": (1, 2), "kernel_shape": (3,)}
    for counted in (0, 1):
        a = Node(
            "AveragePool",
            "p",
            ("x",),
            ("y",),
            {**pool, "count_include_pad": counted, "uncounted": (counted,)},
        )
        yield chain(f"average_dilated_{counted}", [("x", (3, 13))], [a])


@cache
def catalogue() -> dict[str, Graph]:
    """Every case of every operator alone, then followed by an activation or read twice, and the special
    graphs."""
    graphs = []
    for op, record in operators().items():
        for case in record.cases:
            alone = case_graph(op, case)
            kernel = kernel_for(alone, alone.nodes[0])
            if kernel is None:
                continue
            graphs.append(alone)
            output = alone.outputs[0]
            clip = Node("Clip", "clip", (output,), ("z",), {"min": -0.3, "max": 0.4})
            relu = Node("Relu", "relu", (output,), ("z",))
            if op in FUSES_ACTIVATION:
                graphs += [extend(alone, clip), extend(alone, relu)]
            integers = not kernel.floats
            if case is record.cases[0] and alone.dtype(output) == "float32" and integers:
                graphs.append(extend(alone, relu, keep=True))
            if len({(t.shape, t.dtype) for t in alone.inputs}) < len(alone.inputs):
                graphs.append(same_input(alone))
    graphs += special_graphs()
    assert len({g.name for g in graphs}) == len(graphs)
    return {g.name: g for g in graphs}


def entry_of(program: IntegerProgram, name: str) -> Entry:
    """The emitted entry function."""
    sizes = [tuple(program.tensors[n].bytes for n in names) for names in (program.inputs, program.outputs)]
    return Entry(f"trine_{name}_run", *sizes)


def write_sources(sources: CSources, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sources.name}.h").write_text(sources.header)
    (folder / f"{sources.name}.c").write_text(sources.source)
    return folder


@dataclass(frozen=True)
class Job:
    """A program, its emitted C and int8 inputs {name: [n, *shape]}."""

    program: IntegerProgram
    sources: CSources
    inputs: dict[str, Int8]


def _caller(number: int, job: Job) -> str:
    """C that runs one program over its examples, in buffers of exactly the right size at odd addresses."""
    entry = entry_of(job.program, job.sources.name)
    count = len(next(iter(job.inputs.values())))
    names = [f"b{i}" for i in range(len(entry.inputs) + len(entry.outputs))]
    sizes = [*entry.inputs, *entry.outputs]
    tensors = [job.program.tensors[n] for n in (*job.program.inputs, *job.program.outputs)]
    at = {n: f"{n} + {int(t.dtype == 'int8')}" for n, t in zip(names, tensors, strict=True)}
    reads = "".join(f"    take({at[n]}, {size}, in);\n" for n, size in zip(names, entry.inputs, strict=False))
    outputs = list(zip(names, sizes, strict=True))[len(entry.inputs) :]
    writes = "".join(f"    fwrite({at[n]}, 1, {size}, out);\n" for n, size in outputs)
    makes = "".join(f"  int8_t *{n} = malloc({size} + 1);\n" for n, size in zip(names, sizes, strict=True))
    call = ", ".join(f"(void *)({at[n]})" for n in names)
    frees = "".join(f"  free({n});\n" for n in names)
    return (
        f'#include "{job.sources.name}.h"\n'
        f"static void job_{number}(FILE *in, FILE *out) {{\n{makes}"
        f"  for (int i = 0; i < {count}; i++) {{\n{reads}    {entry.symbol}({call});\n{writes}  }}\n"
        f"{frees}}}\n"
    )


def run_on_host(
    jobs: Sequence[Job], folder: Path, flags: Sequence[str] = ("-O0", *SANITIZE)
) -> list[dict[str, Int8]]:
    """All programs in one executable: outputs {name: [n, *shape]} of each job. Any sanitizer finding
    fails."""
    for job in jobs:
        write_sources(job.sources, folder)
    callers = "".join(_caller(i, job) for i, job in enumerate(jobs))
    calls = "".join(f"  job_{i}(in, out);\n" for i in range(len(jobs)))
    (folder / "main.c").write_text(
        "#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        "static void take(int8_t *to, size_t n, FILE *in) { if (fread(to, 1, n, in) != n) exit(3); }\n"
        f"{callers}int main(void) {{\n"
        '  FILE *in = fopen("in.bin", "rb"), *out = fopen("out.bin", "wb");\n'
        f"{calls}  return fclose(out);\n}}\n"
    )
    data = []
    for job in jobs:
        rows = [as_bytes(job.inputs[n]) for n in job.program.inputs]
        data.append(np.concatenate(rows, axis=1).tobytes())
    (folder / "in.bin").write_bytes(b"".join(data))
    files = [f"{job.sources.name}.c" for job in jobs]
    compiler = HostCompiler()
    command = [
        *compiler.command,
        *flags,
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Werror",
        *files,
        "main.c",
        "-o",
        "all",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[:4000]
    ran = subprocess.run(["./all"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[:4000]
    return _outputs(jobs, np.fromfile(folder / "out.bin", np.int8))


def _outputs(jobs: Sequence[Job], flat: Int8) -> list[dict[str, Int8]]:
    """Cut what the executable wrote into each job's outputs."""
    results, at = [], 0
    for job in jobs:
        count = len(next(iter(job.inputs.values())))
        tensors = [job.program.tensors[n] for n in job.program.outputs]
        width = sum(t.bytes for t in tensors)
        rows = flat[at : at + count * width].reshape(count, width)
        at += count * width
        ends = np.cumsum([t.bytes for t in tensors])
        results.append(
            {
                t.name: np.ascontiguousarray(rows[:, e - t.bytes : e]).view(t.dtype).reshape(count, *t.shape)
                for t, e in zip(tensors, ends, strict=True)
            }
        )
    assert at == flat.size
    return results


def together(name: str, graphs: Sequence[Graph]) -> Graph:
    """Unconnected networks as one, names prefixed n0_, n1_, ...: one compilation serves them all."""
    parts = []
    for i, g in enumerate(graphs):
        at = {n: f"n{i}_{n}" for n in (*g.tensors, *g.constants)}
        nodes = [
            Node(
                n.op,
                f"n{i}_{n.name}",
                tuple(at.get(x, x) for x in n.inputs),
                tuple(at.get(y, y) for y in n.outputs),
                n.attributes,
            )
            for n in g.nodes
        ]
        tensors = {at[t.name]: Tensor(at[t.name], t.shape, t.dtype) for t in g.tensors.values()}
        parts.append(
            (
                [tensors[at[t.name]] for t in g.inputs],
                [at[y] for y in g.outputs],
                nodes,
                {at[c]: v for c, v in g.constants.items()},
                tensors,
            )
        )
    inputs, outputs, steps = (tuple(x for part in parts for x in part[k]) for k in range(3))
    constants, known = ({k: v for part in parts for k, v in part[j].items()} for j in (3, 4))
    return Graph(name, inputs, outputs, steps, constants, known)


@cache
def bundle_graphs(size: int = 32) -> dict[str, Graph]:
    """The whole catalogue in networks of `size` unconnected ones."""
    graphs = list(catalogue().values())
    starts = range(0, len(graphs), size)
    return {f"bundle{at}": together(f"bundle{at}", graphs[at : at + size]) for at in starts}


@cache
def bundles() -> dict[str, Lowered]:
    """The bundles quantised."""
    return {name: lowered(graph) for name, graph in bundle_graphs().items()}


def job_of(program: IntegerProgram, core: str = "host", seed: int = 0) -> Job:
    return Job(program, emit_c(program, core), hard_inputs(program, seed=seed))
