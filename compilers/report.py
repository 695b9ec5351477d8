"""What a deployment says about itself: does it fit, is it the same, how good is it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Fit:
    """One limit of a device: how much of it is used. available is None where nobody published the limit."""

    limit: str
    used: int
    available: int | None
    unit: str
    how: str

    @property
    def ok(self) -> bool:
        """Whether it fits; an unknown limit cannot be exceeded."""
        return self.available is None or self.used <= self.available

    def as_json(self) -> dict[str, Any]:
        """The object that stands in `deployment.json` under `fit`."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True)
class Parity:
    """One artifact run against the program's definition.

    against: what ran, with versions. values: outputs compared; differing: how many were not equal; max_abs_diff in
    steps of the output. exact: whether a difference is a defect (True) or is explained by `note` (False).
    """

    against: str
    examples: int
    values: int
    differing: int
    max_abs_diff: int
    exact: bool = True
    note: str = ""

    @property
    def ok(self) -> bool:
        """Equal, or different only where that is explained."""
        return self.differing == 0 or not self.exact

    def as_json(self) -> dict[str, Any]:
        """The object that stands in `deployment.json` under `parity`."""
        plain = asdict(self)
        if not plain["note"]:
            del plain["note"]
        return plain


@dataclass(frozen=True)
class Artifact:
    """One file of a deployment: path relative to the folder, what it is for."""

    path: str
    role: str


@dataclass(frozen=True)
class PassReceipt:
    """One pass: its name, what it changed in a line, and details for the receipt file."""

    name: str
    changed: str
    details: Any = None
