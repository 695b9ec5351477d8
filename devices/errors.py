"""The two ways a user's request can end without an answer: the input is bad, or the answer is no."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TrineError(Exception):
    """Base of everything Trine reports to a user without a traceback."""

    exit_code = 2


class InputError(TrineError):
    """Bad input: what was wrong, where, and what to try. The command line exits with 2."""


class AnswerIsNo(TrineError):
    """The work was done and the answer is no (does not fit, parity broken). The command line exits with 1."""

    exit_code = 1


class MissingExtra(InputError):
    """An optional part is not installed; names the pip command that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{purpose} needs the package {package}: pip install 'trine[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase offering the known names nearest to a misspelt one, or all of them when none is near."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + ", ".join(names)
