"""From a trained network to a spiking one: layers, counts in T levels, schemes, receipts."""
