"""Embedded analyst: a deterministic stand-in for the judge models that sees only what a judge sees."""
