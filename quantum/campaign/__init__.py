"""Campaigns: thousands of stated problems (ligands, poses) through one provider, spread over Dask's workers."""

from trine.quantum.campaign.instances import Named, read_instances
from trine.quantum.campaign.run import Row, run_campaign

__all__ = ["Named", "Row", "read_instances", "run_campaign"]
