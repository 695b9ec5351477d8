"""Neuron models, one file each, each exporting one record named NEURON (`trine.neuromorphic.neuron`)."""
