"""Molecules: geometry or integrals -> qubit Hamiltonian -> variational energies, circuits what they cost."""
