"""How each chip takes a network: the form of its neurons, what its spikes can say, and what it cannot do at all."""
