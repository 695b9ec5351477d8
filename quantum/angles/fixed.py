"""Fixed angles for MaxCut on d-regular graphs: good on every such graph, no optimisation (Wurtz and Lykov 2021).

The optimum of one edge in its tree (`trees.cut_fraction`), found by BFGS from interpolated angles, degree 3 from p = 7
on as published with arXiv 2107.00677 (angles_regular_graphs.json of its authors' repository; p = 7 and 8 as in IBM's
qaoa_training_pipeline). Each row's ratio is
what `trees.cut_fraction` gives for its angles (the published 0.8785 and 0.8828 of p = 10 and 11 are higher; up to
p = 9 they agree to four digits). That it is a guarantee on every such graph is the fixed-angle conjecture.
"""

from __future__ import annotations

from collections import Counter

from trine.devices.errors import InputError
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles

# degree -> one row a depth p = 1, 2, ...: (gammas, betas, ratio). C = -(edges cut), weight one an edge, in the
# convention of `samples.Angles`; stored with beta positive, the sign of beta is turned in `fixed_angles`.
TABLE: dict[int, tuple[tuple[tuple[float, ...], tuple[float, ...], float], ...]] = {
    3: (
        ((0.61548,), (0.392699,), 0.6925),
        ((0.487836, 0.897839), (0.554904, 0.292381), 0.7559),
        ((0.421861, 0.798402, 0.936981), (0.60895, 0.459568, 0.23567), 0.7924),
        ((0.408752, 0.780569, 0.988037, 1.15691), (0.59956, 0.434342, 0.296757, 0.159035), 0.8169),
        (
            (0.359237, 0.706087, 0.82209, 1.004197, 1.153937),
            (0.631667, 0.522528, 0.390138, 0.275992, 0.149296), 0.8364,
        ),
        (
            (0.331374, 0.645583, 0.731659, 0.836963, 1.010196, 1.127232),
            (0.635893, 0.534437, 0.463341, 0.359998, 0.258587, 0.138845), 0.8499,
        ),
        (
            (0.31008979622, 0.61821881901, 0.69024785182, 0.75122207783, 0.85908525475, 1.02039002903, 1.12206625069),
            (0.64814025074, 0.5539249778, 0.48988339575, 0.44501771854, 0.3405836917, 0.24382692832, 0.13063457063),
            0.8598,
        ),
        (
            (0.294605784, 0.58678555638, 0.65441013386, 0.70792858313, 0.7645742048, 0.86425024154, 1.0256656629,
             1.11628723352),
            (0.64916046498, 0.55467994885, 0.50032224579, 0.46869388456, 0.41960894909, 0.31891713167, 0.2313237899,
             0.12290392279), 0.8674,
        ),
        (
            (0.2794012, 0.56613324, 0.6312226, 0.67933252, 0.72624066, 0.76805642, 0.874522, 1.03747092, 1.11798666),
            (0.65447387, 0.56186397, 0.5090114, 0.48677629, 0.45143509, 0.40321108, 0.30473032, 0.21983296, 0.11718174),
            0.8735,
        ),
        (
            (0.26671636, 0.5448227, 0.60998102, 0.65626008, 0.69570836, 0.7287574, 0.77387758, 0.88211138, 1.043801,
             1.11525922),
            (0.65558354, 0.56318149, 0.51388817, 0.49558422, 0.46889487, 0.43574328, 0.38847067, 0.29117619, 0.21050905,
             0.11238794), 0.8784,
        ),
        (
            (0.2572874, 0.52804058, 0.59177096, 0.6396915, 0.67720562, 0.70206146, 0.73702426, 0.7753075, 0.88355874,
             1.04697026, 1.11523772),
            (0.65643879, 0.56334713, 0.51630143, 0.50366825, 0.481823, 0.45601256, 0.42143463, 0.37077327, 0.27645017,
             0.20094698, 0.1072507), 0.8825,
        ),
    ),
    4: (
        ((0.523599,), (0.392699,), 0.6624),
        ((0.407835, 0.739741), (0.534114, 0.282962), 0.7161),
        ((0.354503, 0.65137, 0.754258), (0.58794, 0.423175, 0.223015), 0.7486),
        ((0.315002, 0.587549, 0.673221, 0.7712), (0.60499, 0.477803, 0.361272, 0.187526), 0.7690),
        (
            (0.290912, 0.546776, 0.603339, 0.687212, 0.784469),
            (0.622539, 0.505068, 0.416721, 0.325336, 0.162797), 0.7841,
        ),
    ),
    5: (
        ((0.463648,), (0.392699,), 0.6431),
        ((0.358686, 0.645014), (0.524103, 0.278833), 0.6907),
        ((0.311638, 0.563513, 0.647713), (0.578343, 0.407641, 0.218943), 0.7199),
        ((0.277438, 0.509644, 0.576874, 0.661242), (0.597111, 0.463189, 0.344842, 0.182583), 0.7386),
    ),
}  # fmt: skip
LAYERS = {degree: len(rows) for degree, rows in TABLE.items()}


