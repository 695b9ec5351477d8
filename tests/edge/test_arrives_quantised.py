"""Networks that onnxruntime's quantiser made, taken as they are: bit for bit what onnxruntime computes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import drawn, ran_in_c
from onnx import TensorProto, helper, numpy_helper
from program_samples import Job, chain, run_on_host, together
from streaming_samples import assert_sequence, signals

from trine.compilers.deploy import deploy
from trine.compilers.graph import Array, Graph, Node, Shape
from trine.compilers.source import load_source
from trine.compilers.target import Job as CompileJob
from trine.devices import load_device
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.c.stream import emit_stream
from trine.edge.checking import check_edge
from trine.edge.lower import Lowered, lower
from trine.edge.parity import first_differences, in_float
from trine.edge.passes import EdgeOptions
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.stated import StatedTensor, is_quantised, problems, strip
from trine.edge.streaming import stream
from trine.edge.streaming.machine import HostStream, hops_of
from trine.edge.streaming.state import to_bytes
from trine.edge.target import EdgeTarget

EXAMPLES = 400


def network(folder: Path) -> Path:
    """A float network of every layer that onnxruntime quantises in integers: Conv, depthwise, Add, Mul, pools, Gemm."""
    rng = np.random.default_rng(5)
    weights = {
        "w0": (8, 2, 5),
        "b0": (8,),
        "w1": (8, 1, 3),
        "w2": (8, 8, 1),
        "b2": (8,),
        "w3": (5, 8),
        "b3": (5,),
    }
    constants = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in weights.items()}
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], pads=[2, 2], strides=[2]),
        node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1"], ["c1"], pads=[1, 1], group=8),
        node("Conv", ["c1", "w2", "b2"], ["c2"]),
        node("Add", ["c2", "r0"], ["s"]),
        node("MaxPool", ["s"], ["m"], kernel_shape=[2], strides=[2]),
        node("Sigmoid", ["m"], ["g"]),
        node("Mul", ["m", "g"], ["p"]),
        node("GlobalAveragePool", ["p"], ["a"]),
        node("Flatten", ["a"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info(*end)
        for end in (("x", TensorProto.FLOAT, ["n", 2, 40]), ("y", TensorProto.FLOAT, ["n", 5]))
    ]
    graph = helper.make_graph(
        nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def examples(count: int = EXAMPLES) -> Array:
    return np.random.default_rng(1).normal(0, 1, (count, 2, 40)).astype(np.float32)


def quantised(folder: Path, form: str, kind: str, per_channel: bool = True) -> Path:
    """The network through onnxruntime's own quantiser."""
    return by_onnxruntime(network(folder), "x", examples(64), form, kind, per_channel)


