"""Write a heartbeat network of torch as ONNX, weights inside, the same bytes every time."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn


def export_beats(net: nn.Module, path: Path, about: str) -> None:
    """Inputs `beat` [n, 2, 128] and `rr` [n, 8], output `logits`, any batch size; about: the file's description."""
    import onnx

    # The exporter speaks of packages that are not needed here, and warns of its own use of older torch functions.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, (torch.zeros(2, 2, 128), torch.zeros(2, 8)), input_names=["beat", "rr"], output_names=["logits"],
            dynamic_shapes={"beat": batch, "rr": batch}, opset_version=18, dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    # The exporter's notes hold paths of this machine and change from run to run.
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    model.doc_string = about
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
