"""The quantiser: calibration, choice of ranges, equalisation, bias correction, and a receipt a layer."""

from trine.edge.quantize.quantize import Decision, Quantized, quantize
from trine.edge.quantize.receipt import LayerReceipt

__all__ = ["Decision", "LayerReceipt", "Quantized", "quantize"]
