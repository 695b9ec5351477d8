"""How the engine's loops are compiled: by numba, on the first call, kept on disk where there is a place for it.

numba looks for changes in a function's own file only: after editing one that another file calls, delete `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile, and keep on disk: beside the source, else in the user's cache folder, else not at all."""
    return _compiled(function)


def inlined(function: F) -> F:
    """As `compiled`, put in place wherever it is called."""
    return _compiled(function, inline="always")


def _compiled(function: F, **options: Any) -> F:
    """Without numba's counting of references, atomic additions that cost a third of a step: nothing here allocates."""
    options["_nrt"] = False
    try:
        kept: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        kept = numba.njit(**options)(function)
    return kept


@intrinsic
def widest(context: Any) -> Any:
    """Within a compiled function: its loops may use vectors of 512 bits where the processor has them.

    LLVM takes 256 there unless told, for fear of a lower clock, which later processors do not have.
    """

    def note(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite knows attributes by name only, not those that are texts: past its check, into the set itself.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return target.get_dummy_value()

    return types.none(), note
