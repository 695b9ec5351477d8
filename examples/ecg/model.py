"""The heartbeat network, and the form of it that runs. Used by `train.py` and `folds.py`."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional


class HighPass(nn.Conv1d):
    """A convolution whose kernels sum to zero, so that the baseline of the ECG cannot reach the network."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight - self.weight.mean(dim=2, keepdim=True)
        return functional.conv1d(x, kernel, self.bias, self.stride, self.padding)


def summed_to_zero(conv: nn.Conv1d) -> nn.Conv1d:
    """The plain convolution that a `HighPass` is."""
    plain = nn.Conv1d(
        conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
    )
    assert plain.bias is not None
    assert conv.bias is not None
    plain.weight.data = conv.weight.data - conv.weight.data.mean(dim=2, keepdim=True)
    plain.bias.data = conv.bias.data
    return plain


def block(conv: nn.Conv1d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm1d(conv.out_channels), nn.ReLU())


class BeatNet(nn.Module):
    """Four convolutions over the beat; the RR ratios join before two small dense layers; 5 logits."""

    def __init__(self, dropout: float = 0.0, hidden_shape: float = 0.0) -> None:
        super().__init__()
        self.hidden_shape = hidden_shape
        self.shape = nn.Sequential(
            block(HighPass(2, 16, 15, stride=2, padding=7, bias=False)),
            block(nn.Conv1d(16, 32, 5, stride=2, padding=2, bias=False)),
            block(nn.Conv1d(32, 32, 5, stride=1, padding=2, bias=False)),
            block(nn.Conv1d(32, 64, 5, stride=2, padding=2, bias=False)),
            nn.AvgPool1d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(256, 24),
            nn.ReLU(),
        )
        self.decide = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, beat: Tensor, rr: Tensor) -> Tensor:
        shape = self.shape(beat)
        if self.training:
            shape = shape * (torch.rand(len(shape), 1) >= self.hidden_shape)
        return self.decide(torch.cat([shape, rr], dim=1))


def deployable(net: BeatNet, normal_offset: float) -> nn.Module:
    """The network as it runs: zero-sum kernels and BatchNorm folded, the offset in the last bias of N."""
    layers: list[nn.Module] = []
    for layer in net.shape:
        if not isinstance(layer, nn.Sequential):
            layers += [] if isinstance(layer, nn.Dropout) else [layer]
            continue
        conv, norm = layer[0], layer[1]
        assert isinstance(conv, nn.Conv1d)
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        kernel = conv.weight.data
        if isinstance(conv, HighPass):
            kernel = kernel - kernel.mean(dim=2, keepdim=True)
        gain = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
        plain = nn.Conv1d(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        )
        plain.weight.data = kernel * gain[:, None, None]
        plain.bias.data = norm.bias.data - norm.running_mean * gain
        layers += [plain, nn.ReLU()]
    folded = BeatNet()
    folded.shape, folded.decide = nn.Sequential(*layers), copy.deepcopy(net.decide)
    last = folded.decide[-1]
    assert isinstance(last, nn.Linear)
    last.bias.data[0] += normal_offset
    return folded.eval()
