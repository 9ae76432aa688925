"""The embedded analyst: a deterministic stand-in for the judge models that reads what a judge reads, nothing else."""