def by_onnxruntime(path: Path, name: str, x: Array, form: str, kind: str, per_channel: bool = True) -> Path:
    """A float network with one input through onnxruntime's own quantiser, beside it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            self.rows = iter([{name: row[None]} for row in x])

        def get_next(self) -> Any:
            return next(self.rows, None)

    ready, made = path.with_name("ready.onnx"), path.with_name("quantised.onnx")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready), str(made), Reader(), quant_format=getattr(QuantFormat, form),
        activation_type=getattr(QuantType, kind), weight_type=QuantType.QInt8, per_channel=per_channel,
    )  # fmt: skip
    return made


def in_onnxruntime(path: Path, x: Array) -> Array:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def taken(path: Path) -> tuple[Graph, Lowered]:
    """The quantised network, and the program that takes it as it is."""
    graph = load_source(path)
    assert is_quantised(graph)
    assert problems(graph) == []
    stripped = strip(graph)
    return graph, lower(stripped.graph, {}, stated=stripped.stated)


@pytest.mark.parametrize("per_channel", [True, False], ids=["channels", "tensors"])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_numpy_and_c_equal_onnxruntime(form: str, kind: str, per_channel: bool, tmp_path: Path) -> None:
    path = quantised(tmp_path, form, kind, per_channel)
    graph, lowered = taken(path)
    program, x = lowered.program, examples()
    wanted = in_onnxruntime(path, x)
    np.testing.assert_array_equal(program.run_float({"x": x})["y"], wanted)
    # The graph itself is the file's meaning, node by node in float32: at most a tie apart.
    assert np.abs(graph.run({"x": x})["y"] - wanted).max() <= 1.001 * program.tensors["y"].scale
    codes = program.quantize({"x": x})
    cores = ("cortex-m4f", "cortex-m55")
    named = [replace(program, name=f"for_{core}") for core in cores]
    jobs = [Job(one, emit_c(one, core), codes) for one, core in zip(named, cores, strict=True)]
    for outputs in run_on_host(jobs, tmp_path / "c"):
        np.testing.assert_array_equal(outputs["y"], program.run(codes)["y"])


SHARED = (
    Path(os.environ.get("TRINE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "models_mlperf_tiny"
)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}; set TRINE_DATA")
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("stem", ["kws_ref_model_float32", "pretrainedResnet", "ad01_fp32"])
def test_networks_of_others_are_taken_bit_for_bit(stem: str, form: str, tmp_path: Path) -> None:
    """MLPerf Tiny's keyword, image and anomaly networks; two of them close with a Softmax of a stated scale.

    Sums of two stated scales that no integer rule serves are rounded by a formula of each processor's own in
    onnxruntime: where an Add has them, an example in ten may begin to differ there, by one step.
    """
    path = tmp_path / "net.onnx"
    path.write_bytes((SHARED / f"{stem}.onnx").read_bytes())
    given = np.load(SHARED / f"{stem}.npz")
    (tensor,) = load_source(path).inputs
    x = given[given.files[0]].reshape(-1, *tensor.shape).astype(np.float32)
    x = np.concatenate([x, x[::-1] * np.float32(0.7)])[:64]
    kind = "QInt8" if form == "QDQ" else "QUInt8"
    path = by_onnxruntime(path, tensor.name, x[:16], form, kind)
    program = taken(path)[1].program
    found = program.run_float({tensor.name: x})[program.outputs[0]]
    wanted = in_onnxruntime(path, x).reshape(found.shape)
    differing = (found != wanted).reshape(len(x), -1).any(axis=1)
    assert len(np.unique(found)) > 20
    if not any(in_float(step) for step in program.steps if step.kernel == "add"):
        assert not differing.any()
    assert differing.sum() <= len(x) // 10
    if not differing.any():
        return
    firsts = first_differences(
        program, to_qdq(program, kind[1:].lower()), {tensor.name: x[differing]}, fused=True
    )
    assert all("(add, " in text for text in firsts), firsts


def ends_of(
    draw: st.DrawFn, x: Shape, y: Shape, scales: tuple[float, float], raised: int
) -> dict[str, StatedTensor]:
    """What a model says of a layer's two ends; zero points anywhere."""
    each = zip("xy", (x, y), scales, strict=True)
    return {
        name: StatedTensor(name, shape, np.float32(scale), draw(st.integers(-128, 127)), raised=raised)
        for name, shape, scale in each
    }


@st.composite
def softmaxes(draw: st.DrawFn, raised: int) -> tuple[Graph, dict[str, StatedTensor]]:
    """A Softmax along any axis, most often to a scale of 1/255, which no whole number of steps reaches."""
    shape = tuple(draw(st.lists(st.integers(2, 9), min_size=1, max_size=3)))
    node = Node("Softmax", "s", ("x",), ("y",), {"axis": draw(st.integers(0, len(shape) - 1))})
    steps = draw(st.sampled_from((256.0, 255.0, 255.0, 300.0)) | st.floats(3, 400))
    stated = ends_of(draw, shape, shape, (draw(st.floats(1e-3, 0.5)), 1 / steps), raised)
    return chain("softmax", [("x", shape)], [node]), stated


@st.composite
def means(draw: st.DrawFn, raised: int) -> tuple[Graph, dict[str, StatedTensor]]:
    """An AveragePool of one or two axes; one scale for both ends brings ties."""
    rank = draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    shape = (draw(st.integers(1, 4)), *(k + draw(st.integers(1, 5)) for k in kernel))
    attributes = {
        "kernel_shape": kernel, "strides": tuple(draw(st.integers(1, 3)) for _ in kernel), "dilations": (1,) * rank,
        "pads": pads, "count_include_pad": draw(st.integers(0, 1)), "uncounted": (0,) * rank,
    }  # fmt: skip
    graph = chain("mean", [("x", shape)], [Node("AveragePool", "m", ("x",), ("y",), attributes)])
    scale = draw(st.floats(1e-3, 0.5))
    other = scale if draw(st.booleans()) else scale * draw(st.floats(0.3, 1.5))
    return graph, ends_of(draw, shape, graph.shape("y"), (scale, other), raised)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize("layers", [softmaxes, means])
