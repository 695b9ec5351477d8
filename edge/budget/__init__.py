"""A budget instead of knobs: what each layer may take, by integer programming, proved by really compiling it."""

from trine.edge.budget.limits import Limits, parse_drop, parse_energy, parse_size
from trine.edge.budget.search import Found, search

__all__ = ["Found", "Limits", "parse_drop", "parse_energy", "parse_size", "search"]
