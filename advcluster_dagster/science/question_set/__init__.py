"""Stage 1, question set (paper section 3.2.1): questions where the larger model has an advantage.

Counts and rates are computed in SQL.
"""
