"""Integer simulation of spiking nets: an obvious definition in NumPy and an event-driven engine that equals it."""

from trine.neuromorphic.engine.native import run
from trine.neuromorphic.engine.result import Result, inputs_of

__all__ = ["Result", "inputs_of", "run"]
