"""Integer simulation of spiking nets: an obvious definition in NumPy and an event-driven engine that equals it."""

from trine.neuromorphic.engine.native import Simulator, run
from trine.neuromorphic.engine.result import Result, inputs_of

__all__ = ["Result", "Simulator", "inputs_of", "run"]
