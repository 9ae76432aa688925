"""The demonstration: simulated model families and their questions, the embedded analyst and embedder."""
