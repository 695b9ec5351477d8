"""Self-avoiding walks of HP chains on the square lattice: greedy growth, and the best one by branch and bound.

The search is one plain function; greedy growth runs it as Python, the proof compiled by numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import MissingExtra

Site = tuple[int, int]
Whole = NDArray[np.int64]
PLAIN = 12  # beads
LIMIT = 500_000_000  # beads placed by one proof, a few minutes
DX, DY = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])


def _bound(
    is_h: Whole, coming: Whole, grid: Whole, x: Whole, y: Whole, count: int, dx: Whole, dy: Whole
) -> int:
    """Most contacts still to come when `count` beads are placed.

    A contact joins an H bead at an even and one at an odd place of the chain. coming[count]: ends of contacts that
    the beads still to come can offer (2 each, 3 for the last); spare: free sites around the placed ones. Each new
    contact has a new bead on it: at most min(even + odd, even + spare even, odd + spare odd).
    """
    spare_even, spare_odd = 0, 0
    for k in range(count):
        if is_h[k]:
            free = 0
            for d in range(4):
                free += grid[x[k] + dx[d], y[k] + dy[d]] < 0
            if k == count - 1 and count < len(is_h):
                free = max(free - 1, 0)
            if k % 2:
                spare_odd += free
            else:
                spare_even += free
    even, odd = coming[count, 0], coming[count, 1]
    return int(min(even + odd, even + spare_even, odd + spare_odd))


def _goes_in(x: Whole, y: Whole, count: int, width: int, height: int, whole: bool) -> bool:
    """Whether the first beads' box fits the grid in one orientation; for a whole walk, with bead 0 on an even site."""
    left, right, low, high = x[0], x[0], y[0], y[0]
    for k in range(1, count):
        left, right = min(left, x[k]), max(right, x[k])
        low, high = min(low, y[k]), max(high, y[k])
    wide, tall = right - left + 1, high - low + 1
    colour = (x[0] - left + y[0] - low) % 2
    for a, b in ((width, height), (height, width)):
        if wide <= a and tall <= b:
            if not whole or wide < a or tall < b:
                return True
            # A mirror image across an even side has the other colour.
            if colour == 0 or wide % 2 == 0 or tall % 2 == 0:
                return True
    return False


def _gain(is_h: Whole, grid: Whole, at_x: int, at_y: int, count: int, dx: Whole, dy: Whole) -> int:
    """New contacts of bead `count` at a site."""
    found = 0
    if is_h[count]:
        for d in range(4):
            bead = grid[at_x + dx[d], at_y + dy[d]]
            found += bead >= 0 and bead != count - 1 and is_h[bead]
    return found


def _ordered(
    is_h: Whole,
    grid: Whole,
    x: Whole,
    y: Whole,
    count: int,
    directions: int,
    dx: Whole,
    dy: Whole,
    order: Whole,
) -> int:
    """Free directions of bead `count` as 4 gain + direction in order[count], the best gain first; how many."""
    found = 0
    for d in range(directions):
        ax, ay = x[count - 1] + dx[d], y[count - 1] + dy[d]
        if grid[ax, ay] < 0:
            k, worth = found, _gain(is_h, grid, ax, ay, count, dx, dy)
            while k > 0 and order[count, k - 1] // 4 < worth:
                order[count, k] = order[count, k - 1]
                k -= 1
            order[count, k] = worth * 4 + d
            found += 1
    return found


def _search(
    is_h: Whole, coming: Whole, width: int, height: int, first_only: bool, limit: int, dx: Whole, dy: Whole
) -> tuple[int, Whole, bool]:
    """Depth first, best gain first: (contacts, sites [n, 2], finished) of the best walk, or of the first.

    Contacts are -1 where no walk was found; finished is False where `limit` beads were placed before the end.
    """
    n = len(is_h)
    x, y = np.zeros(n, np.int64), np.zeros(n, np.int64)
    grid = np.full((2 * n + 3, 2 * n + 3), -1, np.int64)
    gained, following, choices = (
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
    )
    turned, order = np.zeros(n + 1, np.int64), np.zeros((n + 1, 4), np.int64)
    best, found, placed = -1, np.zeros((n, 2), np.int64), 0
    x[0] = y[0] = n + 1
    grid[x[0], y[0]] = 0
    count, fresh = 1, True
    while count > 0:
        if count == n and gained[n] > best and _goes_in(x, y, n, width, height, True):
            best = gained[n]
            found[:, 0], found[:, 1] = x, y
            if first_only:
                return best, found, True
        closed = count == n
        if not closed and not first_only:
            closed = gained[count] + _bound(is_h, coming, grid, x, y, count, dx, dy) <= best
        if fresh:
            # To the right first, then right or up until it has turned: mirror images and rotations once.
            directions = 1 if count == 1 else 4 if turned[count] else 2
            following[count] = 0
            choices[count] = 0 if closed else _ordered(is_h, grid, x, y, count, directions, dx, dy, order)
        fresh = False
        if closed or following[count] == choices[count]:
            count -= 1
            if count > 0:
                grid[x[count], y[count]] = -1
            continue
        move = order[count, following[count]]
        following[count] += 1
        x[count], y[count] = x[count - 1] + dx[move % 4], y[count - 1] + dy[move % 4]
        if not _goes_in(x, y, count + 1, width, height, False):
            continue
        grid[x[count], y[count]] = count
        turned[count + 1] = 1 if turned[count] or move % 4 == 1 else 0
        gained[count + 1] = gained[count] + move // 4
        count, fresh, placed = count + 1, True, placed + 1
        if placed > limit:
            return best, found, False
    return best, found, True


