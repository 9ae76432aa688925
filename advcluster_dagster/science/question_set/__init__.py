"""Stage 1 (paper section 3.2.1): questions on which the larger model has an advantage. Counts and rates are SQL."""
