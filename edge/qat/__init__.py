"""Quantisation in the loop: fine-tune a network through the very integers it is compiled to (extra torch)."""

from trine.edge.qat.options import Tuning
from trine.edge.qat.train import Tuned, fine_tune
from trine.edge.qat.tuning import FineTuning, fine_tuned, finetune_file, summary

__all__ = ["FineTuning", "Tuned", "Tuning", "fine_tune", "fine_tuned", "finetune_file", "summary"]
