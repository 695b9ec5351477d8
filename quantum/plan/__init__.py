"""Before money is spent: resources, expected fidelity, shots, machine time, price, and whether it is worth it."""
