"""Trace ratings: quality of each trace by dimension, and quality deltas within pairs of traces.

Follows the paper on preference deltas: a judge sees the question and one trace, but not the gold answer, the verdict or
the other trace; the delta of a pair is the difference of the two mean scores.
"""
