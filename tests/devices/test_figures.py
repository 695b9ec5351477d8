"""Laws of figures and units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.devices.errors import InputError
from trine.devices.figures import Figure
from trine.devices.units import UNITS, convert, units_of

FINITE = st.floats(min_value=1e-12, max_value=1e12)


def figure(value: float, unit: str, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value, unit, low, high, "", "test", "measured")


def whole(unit: str) -> bool:
    return UNITS[unit].dimension in ("count", "word length")


@given(st.sampled_from(sorted(UNITS)), st.tuples(FINITE, FINITE, FINITE))
def test_to_si_and_back_is_the_same_figure(unit: str, numbers: tuple[float, float, float]) -> None:
    low, value, high = sorted(math.ceil(n) if whole(unit) else n for n in numbers)
    original = figure(value, unit, low, high)
    si = original.si()
    back = si.to(unit)
    assert si.unit == UNITS[unit].base
    assert (back.unit, back.source, back.cls) == (unit, "test", "measured")
    assert (back.value, back.low, back.high) == pytest.approx((value, low, high), rel=1e-14)
    assert original.si_value == si.value
    assert original.si_range == (si.low, si.high)


@given(st.sampled_from(sorted(UNITS)), FINITE, FINITE)
def test_conversion_keeps_the_order(unit: str, a: float, b: float) -> None:
    base = UNITS[unit].base
    assert (a <= b) == (convert(a, unit, base) <= convert(b, unit, base)) or a == pytest.approx(b, rel=1e-15)


def test_published_decimals_stay_exact() -> None:
    """Dividing by a power of ten rounds once: 23.6 pJ is the float nearest to 23.6e-12."""
    assert figure(23.6, "pJ").si_value == 23.6e-12
    assert figure(118, "uA/MHz").si_value == 118e-12
    assert figure(225, "mAh").si_value == 810.0
    assert figure(640, "KiB").si_value == 655360
    assert figure(40, "mW/cm2").si_value == 400
    assert figure(0.029, "K/mW").si_value == 29.0
    assert figure(0.02, "USD/10ms").to("USD/min").value == pytest.approx(120)


def test_every_base_unit_is_its_own_base() -> None:
    for unit in UNITS.values():
        assert UNITS[unit.base].base == unit.base
        assert UNITS[unit.base].dimension == unit.dimension
        assert unit.name in units_of(unit.dimension)


def test_figures_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="unknown unit 'mAmp'"):
        figure(1, "mAmp")
    with pytest.raises(InputError, match="unknown class 'guess'"):
        Figure(1, "V", None, None, "", "test", "guess")
    with pytest.raises(InputError, match="low 2 is above the value 1"):
        figure(1, "V", low=2)
    with pytest.raises(InputError, match="cannot be given in"):
        figure(1, "V").to("A")
    with pytest.raises(InputError, match="EUR/shot"):  # currencies are never converted
        figure(1, "USD/shot").to("EUR/shot")