def test_stated_layers_in_float_are_those_of_onnxruntime_and_of_c(
    layers: Any, kind: str, tmp_path: Path
) -> None:
    """10,500 random cases each: NumPy, C and onnxruntime's own integer kernels give the same codes, at ties too."""
    kernel = {softmaxes: "softmax_stated", means: "mean_stated"}[layers]

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), database=None,
              phases=(Phase.generate,))  # fmt: skip
    @given(st.lists(layers(128 if kind == "uint8" else 0), min_size=10, max_size=10))
    def law(cases: list[tuple[Graph, dict[str, StatedTensor]]]) -> None:
        whole = together("law", [graph for graph, _ in cases])
        stated = {
            f"n{i}_{name}": replace(tensor, name=f"n{i}_{name}")
            for i, (_, one) in enumerate(cases)
            for name, tensor in one.items()
        }
        program = lower(whole, {}, stated=stated).program
        assert {step.kernel for step in program.steps} == {kernel}
        ran_in_c([program], tmp_path, 350, 1)
        codes = drawn(program, 350, 1)
        feed = {name: program.tensors[name].dequantize(q) for name, q in codes.items()}
        found, plain = (run_qdq(to_qdq(program, kind), program, feed, fused) for fused in (True, False))
        for name, values in program.run(codes).items():
            np.testing.assert_array_equal(found[name], values, err_msg=str(cases[int(name[1])]))
            assert np.abs(plain[name].astype(int) - values).max() <= 1

    law()


def test_stated_layers_in_float_run_along_time() -> None:
    """A pool that slides and a Softmax over channels: the stream is the whole sequence, its C keeps the same state."""
    window = {"kernel_shape": (4,), "strides": (2,), "dilations": (1,), "pads": (2, 0)}
    pool = Node("AveragePool", "m", ("x",), ("p",), {**window, "count_include_pad": 1, "uncounted": (0,)})
    graph = chain("along", [("x", (3, 40))], [pool, Node("Softmax", "s", ("p",), ("y",), {"axis": 0})])
    ends = {"x": (0.05, 3), "p": (0.05, -20), "y": (1 / 255, -128)}
    stated = {
        name: StatedTensor(name, graph.shape(name), np.float32(scale), zero)
        for name, (scale, zero) in ends.items()
    }
    program = lower(graph, {}, stated=stated).program
    assert [step.kernel for step in program.steps] == ["mean_stated", "softmax_stated"]
    made = stream(program, 2)
    assert assert_sequence(program, made, drawn(program, 5, 2)) > 10
    inputs = signals(made, 60)
    outputs, state = made.run(inputs)
    with HostStream(made, emit_stream(made)) as host:
        held = host.fresh()
        found = host.run(held, hops_of(made, {n: x[0] for n, x in inputs.items()}))
        assert held.tobytes() == to_bytes(made, state)
        np.testing.assert_array_equal(found["y"], outputs["y"][0])


def test_channels_that_no_integer_rule_serves_are_counted(tmp_path: Path) -> None:
    _, lowered = taken(quantised(tmp_path, "QDQ", "QInt8"))
    by_float = sum(c.by_float for c in lowered.certificates.values())
    channels = sum(c.channels for c in lowered.certificates.values())
    assert 0 < by_float < channels  # stated scales cannot be nudged: measured elsewhere, about a fifth fail


