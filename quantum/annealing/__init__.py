"""Annealers: a problem as an Ising model of pairs, embedded in a machine's graph of qubits and couplers."""
