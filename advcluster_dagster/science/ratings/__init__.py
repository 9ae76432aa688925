"""Rated traces: how good each trace is by dimension, and how much better the larger model's trace of a pair is.

The measure is that of the paper on preference deltas: a judge sees the question and one trace, neither the gold answer,
the verdict nor the other trace, and the difference of two mean scores is the pair's delta.
"""
