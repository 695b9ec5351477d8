"""Exact optima, classically: enumeration, elimination, branch and bound, dynamic and integer programming."""
