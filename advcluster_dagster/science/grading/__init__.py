"""Grading: from a response to an answer, from an answer to a verdict (paper section 3.2.1, the indicator c)."""
