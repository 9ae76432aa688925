"""Demonstration: simulated model families and their questions, embedded analyst and embedder."""
