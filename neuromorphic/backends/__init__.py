"""Simulators of a spiking net behind one verb: native, snntorch, lava."""

from trine.neuromorphic.backends.simulate import BACKENDS, simulate

__all__ = ["BACKENDS", "simulate"]
