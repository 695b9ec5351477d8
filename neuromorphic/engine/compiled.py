"""How the engine's loops are compiled: by numba, on the first call, kept on disk where there is a place for it.

numba looks for changes in a function's own file only: after editing one that another file calls, delete `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile, and keep on disk: beside the source, else in the user's cache folder, else not at all."""
    return _compiled(function)


def inlined(function: F) -> F:
    """As `compiled`, put in place wherever it is called."""
    return _compiled(function, inline="always")


def _compiled(function: F, **options: Any) -> F:
    try:
        kept: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        kept = numba.njit(**options)(function)
    return kept