def fixed_angles(degree: int, layers: int) -> Angles:
    """Angles for MaxCut on a d-regular graph with edges of weight one.

    The sign of beta is negative, as in `ramp.linear_ramp`; both signs turned together give the same energies.
    Raises InputError for a degree or depth that is not in the table.
    """
    _row(degree, layers)
    gammas, betas, _ = TABLE[degree][layers - 1]
    source = f"fixed angles, {degree}-regular MaxCut, p = {layers} (arXiv 2107.00677)"
    return Angles(gammas, tuple(-b for b in betas), source)


def fixed_ratio(degree: int, layers: int) -> float:
    """Share of edges cut at the fixed angles in a tree neighbourhood. Raises InputError as `fixed_angles`."""
    _row(degree, layers)
    return TABLE[degree][layers - 1][2]


def regular_cut(polynomial: Polynomial) -> tuple[int, float]:
    """(degree, weight of an edge) of a cost that is MaxCut with equal weights on a regular graph.

    In spins: couplings w/2 > 0 and nothing else. Raises InputError saying what it is instead.
    """
    spins = {s: v for s, v in polynomial.spins().items() if s}
    sizes, weights = {len(s) for s in spins}, sorted(spins.values())
    if sizes != {2}:
        other = next((s for s in spins if len(s) != 2), ())
        what = f"it has a term on bits {other}" if other else "it has no terms"
        raise InputError(f"the cost is no MaxCut ({what}; MaxCut couples pairs of spins alone)")
    if weights[0] <= 0 or weights[-1] - weights[0] > 1e-9 * weights[-1]:
        raise InputError(f"weights of edges go from {2 * weights[0]:g} to {2 * weights[-1]:g}, not all equal")
    degrees = Counter(i for s in spins for i in s)
    least, most = min(degrees.values()), max(degrees.values())
    if least != most or len(degrees) != polynomial.variables:
        least = least if len(degrees) == polynomial.variables else 0
        raise InputError(f"degrees of nodes go from {least} to {most}: the graph is not regular")
    return most, 2 * weights[-1]


def fixed_for(polynomial: Polynomial, layers: int) -> Angles:
    """Fixed angles for a cost that is MaxCut on a regular graph, gamma in units of its weight.

    Raises InputError as `regular_cut` and `fixed_angles` do.
    """
    degree, weight = regular_cut(polynomial)
    known = fixed_angles(degree, layers)
    return Angles(tuple(g / weight for g in known.gammas), known.betas, known.source)


def _row(degree: int, layers: int) -> None:
    if degree not in TABLE or not 1 <= layers <= LAYERS.get(degree, 0):
        known = ", ".join(f"degree {d} to p = {p}" for d, p in LAYERS.items())
        raise InputError(
            f"no fixed angles for degree {degree}, {layers} layers ({known}); use transfer, which rescales"
        )
