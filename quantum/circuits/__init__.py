"""Circuits: QAOA's, and the ways to and from qiskit, PennyLane and OpenQASM; transpiling for a device."""
