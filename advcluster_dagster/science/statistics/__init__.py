"""Intervals and tests that use the question, not the advantage, as the unit of evidence."""
