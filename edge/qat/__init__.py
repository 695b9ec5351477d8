"""Quantisation in the loop: fine-tune a network through the very integers it is compiled to (extra torch)."""

from trine.edge.qat.train import Tuned, Tuning, fine_tune

__all__ = ["Tuned", "Tuning", "fine_tune"]
