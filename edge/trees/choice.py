"""Which form of C a forest takes, by the cost of each (measured: benchmarks/trees.py, docs/trees.md).

On every core and forest measured, branches take 29 % to 44 % of the instructions of tables and 0.9 to 1.9 times
their flash; ranks save flash where thresholds repeat and cost instructions.
"""

from __future__ import annotations

from trine.edge.trees.fixed import Forest

FORMS = ("tables", "ranks", "branches")
PUTS = ("label", "scores")
MOST_BRANCHES = 4096  # splits: about 100 KiB of branches; larger forests are tables
DEEPEST = 64  # nested branches
FEW_SPLITS = 8
INFINITY = 0x7F800000  # as a key


def choose(forest: Forest) -> int:
    """Index in FORMS."""
    printed = [unfolded(forest, int(root)) for root in forest.roots]
    branches = (
        sum(splits for splits, _ in printed) <= MOST_BRANCHES and max(deep for _, deep in printed) <= DEEPEST
    )
    return FORMS.index("branches" if branches else "tables")


def unfolded(forest: Forest, root: int) -> tuple[int, int]:
    """(splits, depth) of a tree as branches print it: a subtree with two parents counts twice. Stops at the limits."""
    level, splits, deep = [root], 0, 0
    while (level := [child for child in level if child >= 0]) and splits <= MOST_BRANCHES and deep <= DEEPEST:
        splits, deep = splits + len(level), deep + 1
        level = [int(side[at]) for at in level for side in (forest.split_yes, forest.split_no)]
    return splits, deep


def in_float(forest: Forest) -> bool:
    """Whether branches compare floats where the core does so in hardware.

    It saves two instructions and four bytes of RAM a feature, and takes one instruction and some eight bytes of flash
    more a split: worth it up to FEW_SPLITS for each feature. Not where a threshold lies behind infinity, as that of
    x < -inf does.
    """
    beyond = (forest.split_key > INFINITY) | (forest.split_key < ~INFINITY)
    few = len(forest.split_key) <= FEW_SPLITS * (int(forest.column_feature.max()) + 1)
    return few and not beyond.any()
