"""Haplotypes: planted chromosomes come back without a switch error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.problems import haplotype


def reads_of(truth: np.ndarray, reads: int, length: int, errors: float, seed: int) -> haplotype.Reads:
    """Reads of `length` neighbouring SNPs from either chromosome."""
    generator = np.random.default_rng(seed)
    count = len(truth)
    rows = []
    for k in range(reads):
        start = k % (count - length + 1)
        seen = truth[start : start + length] ^ generator.integers(0, 2) ^ (generator.random(length) < errors)
        rows.append("-" * start + "".join(map(str, seen.astype(int))) + "-" * (count - start - length))
    return haplotype.parse(
        {"snps": [f"s{i}" for i in range(count)], "reads": rows, "error_rate": max(errors, 0.001)}
    )


@pytest.mark.parametrize(("snps", "errors"), [(12, 0.0), (20, 0.03), (60, 0.02)])
def test_planted_chromosomes(snps: int, errors: float) -> None:
    """Switch error 0, by enumeration and, past 24 SNPs, by elimination along the chromosome."""
    truth = np.random.default_rng(snps).integers(0, 2, snps)
    data = reads_of(truth, 8 * snps, 4, errors, snps)
    best = haplotype.exact(data)
    assert best is not None
    assert best.proved
    bits = np.array(best.bits, np.uint8)
    assert haplotype.switch_errors(data, bits, "".join(map(str, truth))) == 0
    assert haplotype.switch_errors(data, bits, "".join(map(str, 1 - truth))) == 0
    turned = truth.copy()
    turned[snps // 2 :] ^= 1
    assert haplotype.switch_errors(data, bits, "".join(map(str, turned))) == 1


def test_blocks_without_a_read_between_are_phased_apart() -> None:
    """One bit less for each block; a block given the other way round is the same answer."""
    data = haplotype.parse({"snps": list("abcde"), "reads": ["01---", "01---", "--110", "--001"]})
    assert data.blocks == ((0, 1), (2, 3, 4))
    assert haplotype.encode(data).qubits == 3
    best = haplotype.exact(data)
    assert best is not None
    answer = haplotype.decode(data, np.array(best.bits, np.uint8))
    assert answer["phases"] == {"a": "0|1", "b": "1|0", "c": "0|1", "d": "0|1", "e": "1|0"}
    other = {**answer["phases"], "c": "1|0", "d": "1|0", "e": "0|1"}
    assert haplotype.bits_of(data, {"phases": other}).tolist() == list(best.bits)
    assert best.cost == 0


def test_quality_decides() -> None:
    """Two poor reads say cis, one good read says trans; weights are ln((1-e)/e) of the pair."""
    data = haplotype.parse(
        {"snps": ["a", "b"], "reads": ["00", "11", "01"], "qualities": [[5, 5], [5, 5], [30, 30]]}
    )
    best = haplotype.exact(data)
    assert best is not None
    assert best.bits == (1,)
    one = 10 ** (-0.5)
    poor = 2 * one * (1 - one)
    assert best.cost == pytest.approx(2 * math.log((1 - poor) / poor))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"snps": ["a", "b"], "reads": ["0-", "-1"]}, "no read covers two SNPs"),
        ({"snps": ["a", "b"], "reads": ["012"]}, r"reads\[0\] is '012': give 2 characters"),
        ({"snps": ["a", "b"], "reads": ["0x"]}, "of 0, 1 and -"),
        ({"snps": ["a", "b"], "reads": ["01"], "qualities": [[1, 40]]}, r"qualities\[0\]: give 2 Phred"),
        ({"snps": ["a", "b"], "reads": ["01"], "error_rate": 0.5}, "error_rate is 0.5"),
    ],
)
def test_bad_input(data: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        haplotype.parse(data)
