"""Tree ensembles in integers: thresholds as ordered keys or ranks, leaves in fixed point, C as tables or branches."""
