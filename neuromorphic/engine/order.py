"""Order of populations: cycles together, sources before targets."""

from __future__ import annotations

from trine.neuromorphic.net import SpikingNet


def groups(net: SpikingNet) -> list[tuple[tuple[str, ...], int]]:
    """Strongly connected groups in topological order (Tarjan 1972), each with its shortest lag in steps.

    The lag is 0 for a population without a cycle; others may run that many steps at once, one after another.
    """
    targets = {p.name: [q.target for q in net.out_of(p.name)] for p in net.populations}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []
    for root in targets:
        work = [(root, iter(targets[root]))] if root not in index else []
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
            for target in rest:
                if target not in index:
                    work.append((target, iter(targets[target])))
                    break
                if target in stack:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    at = stack.index(name)
                    found.append(tuple(stack[at:]))
                    del stack[at:]
    result = []
    for names in reversed(found):
        lags = [1 + p.delay_steps for p in net.projections if p.source in names and p.target in names]
        result.append((names, min(lags, default=0)))
    return result
