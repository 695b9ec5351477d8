"""The subproblems, one file each, exporting one record named PROBLEM (see `trine.quantum.problem`)."""