def test_what_the_model_leaves_open_is_named(tmp_path: Path) -> None:
    model = onnx.load(quantised(tmp_path, "QDQ", "QInt8"))
    (sigmoid,) = [n for n in model.graph.node if n.op_type == "Sigmoid"]
    (after,) = [n for n in model.graph.node if n.input and n.input[0] == sigmoid.output[0]]
    readers = {n.output[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    dequantised = next(name for name, n in readers.items() if n.input[0] == after.output[0])
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == dequantised:
                node.input[i] = sigmoid.output[0]
    produced = {n.output[0]: n for n in model.graph.node}
    add = next(n for n in model.graph.node if n.op_type == "Add")
    quantizer = next(
        n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == add.output[0]
    )
    reader = next(
        n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] == quantizer.output[0]
    )
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == reader.output[0]:
                node.input[i] = add.output[0]
    assert add.output[0] in produced
    onnx.save(model, tmp_path / "open.onnx")
    (problem,) = problems(load_source(tmp_path / "open.onnx"))
    assert "(Add)" in problem
    assert "does not say how its output" in problem


def test_blocks_of_scales_are_refused_by_name(tmp_path: Path) -> None:
    scale = numpy_helper.from_array(np.full((1, 2), 0.1, np.float32), "s")
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["q"], "blocks", axis=1, block_size=4)
    back = helper.make_node("DequantizeLinear", ["q", "s"], ["y"], "back", axis=1, block_size=4)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy"]
    graph = helper.make_graph([node, back], "net", ends[:1], ends[1:], [scale])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        tmp_path / "n.onnx",
    )
    with pytest.raises(InputError, match=r"blocks.*block_size"):
        load_source(tmp_path / "n.onnx")


def test_compiled_it_keeps_its_scales_and_refuses_others(tmp_path: Path) -> None:
    path = quantised(tmp_path, "QDQ", "QInt8")
    np.savez(tmp_path / "calib.npz", x=examples(64))
    device = load_device("stm32l4r5")

    def job(name: str, **chosen: Any) -> CompileJob:
        options = EdgeOptions(parity_examples=32, emulated_examples=4, **chosen)
        return CompileJob(path, device, tmp_path / name, tmp_path / "calib.npz", options=options)

    record = deploy(job("out"), EdgeTarget()).record
    assert record["parity"]
    assert all(parity["differing"] == 0 for parity in record["parity"])
    assert "arrive quantised" in record["passes"][0]["changed"]
    assert "Infinity" not in (tmp_path / "out" / "receipts.json").read_text()
    for chosen in ({"precision": "int4"}, {"requantize": "tflite"}):
        with pytest.raises(InputError, match="arrives quantised and is taken as it is"):
            deploy(job("again", **chosen), EdgeTarget())
    assert not (tmp_path / "again").exists()
    assert check_edge(path, device, {}).ok


def spelled_out(folder: Path, weight: Array, quantise_weight: bool) -> Path:
    """x -> Q, DQ -> MatMul by a matrix of one scale -> Q, DQ -> y, over rows of x."""
    node, real = helper.make_node, np.float32(0.02)
    constants = {"s": np.array(0.05, np.float32), "z": np.array(3, np.int8), "t": np.array(0.2, np.float32)}
    constants |= {"w": weight, "ws": np.array(real), "wz": np.array(0, np.int8)}
    matrix = [node("DequantizeLinear", ["w", "ws", "wz"], ["m"])] if quantise_weight else []
    if not quantise_weight:
        constants |= {"m": weight.astype(np.float32) * real}
        constants = {name: value for name, value in constants.items() if name not in ("w", "ws", "wz")}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]), node("DequantizeLinear", ["xq", "s", "z"], ["xr"]), *matrix,
        node("MatMul", ["xr", "m"], ["p"], "product"), node("QuantizeLinear", ["p", "t", "z"], ["pq"]),
        node("DequantizeLinear", ["pq", "t", "z"], ["y"]),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, len(weight)]) for name in "xy"]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "rows", ends[:1], ends[1:], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "rows.onnx")
    return folder / "rows.onnx"


def test_a_square_matrix_of_one_scale_is_not_turned(tmp_path: Path) -> None:
    """Its shape and its scale do not tell which way it lies; its values do."""
    weight = np.random.default_rng(2).integers(-100, 100, (6, 6)).astype(np.int8)
    path = spelled_out(tmp_path, weight, quantise_weight=True)
    _, lowered = taken(path)
    x = np.random.default_rng(3).normal(0, 2, (64, 3, 6)).astype(np.float32)
    np.testing.assert_array_equal(lowered.program.run_float({"x": x})["y"], in_onnxruntime(path, x))


def test_weights_that_the_model_leaves_in_float_are_named(tmp_path: Path) -> None:
    weight = np.random.default_rng(2).integers(-100, 100, (6, 6)).astype(np.int8)
    graph = load_source(spelled_out(tmp_path, weight, quantise_weight=False))
    (problem,) = problems(graph)
    assert "product (MatMul): m is not quantised in the model" in problem
