"""Benchmark definitions, one file per benchmark, registered in ``registry.REGISTERED``."""
