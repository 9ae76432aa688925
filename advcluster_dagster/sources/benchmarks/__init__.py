"""Benchmarks: one file per benchmark, listed in ``registry.REGISTERED``."""
