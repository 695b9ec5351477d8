"""Simulators of a spiking net behind one verb, `simulate.simulate`: native, snntorch, lava, sanafe."""
