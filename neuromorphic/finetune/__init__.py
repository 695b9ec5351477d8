"""Surrogate-gradient fine-tuning of converted networks for few time steps, in snntorch."""
