"""Memory plan of a program: which byte of the arena holds what, and when.

Order of operations first (`order`), then which buffers share bytes (`sharing`), then offsets (`placement`);
`check` proves the result by running it on symbolic bytes.
"""

from trine.edge.memory.banks import Bank, BankUse, bank_uses, banks_of, plan_banks
from trine.edge.memory.check import check
from trine.edge.memory.model import Buffer, Operation, Plan
from trine.edge.memory.planning import plan_memory

__all__ = [
    "Bank", "BankUse", "Buffer", "Operation", "Plan", "bank_uses", "banks_of", "check", "plan_banks", "plan_memory",
]  # fmt: skip
