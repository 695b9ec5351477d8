"""Patch-wise execution: the first layers run band by band, so that no whole early feature map is ever in RAM.

The idea is MCUNetV2's (Lin et al. 2021, "Memory-efficient Patch-based Inference for Tiny Deep Learning", arXiv
2110.15352): early layers have the largest activations and few weights, and each value of their output depends on a
few rows of the input. `patched` changes the program, not how it is run: every step of the result is an ordinary one.
"""

from trine.edge.patches.build import patched
from trine.edge.patches.front import Point, best, front
from trine.edge.patches.region import cuts

__all__ = ["Point", "best", "cuts", "front", "patched"]
