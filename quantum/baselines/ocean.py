"""Polynomials as dimod models for D-Wave's samplers, and their samples back."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.devices.errors import MissingExtra
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Samples


def model_of(polynomial: Polynomial) -> tuple[Any, str]:
    """A quadratic model of bits 0 to n - 1, and what was done to get it.

    Products of three and more bits get auxiliary bits, whose penalty exceeds all that they could gain. Raises
    MissingExtra.
    """
    try:
        import dimod
    except ImportError:
        raise MissingExtra("dimod", "quantum", "D-Wave's samplers") from None
    terms = dict(polynomial.terms)
    high = sum(abs(v) for s, v in terms.items() if len(s) > 2)
    model = dimod.BinaryQuadraticModel("BINARY")
    for i in range(polynomial.variables):
        model.add_variable(i)
    if high:
        made = dimod.make_quadratic(terms, high + 1.0, "BINARY")
        model.update(made)
        extra = model.num_variables - polynomial.variables
        return model, f"degree {polynomial.degree} made quadratic with {extra} auxiliary bits"
    for subset, value in terms.items():
        if not subset:
            model.offset += value
        elif len(subset) == 1:
            model.add_linear(subset[0], value)
        else:
            model.add_quadratic(*subset, value)
    return model, ""


def samples_of(found: Any, variables: int) -> Samples:
    """The first `variables` bits of a dimod SampleSet."""
    columns = [list(found.variables).index(i) for i in range(variables)]
    rows = np.asarray(found.record.sample[:, columns], np.uint8)
    return Samples.of(np.repeat(rows, found.record.num_occurrences, axis=0))