@cache
def _compiled() -> Any:
    """`_search` as machine code, kept on disk for the next process. Raises MissingExtra without numba."""
    try:
        from numba import njit
        from numba.extending import register_jitable
    except ImportError:
        raise MissingExtra(
            "numba", "quantum", "the exact fold of an HP chain of more than 12 beads"
        ) from None
    for part in (_bound, _goes_in, _gain, _ordered):
        register_jitable(part)
    return njit(cache=True)(_search)


def _views(walk: list[Site]) -> Iterator[list[Site]]:
    """The walk turned and mirrored."""
    turns: tuple[Callable[[int, int], Site], ...] = (
        lambda x, y: (x, y), lambda x, y: (-x, y), lambda x, y: (x, -y), lambda x, y: (-x, -y),
        lambda x, y: (y, x), lambda x, y: (-y, x), lambda x, y: (y, -x), lambda x, y: (-y, -x),
    )  # fmt: skip
    for turn in turns:
        yield [turn(x, y) for x, y in walk]


def _placed(walk: list[Site], width: int, height: int) -> list[Site]:
    """The walk moved and turned into the grid with bead 0 on an even site."""
    for view in _views(walk):
        left, low = min(x for x, _ in view), min(y for _, y in view)
        wide, tall = max(x for x, _ in view) - left + 1, max(y for _, y in view) - low + 1
        for right, up in ((0, 0), (1, 0), (0, 1)):
            inside = wide + right <= width and tall + up <= height
            if inside and (view[0][0] - left + right + view[0][1] - low + up) % 2 == 0:
                return [(x - left + right, y - low + up) for x, y in view]
    raise AssertionError("a walk that was accepted fits")


def _walk(
    sequence: str, width: int, height: int, first_only: bool, limit: int
) -> tuple[list[Site] | None, bool]:
    n = len(sequence)
    is_h = np.array([letter == "H" for letter in sequence], np.int64)
    coming = np.zeros((n + 1, 2), np.int64)
    for k in range(n - 1, -1, -1):
        coming[k] = coming[k + 1]
        coming[k, k % 2] += is_h[k] * (3 if k == n - 1 else 2)
    # Compiling takes seconds: it pays for long searches alone.
    search = _search if first_only or n <= PLAIN else _compiled()
    best, found, finished = search(is_h, coming, width, height, first_only, limit, DX, DY)
    walk = None if best < 0 else _placed([(int(x), int(y)) for x, y in found], width, height)
    return walk, bool(finished)


def best_walk(sequence: str, width: int, height: int, limit: int = LIMIT) -> tuple[list[Site] | None, bool]:
    """Sites of the walk with the most contacts of H beads within the grid, and whether that is proved.

    None where no walk fits. Bead 0 is on a site with x + y even. Exhaustive but for walks that the bound or a mirror
    image rules out; not proved where `limit` beads were placed before the end. Raises MissingExtra without numba
    above 12 beads.
    """
    return _walk(sequence, width, height, False, limit)


def greedy_walk(sequence: str, width: int, height: int, limit: int = 20_000) -> list[Site] | None:
    """Each bead where it makes the most new contacts, stepping back from dead ends.

    Row by row where that leads nowhere within `limit` steps; None where the chain is longer than the grid.
    """
    walk, _ = _walk(sequence, width, height, True, limit)
    if walk is None and len(sequence) <= width * height:
        rows = [[(x, y) for x in range(width)][:: -1 if y % 2 else 1] for y in range(height)]
        walk = [site for row in rows for site in row][: len(sequence)]
    return walk
