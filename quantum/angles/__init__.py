"""Where QAOA's angles come from: tables, ramps, transfer, warm starts, optimisation; all in one convention."""
